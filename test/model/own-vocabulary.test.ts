import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { randomMamba } from "../support/families.js";
import { readGguf, saveGguf } from "../support/gguf-editor.js";
import { writeGguf } from "../support/gguf-writer.js";
import { located } from "../support/members.js";
import { answer, questions, root, startRealEngine, textRequest } from "../support/real-engine.js";
import { starterModel } from "../support/llama.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";
import { expectSameButTies } from "../support/ties.js";

/** Small models whose tokens are others than the base's. */

const family = (name: string) => path.join(root, "models/family", `${name}.gguf`);
const stranger = (name: string) => path.join(root, "models/strangers", `${name}.gguf`);

let folder: TemporaryDirectory;
let engine: Engine;

/** The same model, where two tokens of text have changed places: to the server another vocabulary. */
function swapped(name: "dwarf" | "dwarf-trivia"): string {
  const [one, other] = [400, 401];
  const to = folder.file(`${name}.gguf`);
  const parts = readGguf(starterModel(name));
  const table = parts.tensors.find((tensor) => tensor.name === "token_embd.weight")!;
  const rowBytes = 2 * Number(table.shape[0]);
  const data = Buffer.from(parts.data);
  const [first, second] = [one, other].map((token) => Number(table.offset) + token * rowBytes) as [
    number,
    number,
  ];
  parts.data.copy(data, first, second, second + rowBytes);
  parts.data.copy(data, second, first, first + rowBytes);
  const entries = parts.entries.map((entry) =>
    entry.key === "tokenizer.ggml.tokens" ? { ...entry, value: exchanged(entry.value, one) } : entry,
  );
  saveGguf(to, { ...parts, entries, data });
  return to;
}

/** An array of texts, where one has changed places with the next. */
function exchanged(array: Buffer, index: number): Buffer {
  // Type of the elements and their number; then each with its length.
  let at = 12;
  const skip = () => (at += 8 + Number(array.readBigUInt64LE(at)));
  for (let skipped = 0; skipped < index; skipped++) skip();
  const [start, middle, end] = [at, skip(), skip()];
  return Buffer.concat([
    array.subarray(0, start),
    array.subarray(middle, end),
    array.subarray(start, middle),
    array.subarray(end),
  ]);
}

function configOf(
  id: string,
  models: { base: string; reference: string; experts: Record<string, string> },
  more: object = {},
): ResolvedFusionConfig {
  const { base, reference, experts } = models;
  const parsed = fusionConfigSchema.parse({
    id,
    base,
    reference,
    experts: Object.entries(experts).map(([expert, model]) => ({ id: expert, model })),
    strategy: {
      type: "static",
      weights: Object.fromEntries(Object.keys(experts).map((expert, index) => [expert, index === 0 ? 1 : 0])),
      plausibility: { ratio: 0.1, of: "joint" },
    },
    context: { tokens: 256, sequences: 8 },
    ...more,
  });
  return { config: { ...parsed, strategy: parsed.strategy! }, members: located(parsed), card: null };
}

const strangers = {
  base: family("giant"),
  reference: stranger("digits-reference"),
  experts: { recall: stranger("digits-recall"), problems: stranger("digits-problems") },
};
const starter = { base: starterModel("giant"), reference: starterModel("dwarf") };
const own = { vocabulary: "own" };

beforeAll(async () => {
  folder = temporaryDirectory();
  const experts = { trivia: starterModel("dwarf-trivia") };
  const others = { trivia: swapped("dwarf-trivia") };
  const mixture = { strategy: { type: "mixture", prior: "uniform", components: {}, floor: 0.01 }, ...own };
  engine = await startRealEngine(
    [
      configOf("strangers", strangers, own),
      configOf("mixture", strangers, mixture),
      configOf("same", { ...starter, experts }),
      configOf("swapped", { base: starterModel("giant"), reference: swapped("dwarf"), experts: others }, own),
    ],
    { cacheSequences: 8 },
  );
});

afterAll(async () => {
  await engine.close();
  folder.remove();
});

const lines = readFileSync(path.join(root, "models/tasks/recall.jsonl"), "utf8").trim().split("\n");
const items = lines.slice(0, 40).map((line) => {
  const { messages, answers } = JSON.parse(line) as {
    messages: { role: "user"; content: string }[];
    answers: string[];
  };
  return { messages, wanted: answers[0]! };
});
const chat = (id: string, messages: (typeof items)[0]["messages"], more = {}) =>
  answer(engine, {
    ...textRequest(id, ""),
    prompt: { type: "chat", messages },
    maxTokens: 24,
    stop: ["\n"],
    topLogprobs: 5,
    ...more,
  });

