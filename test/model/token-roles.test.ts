import { afterAll, beforeAll, expect, it } from "vitest";
import { TokenRoles } from "../../src/engine/token-roles.js";
import { openLibrary } from "../../src/llama/library.js";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import type { LoadedModel } from "../../src/llama/types.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import {
  type GgufParts,
  readGguf,
  saveGguf,
  uint32Bytes,
  withControlTokens,
} from "../support/gguf-editor.js";
import { load, starterModel } from "../support/llama.js";
import { located } from "../support/members.js";
import { answer, questions, startRealEngine, textRequest } from "../support/real-engine.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

/** Small models whose control tokens are others than the base's, at other ids. */

const prompts = [...questions("recall").slice(0, 10), ...questions("sums").slice(0, 10)].map(
  ({ prompt }) => prompt,
);
const [bos, eos] = [0, 1];

let folder: TemporaryDirectory;
let engine: Engine;

/** The same model, where the first two tokens have changed places and names: what ended a text is number 0 now. */
function swapped(name: "dwarf" | "dwarf-trivia" | "dwarf-sums"): string {
  const to = folder.file(`${name}.gguf`);
  const parts = readGguf(starterModel(name));
  const { tensors, data } = parts;
  const table = tensors.find((tensor) => tensor.name === "token_embd.weight")!;
  const rowBytes = 2 * Number(table.shape[0]);
  const [first, second] = [Number(table.offset), Number(table.offset) + rowBytes];
  const changed = Buffer.from(data);
  data.copy(changed, first, second, second + rowBytes);
  data.copy(changed, second, first, first + rowBytes);
  saveGguf(to, { ...renamed(parts, ["<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>"]), data: changed });
  return to;
}

function renamed(parts: GgufParts, [first, second]: [string, string]): GgufParts {
  const { entries, ...rest } = withControlTokens(
    parts,
    new Map([
      [0, first],
      [1, second],
    ]),
  );
  return {
    ...rest,
    entries: entries.map((entry) => {
      if (entry.key === "tokenizer.ggml.bos_token_id") return { ...entry, value: uint32Bytes(eos) };
      if (entry.key === "tokenizer.ggml.eos_token_id") return { ...entry, value: uint32Bytes(bos) };
      return entry;
    }),
  };
}

function configOf(
  id: string,
  files: Record<"dwarf" | "trivia" | "sums", string>,
  strategy: object,
): ResolvedFusionConfig {
  const parsed = fusionConfigSchema.parse({
    id,
    base: starterModel("giant"),
    reference: files.dwarf,
    experts: [
      { id: "trivia", model: files.trivia },
      { id: "sums", model: files.sums },
    ],
    strategy,
    context: { tokens: 512, sequences: 4 },
  });
  return { config: { ...parsed, strategy: parsed.strategy! }, members: located(parsed), card: null };
}

const strategies = {
  static: { type: "static", weights: { trivia: 1 }, plausibility: null },
  gated: { type: "static", weights: { sums: 1 }, plausibility: { ratio: 0.1, of: "gated" } },
  solved: { type: "dynamic", solver: "exact", plausibility: { ratio: 0.1, of: "joint" } },
  mixture: { type: "mixture", prior: "uniform", components: {}, floor: 0.01 },
};

beforeAll(async () => {
  folder = temporaryDirectory();
  const same = {
    dwarf: starterModel("dwarf"),
    trivia: starterModel("dwarf-trivia"),
    sums: starterModel("dwarf-sums"),
  };
  const others = { dwarf: swapped("dwarf"), trivia: swapped("dwarf-trivia"), sums: swapped("dwarf-sums") };
  engine = await startRealEngine(
    Object.entries(strategies).flatMap(([id, strategy]) => [
      configOf(id, same, strategy),
      configOf(`${id}-others`, others, strategy),
    ]),
  );
});

afterAll(async () => {
  await engine.close();
  folder.remove();
});

it.each(Object.keys(strategies))("answers and ends as with the base's own tokens: %s", async (id) => {
  let numEnded = 0;
  for (const prompt of prompts) {
    const [own, others] = [
      await answer(engine, textRequest(id, prompt)),
      await answer(engine, textRequest(`${id}-others`, prompt)),
    ];
    const parted = own.ids.findIndex((token, index) => token !== others.ids[index]);
    // Two tokens may be as good as each other.
    if (parted >= 0) {
      const [one, other] = [own.tokens[parted]!.record.logprob, others.tokens[parted]!.record.logprob];
      expect(Math.abs(one - other), prompt).toBeLessThan(1e-2);
      continue;
    }
    expect(others.text).toBe(own.text);
    expect(others.done).toMatchObject({ finishReason: own.done.finishReason });
    if (others.ids.at(-1) === eos) numEnded++;
  }
  expect(numEnded).toBeGreaterThan(3);
});

it("says what differs, and what is done about it", () => {
  const [own, others] = engine.description!.configs;
  expect(own!.vocabularyNotes).toEqual([]);
  expect(others!.vocabularyNotes).toEqual([
    'token 0 is "<bos>" to the base, "<｜end▁of▁sentence｜>" to the others: ends are joined',
    'token 1 is "<eos>" to the base, "<｜begin▁of▁sentence｜>" to the others: ends are joined',
    'first token of a prompt: the base 0 "<bos>", the others 1 "<｜begin▁of▁sentence｜>"',
    'end-of-sequence token: the base 1 "<eos>", the others 0 "<｜end▁of▁sentence｜>"',
  ]);
});

it("a prompt of token ids is read by each model in its own", async () => {
  const ids = [bos, 40, 50, 60];
  const prompt = { type: "tokens" as const, tokens: ids };
  const [own, others] = [
    await answer(engine, { ...textRequest("static", ""), prompt, maxTokens: 1, topLogprobs: 5 }),
    await answer(engine, { ...textRequest("static-others", ""), prompt, maxTokens: 1, topLogprobs: 5 }),
  ];
  own.tokens[0]!.topLogprobs.forEach(({ id, logprob }, rank) => {
    expect(others.tokens[0]!.topLogprobs[rank]!.id).toBe(id);
    expect(others.tokens[0]!.topLogprobs[rank]!.logprob).toBeCloseTo(logprob, 3);
  });
});

it("gives what is renamed no shift, and all ends together the base's", async () => {
  await using library = await openLibrary({ backend: "cpu" });
  const models = new Map<string, LoadedModel>();
  for (const path of [starterModel("giant"), swapped("dwarf")]) models.set(path, await load(library, path));
  const [base, own] = [...models.values()] as [LoadedModel, LoadedModel];
  const roles = new TokenRoles(base, own, [bos, eos], base.vocabulary.size);
  const rows = [1, 2].map((seed) =>
    Float32Array.from(
      { length: base.vocabulary.size },
      (_, token) => Math.sin(seed * (token + 1)) * 5 + 7 * seed,
    ),
  );
  const logprobs = (row: Float32Array) => {
    const all = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
    return row.map((logit) => logit - all);
  };
  const before = rows.map((row) => {
    // What is renamed and no end has no part in it.
    const kept = row.slice();
    kept[eos] = -Infinity;
    return logprobs(kept);
  });
  rows.forEach((row) => roles.adapt(row));
  const after = rows.map(logprobs);
  expect(after[1]![bos]! - after[0]![bos]!).toBeCloseTo(0, 4);
  for (const which of [0, 1]) {
    expect(after[which]![eos]).toBeCloseTo(before[which]![bos]!, 4);
    expect(after[which]![500]).toBeCloseTo(before[which]![500]!, 4);
  }
});
