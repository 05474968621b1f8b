import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import { readVocabulary, TextReader } from "../../src/engine/own/text-reader.js";
import { numReread } from "../../src/engine/own/way.js";
import { openLibrary } from "../../src/llama/library.js";
import type { LoadedModel, NativeLibrary, Token } from "../../src/llama/types.js";
import { load } from "../support/llama.js";
import { located } from "../support/members.js";
import { type Answer, countWays, followedWays, RowTeller, type Rule } from "../support/own-oracle.js";
import { answer, root, startRealEngine, textRequest } from "../support/real-engine.js";

/** Shifts of the shipped small models of other vocabularies, against what they can write, counted over libllama. */

/** Answers, and the places in them before whose token the small models are asked. */
const cases = [
  { pair: "digits", task: "recall", text: " Bofield", places: [0, 1] },
  { pair: "digits", task: "problems", text: " 12 + 25 = 37", places: [0, 2, 3] },
  { pair: "merged", task: "recall", text: " Bofield", places: [0, 1] },
] as const;
type Case = (typeof cases)[number];

/** Of the best one's probability, as in decision 19. */
const share = 0.1;
/** Strings less probable than this are not gone on with, ln. */
const faintest = -14;
/** Everything that a model can write. */
const everything: Rule = { from: 0, isFollowed: ({ log }) => log > faintest };

const fileOf = (name: string) => path.join(root, "models", `${name}.gguf`);
let library: NativeLibrary;
const loaded = new Map<string, LoadedModel>();

async function modelOf(name: string): Promise<LoadedModel> {
  const model = loaded.get(name) ?? (await load(library, fileOf(name)));
  loaded.set(name, model);
  return model;
}

beforeAll(async () => {
  library = await openLibrary({ backend: "cpu" });
});

afterAll(async () => {
  for (const model of loaded.values()) await model[Symbol.asyncDispose]();
  await library[Symbol.asyncDispose]();
});

const messages = (task: Case["task"]) => {
  const [line = ""] = readFileSync(path.join(root, `models/tasks/${task}.jsonl`), "utf8").split("\n");
  return (JSON.parse(line) as { messages: { role: "user"; content: string }[] }).messages;
};

/** Before each token of a given answer the base's and the fused log-probabilities [base's tokens], by the engine. */
async function engineRows({ pair, task }: Case, given: Token[], size: number) {
  const config = fusionConfigSchema.parse({
    ...{ id: "own", vocabulary: "own", base: fileOf("family/giant") },
    reference: fileOf(`strangers/${pair}-reference`),
    experts: [{ id: task, model: fileOf(`strangers/${pair}-${task}`) }],
    strategy: { type: "static", weights: { [task]: 1 }, plausibility: null },
    context: { tokens: 256, sequences: 2 },
  });
  const strategy = config.strategy!;
  const engine = await startRealEngine([
    { config: { ...config, strategy }, members: located(config), card: null },
  ]);
  const rowsBy = async (more: object) => {
    const { tokens } = await answer(engine, {
      ...textRequest("own", "", { forced: { type: "tokens", tokens: given }, topLogprobs: size, ...more }),
      prompt: { type: "chat", messages: messages(task) },
    });
    return tokens.map(({ topLogprobs }) => {
      const row = new Float64Array(size).fill(-Infinity);
      for (const { id, logprob } of topLogprobs) row[id] = logprob;
      return row;
    });
  };
  try {
    return { base: await rowsBy({ strategy: { type: "base" } }), fused: await rowsBy({}) };
  } finally {
    await engine.close();
  }
}

/** Of one token of the base. */
interface Compared {
  /** ln of what reference and expert give it by counting; the less. */
  least: number;
  /** Of the engine's fused law. */
  fused: number;
  /** By which the engine's shift is above the counted one, nats. */
  error: number;
}

describe.each(cases)("$pair, $task", (one) => {
  /** By place what was counted with everything, and with the ways that are followed. */
  const counted: { all: Compared[]; followed: Compared[] }[] = [];

  beforeAll(async () => {
    const base = await modelOf("family/giant");
    const reference = await modelOf(`strangers/${one.pair}-reference`);
    const models = [reference, await modelOf(`strangers/${one.pair}-${one.task}`)];
    const read = new TextReader(readVocabulary(base), readVocabulary(reference));
    const given = base.tokenize(one.text, false, true);
    const rows = await engineRows(one, given, base.vocabulary.size);
    for (const place of one.places) {
      const written = given.slice(0, place);
      const so: Answer = { text: written.map((token) => read.base.text(token)).join(""), written };
      const [ofBase, fused] = [rows.base[place]!, rows.fused[place]!];
      const least = Math.max(...ofBase) + Math.log(share);
      const likely = [...ofBase.keys()].filter((token) => ofBase[token]! >= least);
      const tellers: RowTeller[] = [];
      for (const model of models)
        tellers.push(await RowTeller.open(model, (await model.renderChat(messages(one.task))).tokens));
      const rule = await followedWays(tellers[1]!, so, { read, likely, share, numReread });
      const lawsBy = async (by: Rule) => [
        await countWays(tellers[0]!, so, { read, rule: by }),
        await countWays(tellers[1]!, so, { read, rule: by }),
      ];
      counted.push({
        all: compare(await lawsBy(everything), ofBase, fused),
        followed: compare(await lawsBy(rule), ofBase, fused),
      });
      for (const teller of tellers) await teller.close();
    }
  }, 300_000);

  it("is the count over the ways that are followed, for every token", () => {
    for (const { followed } of counted) {
      const known = followed.filter(({ least }) => least > -12);
      expect(known.length).toBeGreaterThan(0);
      for (const { error } of known) expect(Math.abs(error)).toBeLessThan(0.01);
    }
  });

  it("is the count over everything, for the tokens that may be taken", () => {
    const plausible = counted.flatMap(({ all }) => {
      const best = Math.max(...all.map(({ fused }) => fused));
      return all.filter(({ fused, least }) => fused > best + Math.log(share) && least > -12);
    });
    expect(plausible.length).toBeGreaterThan(1);
    for (const { error } of plausible) expect(Math.abs(error)).toBeLessThan(0.02);
  });
});

/** Laws of reference and expert, against what the engine made of them. */
function compare(laws: readonly Float64Array[], base: Float64Array, fused: Float64Array): Compared[] {
  const logs = laws.map((law) => {
    const all = law.reduce((sum, chance) => sum + chance, 0);
    return Array.from(law, (chance) => Math.log(chance / all));
  });
  const tokens = [...base.keys()].filter((token) => logs.every((law) => law[token]! > -Infinity));
  const compared = tokens.map((token) => {
    const [reference = NaN, expert = NaN] = logs.map((law) => law[token]!);
    const error = fused[token]! - base[token]! - (expert - reference);
    return { least: Math.min(reference, expert), fused: fused[token]!, error };
  });
  // Rows are known but for a constant.
  const sorted = compared
    .filter(({ least }) => least > -12)
    .map(({ error }) => error)
    .sort((a, b) => a - b);
  const middle = sorted[sorted.length >> 1]!;
  return compared.map((each) => ({ ...each, error: each.error - middle }));
}
