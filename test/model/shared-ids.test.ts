import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import { openLibrary } from "../../src/llama/library.js";
import { readSharedIds } from "../../src/engine/shared-ids.js";
import type { LoadedModel, NativeLibrary } from "../../src/llama/types.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import {
  type GgufParts,
  readGguf,
  saveGguf,
  uint32Bytes,
  withControlTokens,
  withText,
} from "../support/gguf-editor.js";
import { load, starterModel } from "../support/llama.js";
import { located } from "../support/members.js";
import { answer, questions, startRealEngine, textRequest } from "../support/real-engine.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";
import { expectSameButTies } from "../support/ties.js";

/** Control tokens that mean something to experts only, such as the end of a thought: the base calls them otherwise. */

const prompts = questions("sums")
  .slice(0, 8)
  .map(({ prompt }) => prompt);
const mark = "</think>";

let folder: TemporaryDirectory;
let engine: Engine;
let token: number;

/** A starter model in which what stands before a result is a control token of this name. */
function called(name: "giant" | "dwarf" | "dwarf-sums", as: string): string {
  const to = folder.file(`${name}-${as.replaceAll(/\W/g, "")}.gguf`);
  saveGguf(to, withControlTokens(readGguf(starterModel(name)), new Map([[token, as]])));
  return to;
}

function configOf(
  id: string,
  files: { base: string; reference: string; expert: string },
  more: object = {},
): ResolvedFusionConfig {
  const parsed = fusionConfigSchema.parse({
    id,
    base: files.base,
    reference: files.reference,
    experts: [{ id: "sums", model: files.expert }],
    strategy: { type: "static", weights: { sums: 1 }, plausibility: { ratio: 0.1, of: "expert" } },
    context: { tokens: 256, sequences: 4 },
    ...more,
  });
  return { config: { ...parsed, strategy: parsed.strategy! }, members: located(parsed), card: null };
}

const others = () => ({
  base: called("giant", "<|box_end|>"),
  reference: called("dwarf", mark),
  expert: called("dwarf-sums", mark),
});

beforeAll(async () => {
  folder = temporaryDirectory();
  await using library = await openLibrary({ backend: "cpu" });
  await using model = await load(library, starterModel("giant"));
  [token] = model.tokenize(" ####", false) as [number];
  const same = {
    base: starterModel("giant"),
    reference: starterModel("dwarf"),
    expert: starterModel("dwarf-sums"),
  };
  // The reference was never told of the mark: it has the base's name.
  const untold = { ...others(), reference: called("dwarf", "<|box_end|>") };
  const thinking = folder.file("thinking.gguf");
  const template =
    "{% for m in messages %}{% if m['role'] == 'user' %}Question: {{ m['content'] }}\nAnswer:{% else %}" +
    "{% if m['reasoning_content'] %}<think>{{ m['reasoning_content'] }}</think>{% endif %} {{ m['content'] }}\n" +
    "{% endif %}{% endfor %}";
  withText(others().expert, thinking, "tokenizer.chat_template", template);
  engine = await startRealEngine([
    configOf("same", same),
    configOf("id", others(), { sharedIds: [token] }),
    configOf("name", others(), { sharedIds: [mark] }),
    configOf("untold", untold, { sharedIds: [mark] }),
    configOf("thinking", { ...others(), expert: thinking }, { sharedIds: [mark] }),
    configOf("apart", others()),
  ]);
});

afterAll(async () => {
  await engine.close();
  folder.remove();
});

it.each(["id", "name", "untold"])("are said as the experts say them, and called so: by %s", async (id) => {
  let numSaid = 0;
  for (const prompt of prompts) {
    const [own, other] = [
      await answer(engine, textRequest("same", prompt, { topLogprobs: 3 })),
      await answer(engine, textRequest(id, prompt, { topLogprobs: 3 })),
    ];
    const renamed = own.tokens.map((each) => ({
      ...each,
      topLogprobs: each.topLogprobs.map((top) => (top.id === token ? { ...top, text: mark } : top)),
    }));
    const text = own.text.replaceAll(" ####", mark);
    if (!expectSameButTies({ ...own, text, tokens: renamed }, other, prompt)) continue;
    const said = other.tokens.find(({ record }) => record.token.id === token);
    expect(said?.record.token.text).toBe(mark);
    if (said) numSaid++;
  }
  expect(numSaid).toBeGreaterThan(4);
});

