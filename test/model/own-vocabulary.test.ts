import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { answerOf, scoreAnswer } from "../../src/calibration/ask.js";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { randomMamba } from "../support/families.js";
import { readGguf, saveGguf } from "../support/gguf-editor.js";
import { writeGguf } from "../support/gguf-writer.js";
import { located } from "../support/members.js";
import { isStopped } from "../support/processes.js";
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
/** With fewer tokens than the base. */
const fewer = {
  base: family("giant"),
  reference: stranger("merged-reference"),
  experts: { recall: stranger("merged-recall") },
};
const recallAlone = {
  type: "static" as const,
  weights: { recall: 1, problems: 0 },
  plausibility: { ratio: 0.1, of: "gated" as const },
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
      configOf("fewer", fewer, own),
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

it("are scored by the base's tokens of a given answer, as calibration does", async () => {
  const asked = { engine, configId: "strangers", signal: new AbortController().signal };
  let [numAgreed, numTokens] = [0, 0];
  for (const { messages, wanted } of items.slice(0, 8)) {
    const prompt = { type: "chat" as const, messages };
    const given = await answerOf(asked, { expert: "recall", prompt, answer: wanted });
    const query = {
      type: "detokenize" as const,
      configId: "strangers",
      tokens: Int32Array.from(given.tokens),
    };
    expect(
      Buffer.from((await engine.query(query)).bytes)
        .toString()
        .trim(),
    ).toBe(wanted);
    const [score] = await scoreAnswer(asked, given, { strategies: [recallAlone], expert: null });
    numAgreed += score!.numAgreed;
    numTokens += score!.numTokens;
  }
  expect(numAgreed / numTokens).toBeGreaterThan(0.8);
});

it("are weighed in a mixture, held to a grammar, and follow what is given", async () => {
  const [{ messages, wanted }] = items as [(typeof items)[0]];
  const mixed = await chat("mixture", messages, { trace: "full" });
  expect(mixed.tokens[0]!.record.shares).toMatchObject({ recall: expect.any(Number) as number });
  const grammar = `root ::= " yes ${wanted}" | " no"`;
  expect([` yes ${wanted}`, " no"]).toContain((await chat("strangers", messages, { grammar })).text);
  expect([` yes ${wanted}`, " no"]).toContain((await chat("fewer", messages, { grammar })).text);
  expect((await chat("fewer", messages, { minTokens: 12, stop: [] })).ids.length).toBeGreaterThanOrEqual(12);
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

it("are left within a look ahead by who hangs up, and neighbours go on; who waits too long meanwhile is told", async () => {
  const stop = folder.file("stop");
  process.env["LOOK_STOP"] = stop;
  const queueTimeoutMs = 2_000;
  const config = configOf("strangers", strangers, { ...own, context: { tokens: 256, sequences: 3 } });
  const entry = new URL("../support/looking-child.mjs", import.meta.url);
  const looking = await startRealEngine([config], { queueTimeoutMs }, entry);
  onTestFinished(() => looking.close());
  const ask = (index: number) => ({
    ...textRequest("strangers", ""),
    prompt: { type: "chat" as const, messages: items[index]!.messages },
    ...{ maxTokens: 60, minTokens: 60, topLogprobs: 5 },
  });
  const alone = [await answer(looking, ask(0)), await answer(looking, ask(1))];
  const leaving = new AbortController();
  const left = (async () => {
    let isDone = false;
    for await (const { type } of looking.generate({ ...ask(2), maxTokens: 200 }, leaving.signal))
      isDone ||= type === "done";
    return isDone;
  })();
  const neighbours = [0, 1].map((index) => answer(looking, ask(index)));
  await expect.poll(() => looking.stats.running, { interval: 5 }).toBe(3);
  const { pid } = looking.description!;
  const untilLooking = async () => {
    writeFileSync(stop, "");
    await expect.poll(() => isStopped(pid), { interval: 5 }).toBe(true);
  };

  const late = answer(looking, ask(3));
  const askedMs = performance.now();
  let outcome: unknown = null;
  late.catch((error: unknown) => (outcome = error));
  await expect.poll(() => looking.stats.waiting, { interval: 1 }).toBe(1);
  await untilLooking();
  expect(outcome).toBeNull();
  await expect.poll(() => performance.now() - askedMs).toBeGreaterThan(queueTimeoutMs);
  process.kill(pid, "SIGCONT");
  await expect(late).rejects.toMatchObject({ code: "queue_timeout" });
  expect(looking.stats.running).toBe(3);

  await untilLooking();
  leaving.abort();
  expect(await left).toBe(false);
  const running: number[] = [];
  looking.onStep(() => running.push(looking.stats.running));
  process.kill(pid, "SIGCONT");
  const together = await Promise.all(neighbours);
  // The step that stood still, and one without it.
  expect(running[1]).toBe(2);
  for (const [index, one] of together.entries()) expectSameButTies(alone[index]!, one, `neighbour ${index}`);
  await expect.poll(() => looking.stats.running).toBe(0);
  for (const [model, { used }] of Object.entries(looking.stats.cells)) expect(used, model).toBe(0);
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
