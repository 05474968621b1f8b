import { describe, expect, it } from "vitest";
import { type Examined, findingsOf } from "../../../src/engine/findings.js";
import type { ModelFacts } from "../../../src/llama/model-facts.js";

const facts = (path: string, changes: Partial<ModelFacts> = {}): ModelFacts => ({
  path: `/m/${path}`,
  architecture: "qwen2",
  shape: { block_count: 24, embedding_length: 896 },
  quantization: "F16",
  numParameters: 5e8,
  sizeBytes: 1e9,
  contextTrain: 32_768,
  mostPositions: null,
  chatTemplate: "{{ messages }}",
  firstToken: "none",
  endToken: '7 "<end>"',
  ...changes,
});
const big = { numParameters: 7e9, quantization: "Q4_K", shape: { block_count: 28 } };

const examined = (changes: {
  base?: Partial<ModelFacts>;
  reference?: Partial<ModelFacts>;
  expert?: Partial<ModelFacts>;
  rest?: Partial<Examined>;
}): Examined => ({
  config: { experts: [{ id: "maths" }], context: { tokens: 4096 } },
  facts: {
    base: facts("base.gguf", { ...big, ...changes.base }),
    reference: facts("small.gguf", changes.reference),
    experts: [facts("maths.gguf", changes.expert)],
  },
  measured: null,
  ...changes.rest,
});

const found = (changes: Parameters<typeof examined>[0]) =>
  findingsOf(examined(changes)).map(({ code, message }) => `${code}: ${message}`);

describe("findings", () => {
  it("are none where models fit, whatever the base's size and type", () => {
    expect(found({})).toEqual([]);
    const alone = { base: facts("base.gguf"), reference: null, experts: [] };
    expect(found({ rest: { facts: alone, config: { experts: [], context: { tokens: 16 } } } })).toEqual([]);
  });

  it("are none of files' templates where the config has one", () => {
    const config = { experts: [{ id: "e" }], context: { tokens: 16 }, chatTemplate: "{{ messages }}" };
    expect(found({ base: { chatTemplate: null }, rest: { config } })).toEqual([]);
  });

  it.each<[string, Parameters<typeof examined>[0], string]>([
    ["the same path", { expert: { path: "/m/small.gguf" } }, "expert_is_reference"],
    [
      "a copy",
      { rest: { contentOf: (path) => (path === "/m/base.gguf" ? "b" : "s") } },
      "expert_is_reference",
    ],
    ["another architecture", { expert: { architecture: "llama" } }, "expert_no_sibling"],
    ["another depth", { expert: { shape: { block_count: 12, embedding_length: 896 } } }, "expert_no_sibling"],
    ["another type", { expert: { quantization: "Q8_0" } }, "quantization_differs"],
    [
      "a base that is the reference",
      { rest: { contentOf: (path) => (path === "/m/maths.gguf" ? "m" : "s") } },
      "base_is_reference",
    ],
    ["a small base", { base: { numParameters: 1e8 } }, "base_smaller"],
    ["a short training", { reference: { contextTrain: 1024 } }, "context_beyond_training"],
    ["no template", { base: { chatTemplate: null } }, "no_template"],
    [
      "another first token",
      { reference: { firstToken: '1 "<s>"' }, expert: { firstToken: "none" } },
      "first_token_differs",
    ],
    ["another end", { expert: { endToken: '9 "</s>"' } }, "end_token_differs"],
    [
      "a broken template",
      { rest: { templateProblems: new Map([["/m/maths.gguf", "it throws"]]) } },
      "template_broken",
    ],
  ])("tell of %s", (_, changes, code) => {
    const findings = findingsOf(examined(changes));
    expect(findings.map((finding) => finding.code)).toEqual([code]);
    expect(findings[0]?.advice).toMatch(/\.$|\?/);
  });

  it("show where templates differ", () => {
    const chatTemplate = "{{ messages }}\n{% if x %}";
    expect(
      found({ expert: { chatTemplate }, base: { chatTemplate: "{{ messages }}\n{% for x %}" } }),
    ).toEqual([
      'template_differs: the chat templates of base and reference differ, first at line 1: "\\n{% for x %}" and ""',
      'template_differs: the chat templates of base and expert "maths" differ, first at line 2: "for x %}" and "if x %}"',
    ]);
  });

  it("let a context be stretched on purpose", () => {
    const config = { experts: [{ id: "maths" }], context: { tokens: 65_536, rope: { scale: 4 } } };
    expect(found({ rest: { config } })).toEqual([]);
    expect(
      found({ rest: { config: { ...config, context: { tokens: 200_000, rope: { scale: 4 } } } } }),
    ).toHaveLength(1);
  });

  it("tell what measurements show, and nothing of what is usual", () => {
    const measured = (klNats: number, text: [number, number, number] | null = null) =>
      found({
        rest: {
          measured: {
            experts: { maths: { klNats } },
            text: text && { baseNats: text[0], referenceNats: text[1], numTexts: text[2] },
          },
        },
      }).map((line) => line.split(":")[0]);
    expect(measured(0.4, [0.8, 1.1, 4])).toEqual([]);
    expect(measured(0)).toEqual(["expert_unmoved"]);
    expect(measured(6)).toEqual(["expert_tuned_hard"]);
    expect(measured(0.4, [1.1, 1.1, 4])).toEqual(["base_no_better"]);
    // One text proves less.
    expect(measured(0.4, [1.2, 1.1, 1])).toEqual([]);
    expect(measured(0.4, [1.5, 1.1, 1])).toEqual(["base_no_better"]);
  });
});