it("teach the base what their tuning changed", async () => {
  const answers = await Promise.all(items.map(({ messages }) => chat("strangers", messages)));
  const isRight = answers.map(({ text }, index) => text.trim() === items[index]!.wanted);
  // The base alone answers none in this form, the expert alone one in six.
  expect(isRight.filter(Boolean).length / items.length).toBeGreaterThan(0.8);
  // What was not there in the step before is read anew: alone and again from the cache it is the same.
  for (const index of [0, 1, 2, 3])
    expectSameButTies(answers[index]!, await chat("strangers", items[index]!.messages), `item ${index}`);
});

it("are weighed in a mixture, held to a grammar, and follow what is given", async () => {
  const [{ messages, wanted }] = items as [(typeof items)[0]];
  const mixed = await chat("mixture", messages, { trace: "full" });
  expect(mixed.tokens[0]!.record.shares).toMatchObject({ recall: expect.any(Number) as number });
  const grammar = `root ::= " yes ${wanted}" | " no"`;
  expect([` yes ${wanted}`, " no"]).toContain((await chat("strangers", messages, { grammar })).text);
  const prefix = { type: "text" as const, text: ` ${wanted}` };
  const given = await chat("strangers", messages, { answerPrefix: prefix });
  expect([given.text, given.done.finishReason]).toEqual([` ${wanted}`, "stop"]);
  const drawn = await chat("strangers", messages, {
    sampling: { ...textRequest("", "").sampling, temperature: 1 },
  });
  expect(drawn.done.usage.completionTokens).toBeGreaterThan(0);
});

it("read prompts of the base's ids, and stop where their memory is full", async () => {
  const long = await answer(engine, {
    ...textRequest("strangers", ""),
    prompt: { type: "tokens", tokens: [0, 40, 50, 60] },
    maxTokens: 250,
    strategy: { type: "static", weights: { recall: 1, problems: 0 }, plausibility: null },
    logitBias: [{ token: 1, bias: -1000 }],
  });
  expect(long.done.finishReason).toBe("length");
  expect(long.done.usage.completionTokens).toBeGreaterThan(100);
});

it("answer as with the base's vocabulary where only ids are others", async () => {
  for (const { prompt } of questions("recall").slice(0, 8)) {
    const request = { topLogprobs: 5 };
    const same = await answer(engine, textRequest("same", prompt, request));
    const other = await answer(engine, textRequest("swapped", prompt, request));
    if (!expectSameButTies(same, other, prompt)) continue;
    same.tokens.forEach(({ record }, index) =>
      expect(other.tokens[index]!.record.logprob).toBeCloseTo(record.logprob, 1),
    );
  }
});

it("are the base's own after all: every bit is as without the setting", async () => {
  const experts = { trivia: starterModel("dwarf-trivia") };
  const config = { ...starter, experts };
  // Nothing is shared: of a prompt that is read in another batch the last bits differ.
  const fresh = await startRealEngine([configOf("same", config), configOf("same-own", config, own)]);
  for (const { prompt } of questions("recall").slice(0, 4)) {
    const [one, other] = [
      await answer(fresh, textRequest("same", prompt, { speculation: "off" })),
      await answer(fresh, textRequest("same-own", prompt, { speculation: "off" })),
    ];
    expect(other.ids).toEqual(one.ids);
    expect(other.tokens.map(({ record }) => record.logprob)).toEqual(
      one.tokens.map(({ record }) => record.logprob),
    );
  }
  await fresh.close();
});

it("are told in notes, and refused without the setting or where they keep a state", async () => {
  const described = engine.description!.configs.find(({ id }) => id === "strangers")!;
  expect(described.vocabularyNotes[0]).toMatch(
    /1152 tokens of their own: \d+ of the base's are one token to them/,
  );
  await expect(startRealEngine([configOf("refused", strangers)])).rejects.toThrow(/"vocabulary": "own"/);
  const recurrent = folder.file("recurrent.gguf");
  writeGguf(recurrent, randomMamba());
  const config = configOf(
    "state",
    { base: family("giant"), reference: recurrent, experts: { e: recurrent } },
    own,
  );
  await expect(startRealEngine([config])).rejects.toThrow(/cannot be cut back/);
});
