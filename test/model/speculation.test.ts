import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resolveConfigs } from "../../src/cli/open-engine.js";
import { loadFusionConfigs, selectFusionConfigs } from "../../src/config/load.js";
import { settingsSchema } from "../../src/config/settings.js";
import { drawByGumbel } from "../../src/llama/gumbel.js";
import type { Engine, GenerationRequest } from "../../src/protocol/protocol.js";
import { type Answer, answer, root, startRealEngine } from "../support/real-engine.js";
import { greedy } from "../support/fake-models.js";
import { plainRequest } from "../../src/protocol/protocol.js";
import { expectSameButTies, tieNats } from "../support/ties.js";

const tasks = ["recall", "problems", "headline", "choice"] as const;
/** 400: all; docs/fusion.md says what came of that. */
const numItems = Number(process.env["SHOULDERS_TEST_ITEMS"] ?? 16);
const numHalf = Math.ceil(numItems / 2);

interface Item {
  messages: { role: "user"; content: string }[];
}

const itemsOf = (task: string): Item[] =>
  readFileSync(path.join(root, "models/tasks", `${task}.jsonl`), "utf8")
    .trim()
    .split("\n")
    .slice(0, numItems)
    .map((line) => JSON.parse(line) as Item);

/** What came of a longer look. */
function tell(what: string, numEqual: number, numAll: number): void {
  if (numItems > 16)
    console.info(`${what}: ${numEqual} of ${numAll} texts equal throughout, the others to a tie`);
}

let numRequests = 0;
const request = (
  configId: string,
  { messages }: Item,
  asked: Partial<GenerationRequest>,
): GenerationRequest => ({
  ...plainRequest,
  requestId: `speculation-${++numRequests}`,
  owner: "",
  party: "",
  configId,
  prompt: { type: "chat", messages },
  maxTokens: 48,
  stop: ["\n"],
  sampling: greedy,
  seed: 1,
  trace: "weights",
  ...asked,
});

/**
 * Expects answers at temperature 1 of one seed to be equal up to the first tie: where they part, a hair more or less of a
 * logit decides which of both tokens has more of logit and noise.
 */
function expectSameDraws(plain: Answer, ours: Answer, seed: number, name: string): boolean {
  const first = plain.ids.findIndex((id, position) => id !== ours.ids[position]);
  if (first < 0) {
    expect(ours.text, name).toBe(plain.text);
    return true;
  }
  const logprobOf = (id: number) => plain.tokens[first]!.topLogprobs.find((top) => top.id === id)?.logprob;
  const [one, other] = [plain.ids[first]!, ours.ids[first]!];
  const [a, b] = [logprobOf(one), logprobOf(other)];
  expect(
    [a, b].every((logprob) => logprob !== undefined),
    `${name}: token ${first}`,
  ).toBe(true);
  const drawn = (shift: number) =>
    drawByGumbel(
      {
        ids: Int32Array.of(one, other),
        logits: Float32Array.of(a!, b! + shift),
        ...{ stride: 1, offset: 0, count: 2 },
      },
      { seed, position: first },
    );
  expect(drawn(-tieNats), `${name}: token ${first}`).not.toBe(drawn(tieNats));
  return false;
}

