import { readdirSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GrammarBuilder } from "../../src/grammar/json/grammar-builder.js";
import { addSchema } from "../../src/grammar/json/json-grammar.js";
import { compileGrammar } from "../../src/grammar/gbnf.js";
import { GrammarMask } from "../../src/grammar/grammar-mask.js";
import type { TokenTable } from "../../src/grammar/token-table.js";
import { addCalls } from "../../src/grammar/call-grammar.js";
import { throughText } from "../../src/grammar/through-text.js";
import { createChatTemplate } from "../../src/llama/chat-template.js";
import { writeCalls } from "../../src/engine/written-calls.js";
import { templateVectors } from "../support/template-vectors.js";
import { hostileGrammars } from "../support/hostile-grammars.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import {
  checkOutVocabularies,
  EditableVocabulary,
  readCompared,
  readTokenTable,
} from "../support/vocabularies.js";
import { readSharedIds } from "../../src/engine/shared-ids.js";
import type { ShouldersError } from "../../src/errors.js";
import type { LoadedModel } from "../../src/llama/types.js";
import { compareVocabularies } from "../../src/llama/vocabulary.js";

const sources = temporaryDirectory();
let directory = "";
beforeAll(async () => {
  directory = await checkOutVocabularies(sources.path);
}, 120_000);
afterAll(() => sources.remove());

const cpuMs = () => process.cpuUsage().user / 1000;

function schemaGrammar(): string {
  const builder = new GrammarBuilder("response_format");
  const text = { type: "string" };
  const schema = {
    type: "object",
    properties: { c: text, d: { ...text, maxLength: 200 } },
    required: ["c", "d"],
    additionalProperties: false,
  };
  return builder.build(`space ${addSchema(builder, schema, { param: "schema", isStrict: true })}`);
}

/** Takes a text token by token, the longest that fits first, with the whole vocabulary asked at each. */
function write(mask: GrammarMask, table: TokenTable, text: string): void {
  const row = new Float32Array(table.size);
  for (let rest = Buffer.from(text); rest.length > 0;) {
    const masked = mask.apply(row, 1_000);
    let best = -1;
    for (let token = 0; token < table.size; token++) {
      const bytes = table.bytes(token);
      const isNext = bytes.length > 0 && rest.subarray(0, bytes.length).equals(bytes);
      if (isNext && masked?.[token] === 0 && bytes.length > (best < 0 ? 0 : table.bytes(best).length))
        best = token;
    }
    expect(best, `after ${text.slice(0, -rest.toString().length)}`).toBeGreaterThanOrEqual(0);
    mask.accept(best);
    rest = rest.subarray(table.bytes(best).length);
  }
}

it("JSON can be asked of the vocabularies of well-known models", async () => {
  const files = readdirSync(directory).filter((name) => name.endsWith(".gguf"));
  expect(files.length).toBeGreaterThanOrEqual(16);
  let numWritten = 0;
  for (const file of files) {
    const table = await readTokenTable(path.join(directory, file));
    const compiled = compileGrammar(schemaGrammar(), table);
    const mask = new GrammarMask(compiled, table);
    expect(mask.apply(new Float32Array(table.size), 1_000), file).not.toBeNull();
    // WordPiece has no byte for each character.
    if (!table.hasAllBytes) continue;
    write(mask, table, `{"c": "Grüße, 你好, 안녕 \\u00e9", "d": "été 日本"}`);
    expect(mask.isComplete, file).toBe(true);
    numWritten++;
  }
  expect(numWritten).toBeGreaterThanOrEqual(12);
}, 300_000);

/** Forms whose arguments stand for themselves, and a call in each; Gemma's sorts them by name. */
const taggedForms = ["Qwen3-Coder", "google-gemma-4-31B-it", "LFM2.5-8B-A1B", "deepseek-ai-DeepSeek-V3.2"];