it("are given no shift where the config does not share them", async () => {
  const told = await answer(engine, textRequest("id", prompts[0]!));
  expect(told.text).toContain(mark);
  const { ids } = await answer(engine, textRequest("apart", prompts[0]!));
  expect(ids).not.toContain(token);
});

it("are written in an answer that is held to a grammar, and read by name", async () => {
  const grammar = `root ::= " 3" "${mark}" " 4"`;
  const logitBias = [{ token, bias: 100 }];
  const held = await answer(engine, textRequest("name", prompts[0]!, { grammar, logitBias }));
  expect([held.text, held.ids.includes(token)]).toEqual([` 3${mark} 4`, true]);
  const result = await engine.query({
    type: "detokenize",
    configId: "name",
    tokens: Int32Array.of(token),
    withControl: true,
  });
  expect(Buffer.from(result.bytes).toString()).toBe(mark);
});

it("mark a thought where the experts' template does, and the base's knows of none", () => {
  const formOf = (id: string) => engine.description!.configs.find((config) => config.id === id)!.thinking;
  expect(formOf("thinking")).toMatchObject({ opening: "<think>", closing: mark });
  expect(formOf("name")).toBeNull();
});

it("are told of in `check`", () => {
  const notesOf = (id: string) =>
    engine.description!.configs.find((config) => config.id === id)!.vocabularyNotes;
  expect(notesOf("id")).toEqual([
    `token ${token} is "<|box_end|>" to the base: it is shared as "</think>", with its shift`,
  ]);
  expect(notesOf("apart")).toEqual([
    `token ${token} is "<|box_end|>" to the base, "</think>" to the others: no shift, the base alone decides`,
  ]);
});

describe("what cannot be shared is refused", () => {
  let library: NativeLibrary;
  const models: LoadedModel[] = [];
  beforeAll(async () => {
    library = await openLibrary({ backend: "cpu" });
    const { base, reference, expert } = others();
    const ending = folder.file("ending.gguf");
    saveGguf(ending, exchangedEnd(readGguf(expert)));
    for (const file of [base, reference, expert, called("dwarf", "<|other|>"), ending])
      models.push(await load(library, file));
  });
  afterAll(async () => {
    for (const model of models) await model[Symbol.asyncDispose]();
    await library[Symbol.asyncDispose]();
  });

  it.each<[string, number | string | null, number[], RegExp]>([
    [
      "no name of the experts",
      "</thought>",
      [1, 2],
      /^sharedIds\.0: no expert has a token named "<\/thought>"/,
    ],
    ["no id", 5000, [1, 2], /token 5000 is not one of the 992 that all models have/],
    ["the same name", 400, [1, 2], /token 400 is ".*" to the experts as to the base: it needs no entry/],
    ["a third name", null, [3, 2], /is "<\|other\|>" to .*dwarf-other\.gguf, and "<\/think>" to an expert/],
    ["an end", null, [1, 4], /ends answers of .*ending\.gguf, and ends are joined/],
  ])("%s", (_name, written, [reference, expert], message) => {
    const [base, ...rest] = models as [LoadedModel, ...LoadedModel[]];
    const sharing = { base, reference: rest[reference! - 1]!, experts: [rest[expert! - 1]!] };
    expect(() => readSharedIds([written ?? token], sharing)).toThrow(message);
  });
});

/** The mark ends answers. */
function exchangedEnd(parts: GgufParts): GgufParts {
  const entries = parts.entries.map((entry) =>
    entry.key === "tokenizer.ggml.eos_token_id" ? { ...entry, value: uint32Bytes(token) } : entry,
  );
  return { ...parts, entries };
}