describe("answers of the shipped configs, with speculation and without", () => {
  let engine: Engine;

  beforeAll(async () => {
    const configs = selectFusionConfigs(loadFusionConfigs(path.join(root, "fusion-configs")), [
      ...tasks,
      "all",
      "all-paper",
    ]);
    engine = await startRealEngine(
      await resolveConfigs(configs, settingsSchema.parse({}), new AbortController().signal),
    );
  });

  afterAll(async () => engine.close());

  it.each([...tasks])("are the same, greedy, eight at once and one by one (%s)", async (task) => {
    const items = itemsOf(task);
    const ask = (item: Item, asked: Partial<GenerationRequest>) =>
      answer(engine, request(task, item, { topLogprobs: 3, ...asked }));
    let [numCertain, numTokens, numEqual] = [0, 0, 0];
    for (let from = 0; from < items.length; from += 8) {
      const eight = items.slice(from, from + 8);
      const [together, plain] = [
        await Promise.all(eight.map((item) => ask(item, {}))),
        await Promise.all(eight.map((item) => ask(item, { speculation: "off" }))),
      ];
      for (const [index, item] of eight.entries()) {
        const name = `${task} ${from + index}`;
        if (expectSameButTies(plain[index]!, together[index]!, name)) numEqual++;
        if (index === 0) expectSameButTies(plain[index]!, await ask(item, {}), `${name}, alone`);
        const { fusion } = together[index]!.done.usage;
        numCertain += fusion.certain;
        numTokens += together[index]!.ids.length;
        expect(fusion.certain + fusion.tokens).toBe(together[index]!.ids.length);
        expect(plain[index]!.done.usage.fusion.certain).toBe(0);
      }
    }
    tell(task, numEqual, items.length);
    expect(numEqual).toBeGreaterThanOrEqual(0.9 * items.length);
    expect(numCertain / numTokens).toBeGreaterThan(0.2);
  });

  it.each(["all", "all-paper"])("are the same where an expert only guesses (%s)", async (config) => {
    let [numGuesses, numRight, numEqual] = [0, 0, 0];
    const items = [...itemsOf("problems").slice(0, 8), ...itemsOf("recall").slice(0, 8)];
    for (const [index, item] of items.entries()) {
      const ask = (speculation: "on" | "off") =>
        answer(engine, request(config, item, { topLogprobs: 3, speculation }));
      const [ours, plain] = [await ask("on"), await ask("off")];
      if (expectSameButTies(plain, ours, `${config} ${index}`)) numEqual++;
      const { drafts, drafted, accepted, acceptedAt, basePasses } = ours.done.usage.fusion;
      numGuesses += drafted;
      numRight += accepted;
      expect(acceptedAt.reduce((sum, count) => sum + count, 0)).toBe(accepted);
      expect(acceptedAt.every((count) => count <= drafts)).toBe(true);
      expect(basePasses).toBeLessThanOrEqual(ours.ids.length);
      expect(plain.done.usage.fusion).toMatchObject({ drafts: 0, drafted: 0, accepted: 0, acceptedAt: [] });
    }
    expect(numEqual).toBeGreaterThanOrEqual(0.9 * items.length);
    // It is tried, whether or not it pays on this machine.
    expect(numGuesses).toBeGreaterThan(0);
    expect(numRight).toBeLessThanOrEqual(numGuesses);
  });

  it("are the same in the mixture of four, whose base sleeps where nobody asks for numbers", async () => {
    let [numEqual, numCertain, numPasses, numTokens] = [0, 0, 0, 0];
    const items = [...itemsOf("problems").slice(0, numHalf), ...itemsOf("headline").slice(0, numHalf)];
    for (const [index, item] of items.entries()) {
      const ours = await answer(engine, request("all", item, { trace: "off" }));
      const plain = await answer(engine, request("all", item, { topLogprobs: 3, speculation: "off" }));
      if (expectSameButTies(plain, ours, `all ${index}`)) numEqual++;
      const { certain, basePasses, lost } = ours.done.usage.fusion;
      expect(lost).toBe(0);
      numCertain += certain;
      numPasses += basePasses;
      numTokens += ours.ids.length;
    }
    tell("all, no numbers asked for", numEqual, items.length);
    expect(numEqual).toBeGreaterThanOrEqual(0.9 * items.length);
    // The rest is guessed where that pays on this machine.
    expect(numCertain / numTokens).toBeGreaterThan(0.2);
    expect(numPasses).toBeLessThan(numTokens);
  });

  it.each([...tasks])("are the same for one seed at temperature 1 (%s)", async (task) => {
    const items = itemsOf(task).slice(0, numHalf);
    let numEqual = 0;
    for (const seed of [1, 2]) {
      const ask = (item: Item, speculation: "on" | "off") =>
        answer(
          engine,
          request(task, item, {
            ...{ seed, speculation, topLogprobs: 20 },
            sampling: { ...greedy, temperature: 1 },
          }),
        );
      const [ours, plain] = [
        await Promise.all(items.map((item) => ask(item, "on"))),
        await Promise.all(items.map((item) => ask(item, "off"))),
      ];
      for (const index of items.keys())
        if (expectSameDraws(plain[index]!, ours[index]!, seed, `${task} ${index}, seed ${seed}`)) numEqual++;
    }
    tell(`${task}, temperature 1`, numEqual, 2 * items.length);
    expect(numEqual).toBeGreaterThanOrEqual(0.9 * 2 * items.length);
  });

  it("come from experts alone in the mixture of four, once its base's component may be left out", async () => {
    const items = itemsOf("problems").slice(0, 4);
    const asked = { sampling: { ...greedy, temperature: 1 }, topLogprobs: 20 };
    const prior = { shares: { base: 0.01, problems: 0.99 }, bias: {}, isPinned: false };
    for (const item of items) {
      const ask = (more: Partial<GenerationRequest>) =>
        answer(engine, request("all", item, { ...asked, prior, ...more }));
      const [ours, plain, exact] = [
        await ask({ loss: 0.02 }),
        await ask({ loss: 0.02, speculation: "off" }),
        await ask({}),
      ];
      expectSameDraws(plain, ours, 1, "loss");
      expect(ours.done.usage.fusion.lost).toBeCloseTo(0.01, 6);
      expect(ours.done.usage.fusion.certain).toBeGreaterThan(0);
      expect(exact.done.usage.fusion).toMatchObject({ lost: 0, certain: 0 });
    }
  });

  it("leave whole records where an audit asks for them, of the same tokens", async () => {
    for (const item of itemsOf("problems").slice(0, 4)) {
      const [audited, plain] = [
        await answer(engine, request("problems", item, { audit: "rows", topLogprobs: 3 })),
        await answer(engine, request("problems", item, { topLogprobs: 3 })),
      ];
      expectSameButTies(audited, plain, "audit");
      for (const { record } of audited.tokens) expect(record.nats).not.toBeNull();
      expect(plain.tokens.some(({ record }) => record.nats === null)).toBe(true);
    }
  });
});