it.each(taggedForms)(
  "calls in the form of %s can be asked of them as well",
  async (name) => {
    const { toolForm } = createChatTemplate({
      text: templateVectors.templates[name]!,
      bosText: "",
      eosText: "",
      architecture: "llama",
      modelName: "model",
      fileName: "model.gguf",
    });
    const schema = {
      type: "object",
      properties: { c: { type: "string" }, n: { type: "integer" }, o: { type: "object" } },
      required: ["c", "n"],
    };
    const builder = new GrammarBuilder("tools");
    const functions = [{ name: "f", schema, path: "tools.0", isStrict: false }];
    const { starts } = addCalls(builder, toolForm!, { functions, mayBeSeveral: false });
    const grammar = builder.build(throughText(builder, starts, { isOptional: true }));
    const args = JSON.stringify({ c: "Grüße, 你好 <b> 안녕", n: 12, o: { x: [1, "日本"] } });
    const text = `Mal sehen. ${writeCalls([{ id: "c", name: "f", arguments: args }], toolForm!)}`;
    for (const file of ["qwen2", "llama-spm"]) {
      const table = await readTokenTable(path.join(directory, `ggml-vocab-${file}.gguf`));
      const mask = new GrammarMask(compileGrammar(grammar, table), table);
      write(mask, table, text);
      expect(mask.isComplete, file).toBe(true);
    }
  },
  300_000,
);

it("a grammar that stands somewhere new after each token costs what one that stays costs", async () => {
  const table = await readTokenTable(path.join(directory, "ggml-vocab-qwen2.gguf"));
  const row = new Float32Array(table.size);
  const texts = {
    stays: "root ::= .*",
    counts: "root ::= .{0,2000}",
    quotes: String.raw`root ::= ([^"\\\x00-\x1f] | "\\" ["\\bfnrt/]){0,500} "\""`,
    words: `root ::= ([^ ]{1,12} " "){0,300}`,
  };
  const started = Object.entries(texts).map(([name, text]) => {
    const mask = new GrammarMask(compileGrammar(text, table), table);
    // The first time all of it is new.
    mask.apply(row, 1_000);
    return { name, mask, costs: [] as number[] };
  });
  // In turns, so that whatever else the machine does hits all of them.
  for (let token = 0; token < 30; token++)
    for (const { mask, costs } of started) {
      const startMs = cpuMs();
      const masked = mask.apply(row, 1_000) as Float32Array;
      costs.push(cpuMs() - startMs);
      mask.accept(
        masked.findIndex((logit, id) => logit === 0 && id > 30_000 + token && table.bytes(id).length > 3),
      );
    }
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] as number;
  const [stays, ...others] = started.map(({ name, costs }) => ({ name, ms: median(costs) }));
  for (const { name, ms } of others)
    expect(ms, `${name} (${ms} and ${stays?.ms} ms)`).toBeLessThan(3 * stays!.ms);
}, 120_000);

describe("a grammar made to be slow costs each token a few times what plain text does, or is refused", () => {
  let table: TokenTable;
  let plainMs = 0;
  beforeAll(async () => {
    table = await readTokenTable(path.join(directory, "ggml-vocab-qwen2.gguf"));
    const mask = new GrammarMask(compileGrammar("root ::= .*", table), table);
    const startMs = cpuMs();
    mask.apply(new Float32Array(table.size), 1_000);
    plainMs = cpuMs() - startMs;
  }, 120_000);

  it.each(Object.entries(hostileGrammars))("%s", (_name, text) => {
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(65_536);
    const row = new Float32Array(table.size);
    const startMs = cpuMs();
    let numTokens = 0;
    try {
      const mask = new GrammarMask(compileGrammar(text, table), table);
      for (; numTokens < 12 && !mask.isComplete; numTokens++) {
        const masked = mask.apply(row, 1_000);
        if (masked === null) break;
        const token = masked.findLastIndex((logit, id) => logit === 0 && !table.isEnd(id));
        if (token < 0) break;
        mask.accept(token);
      }
    } catch (error) {
      expect((error as Error).message).toMatch(/^Invalid 'grammar': it /);
    }
    expect(cpuMs() - startMs).toBeLessThan(40 * plainMs + 8 * numTokens * plainMs);
  });
});

describe("which of them go together", () => {
  const nameOf = (file: string) => file.replace("ggml-vocab-", "").replace(".gguf", "");
  const compared = (name: string) => readCompared(path.join(directory, `ggml-vocab-${name}.gguf`));
  const renamedIn = (base: EditableVocabulary, other: EditableVocabulary) =>
    compareVocabularies(base, other, { base: "base", other: "other" }).renamed;

  it("those of one family", async () => {
    const names = readdirSync(directory)
      .filter((file) => file.endsWith(".gguf"))
      .map(nameOf);
    const all = await Promise.all(names.map(async (name) => [name, await compared(name)] as const));
    const taken = all.flatMap(([one, base]) =>
      all.flatMap(([name, other]) => {
        if (name === one) return [];
        try {
          return [`${one} with ${name}: ${renamedIn(base, other).length} renamed`];
        } catch (error) {
          expect((error as ShouldersError).code).toBe("vocabulary_mismatch");
          return [];
        }
      }),
    );
    expect(taken).toEqual([
      "gpt-neox with mpt: 0 renamed",
      // Phi 3 begins with Llama 2's; as a base its own end would be beyond what the other knows.
      "llama-spm with phi-3: 0 renamed",
      "mpt with gpt-neox: 0 renamed",
      "qwen2 with qwen35: 0 renamed",
      "qwen35 with qwen2: 0 renamed",
    ]);
  });

  it("Qwen2.5 with R1-Distill-Qwen, and with Qwen3", async () => {
    const qwen = await compared("qwen2");
    const names = [
      "<｜end▁of▁sentence｜>",
      "<｜User｜>",
      "<｜Assistant｜>",
      "<｜begin▁of▁sentence｜>",
      "<|EOT|>",
      "<think>",
    ];
    const distilled = qwen.renamed(151_643, names);
    expect(renamedIn(qwen, distilled)).toEqual([151_643, 151_644, 151_645, 151_646, 151_647, 151_648]);
    const third = qwen.renamed(151_665, ["<tool_response>", "</tool_response>", "<think>", "</think>"]);
    expect(renamedIn(qwen, third)).toEqual([151_665, 151_666, 151_667, 151_668]);
    expect(renamedIn(third, distilled)).toHaveLength(10);
  });

  it("Qwen2.5 with R1-Distill-Qwen, whose closing mark of a thought can be shared", async () => {
    const qwen = await compared("qwen2");
    const model = (vocabulary: EditableVocabulary) =>
      ({
        path: "model.gguf",
        vocabulary,
        tokenize: (text: string) =>
          Array.from({ length: vocabulary.size }, (_, token) => token).filter(
            (token) => vocabulary.rawText(token) === text,
          ),
      }) as unknown as LoadedModel;
    const [opening, closing] = [151_648, 151_649];
    const base = model(qwen.renamed(opening, ["<|box_start|>", "<|box_end|>"]));
    const distilled = model(qwen.renamed(opening, ["<think>", "</think>"]));
    const models = { base, reference: base, experts: [distilled] };
    expect([...readSharedIds(["</think>", opening], models)]).toEqual([
      [closing, "</think>"],
      [opening, "<think>"],
    ]);
    expect(() => readSharedIds([90], models)).toThrow(/token 90 is ".*" to the experts as to the base/);
  });

  it("Llama 3 with 3.1, whose reserved tokens are counted otherwise", async () => {
    const third = await compared("llama-bpe");
    const reserved = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => `<|reserved_special_token_${from + index}|>`);
    const later = third
      .renamed(128_004, ["<|finetune_right_pad_id|>", ...reserved(2, 1)])
      .renamed(128_008, ["<|eom_id|>"])
      .renamed(128_010, ["<|python_tag|>", ...reserved(3, 245)]);
    expect(renamedIn(third, later).length).toBeGreaterThan(200);
    expect(renamedIn(later, third).length).toBeGreaterThan(200);
  });

  it("Gemma with an image token more, and Llama 2 with two that a tuning added", async () => {
    const gemma = await compared("gemma-4");
    const larger = gemma.renamed(gemma.size, ["<image_soft_token>"]);
    expect(renamedIn(larger, gemma)).toEqual([]);
    const llama = await compared("llama-spm");
    expect(renamedIn(llama, llama.renamed(llama.size, ["<|im_start|>", "<|im_end|>"]))).toEqual([]);
  });

  it("not with other text, nor with control tokens that are nearly all others", async () => {
    const qwen = await compared("qwen2");
    const other = new EditableVocabulary(
      Array.from({ length: qwen.size }, (_, token) => (token === 90 ? "other" : qwen.rawText(token))),
      [],
      undefined,
    );
    expect(() => renamedIn(qwen, other)).toThrow(/token 90 is ".*" and "other"/);
    const many = qwen.renamed(
      151_643,
      Array.from({ length: 80 }, (_, index) => `<|mark_${index}|>`),
    );
    expect(() => renamedIn(qwen, many)).toThrow(/token 151643 is/);
  });
});
