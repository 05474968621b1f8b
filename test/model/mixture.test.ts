import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StrategyConfig } from "../../src/strategies/registry.js";
import type { Engine, GenerationRequest } from "../../src/protocol/protocol.js";
import {
  type Answer,
  answer,
  type ConfigParts,
  questions,
  resolvedConfig,
  startRealEngine,
  textRequest,
} from "../support/real-engine.js";
import { expectSameButTies } from "../support/ties.js";

const tasks = { trivia: questions("recall").slice(30, 50), sums: questions("sums").slice(30, 50) };
const prompts = [...tasks.trivia.slice(0, 10), ...tasks.sums.slice(0, 10)].map(({ prompt }) => prompt);

type Mixture = Extract<StrategyConfig, { type: "mixture" }>;
const plausibility = { ratio: 0.1, of: "joint" } as const;
const trivia = { kind: "fused", weight: 1, plausibility } as const;
const sums = { kind: "fused", weight: "solved", plausibility: null } as const;
const mixture = (floor: number, components: Mixture["components"]): Mixture => ({
  type: "mixture",
  prior: "card",
  components,
  floor,
});
/** Over all tokens: whether a token is just plausible may depend on the last digits, and then all that follows. */
const whole = { ...trivia, plausibility: null };
const over = mixture(0, { trivia: whole, sums, idle: whole });
const beginning = (shares: Record<string, number>) => ({ prior: { shares, bias: {}, isPinned: false } });
const equal = { trivia: 1, sums: 1 };
const sumOf = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

describe("a mixture on the starter models", () => {
  let engine: Engine;
  const family = { base: "giant", reference: "dwarf" };
  const experts = { trivia: "dwarf-trivia", sums: "dwarf-sums" };
  const config = (parts: Omit<ConfigParts, "base" | "reference">) => resolvedConfig({ ...family, ...parts });
  const turned = { sums: experts.sums, trivia: experts.trivia };

  beforeAll(async () => {
    engine = await startRealEngine(
      [
        config({ id: "mixture", experts, strategy: over }),
        config({ id: "turned", experts: turned, strategy: over }),
        config({ id: "idle", experts: { ...experts, idle: "dwarf" }, strategy: over }),
        config({ id: "floor", experts, strategy: mixture(0.01, { trivia, sums }) }),
        config({ id: "whole", experts, strategy: mixture(0.01, { trivia: whole, sums }) }),
        config({
          id: "trivia",
          experts: { trivia: experts.trivia },
          strategy: { type: "static", weights: { trivia: 1 }, plausibility },
        }),
        config({ id: "sums", experts: { sums: experts.sums } }),
      ],
      { cacheSequences: 4 },
    );
  });

  afterAll(async () => engine.close());

  const ask = (configId: string, text: string, options: Partial<GenerationRequest> = {}) =>
    answer(engine, textRequest(configId, text, { topLogprobs: 5, maxTokens: 24, ...options }));
  const logprobOf = ({ tokens }: Answer) => sumOf(tokens.map(({ record }) => record.logprob));

  /** How many answers are equal token for token; the others part at a tie. */
  async function countEqual(texts: readonly string[], asks: ((text: string) => Promise<Answer>)[]) {
    const [one, other] = asks as [(typeof asks)[0], (typeof asks)[0]];
    const same = await Promise.all(
      texts.map(async (text) => expectSameButTies(...(await Promise.all([one(text), other(text)])), text)),
    );
    return same.filter(Boolean).length;
  }

  it.each(["trivia", "sums"])(
    "of one component is the single expert's strategy, text for text (%s)",
    async (id) => {
      const numEqual = await countEqual(prompts, [
        (text) => ask(id, text),
        (text) => ask("floor", text, beginning({ [id]: 1 })),
      ]);
      expect(numEqual).toBeGreaterThanOrEqual(prompts.length - 2);
    },
  );

  it("decodes no expert that has no share", async () => {
    const { tokens, done } = await ask("floor", prompts[0]!, beginning({ base: 1, trivia: 2 }));
    for (const { record } of tokens) {
      expect(Object.keys(record.weights)).not.toContain("sums");
      expect(sumOf(Object.values(record.shares!))).toBeCloseTo(1, 5);
    }
    expect(done.usage.fusion).toMatchObject({ tokens: tokens.length });
    expect(done.usage.fusion.nats).toBeGreaterThan(0);
  });

  it("does not depend on the order of the experts", async () => {
    const asks = ["mixture", "turned"].map((id) => (text: string) => ask(id, text, beginning(equal)));
    expect(await countEqual(prompts, asks)).toBeGreaterThanOrEqual(prompts.length - 2);
  });

  it("is not changed by an expert that is the reference", async () => {
    const asks = [
      (text: string) => ask("mixture", text, beginning(equal)),
      (text: string) => ask("idle", text, beginning({ ...equal, idle: 1 })),
    ];
    expect(await countEqual(prompts, asks)).toBeGreaterThanOrEqual(prompts.length - 2);
  });

  it("gives no answer less probability than any component, but for its prior", async () => {
    const shares = { base: 0.2, trivia: 0.5, sums: 0.3 };
    for (const { prompt, answer: text } of [...tasks.trivia, ...tasks.sums]) {
      const forced = { forced: { type: "text", text } as const };
      const mixed = logprobOf(await ask("mixture", prompt, { ...forced, ...beginning(shares) }));
      for (const [id, share] of Object.entries(shares)) {
        const alone = logprobOf(await ask("mixture", prompt, { ...forced, ...beginning({ [id]: 1 }) }));
        // Rows of other batches differ in their last digits.
        const slack = 0.05 + 0.002 * Math.abs(alone);
        expect(-mixed).toBeLessThanOrEqual(-alone - Math.log(share) + slack);
      }
    }
  }, 300_000);

  it("is changed in at most 1 % of greedy answers by an expert that fits nothing", async () => {
    for (const [task, id, stranger] of [
      ["recall", "trivia", "sums"],
      ["sums", "sums", "trivia"],
    ] as const) {
      const texts = questions(task).slice(0, 100);
      const changed = await Promise.all(
        texts.map(async ({ prompt }) => {
          const shares = { base: 0.1, [id]: 0.9 };
          const [without, withIt] = await Promise.all(
            [shares, { ...shares, [stranger]: 0.02 }].map((all) =>
              ask("mixture", prompt, { ...beginning(all), maxTokens: 12 }),
            ) as [Promise<Answer>, Promise<Answer>],
          );
          const first = without.ids.findIndex((token, index) => token !== withIt.ids[index]);
          const [best, second] = without.tokens[first]?.topLogprobs ?? [];
          // Answers to one request part at such a tie when their batches have other shapes.
          return best !== undefined && second !== undefined && best.logprob - second.logprob > 0.01;
        }),
      );
      expect(changed.filter(Boolean).length).toBeLessThanOrEqual(texts.length / 100);
    }
  }, 300_000);

  it.each(["mixture", "trivia", "sums"])("keeps the budgets of tokens and replies (%s)", async (id) => {
    for (const prompt of [prompts[0]!, prompts[12]!]) {
      const free = await ask(id, prompt);
      const token = await ask(id, prompt, { budget: { tokenNats: 0.1, replyNats: null } });
      for (const { record } of token.tokens) expect(record.divergence.forward).toBeLessThanOrEqual(0.1);
      expect(token.done.usage.fusion.nats).toBeLessThanOrEqual(0.1 * token.tokens.length);
      const half = free.done.usage.fusion.nats / 2;
      const reply = await ask(id, prompt, { budget: { tokenNats: null, replyNats: half } });
      expect(reply.done.usage.fusion.nats).toBeLessThanOrEqual(half);
      expect(reply.done.usage.fusion.nats).toBeGreaterThan(half / 2);
    }
  });

  it("answers alike with and without the prefix cache, also where experts slept: shares begin anew", async () => {
    const examples = tasks.sums.slice(0, 3).map(({ prompt, answer: right }) => `${prompt} ${right}\n`);
    const starts = [{ base: 0.2, trivia: 0.8 }, { base: 0.1, trivia: 0.5, sums: 0.4 }, { sums: 1 }];
    let [numEqual, numCached, numAsleep] = [0, 0, 0];
    for (const [index, { prompt }] of tasks.trivia.slice(0, 6).entries())
      for (const [turn, shares] of starts.entries()) {
        const request = (owner: string) =>
          ask("whole", examples.join("") + prompt, { owner, ...beginning(shares) });
        const [cold, warm] = [await request(`cold-${index}-${turn}`), await request("warm")];
        expect(cold.done.usage.cachedTokens).toBe(0);
        if (warm.done.usage.cachedTokens > 50) numCached++;
        const [first, other] = [cold, warm].map(({ tokens }) => tokens[0]!.record.shares!);
        expect(other).toEqual(first);
        if (cold.tokens.some(({ record }) => Object.keys(record.weights).length < 2)) numAsleep++;
        if (!expectSameButTies(cold, warm, `${turn}: ${prompt}`)) continue;
        numEqual++;
        for (const [position, { record }] of cold.tokens.entries())
          for (const [component, share] of Object.entries(record.shares!))
            expect(warm.tokens[position]!.record.shares![component]).toBeCloseTo(share, 1);
      }
    expect(numEqual).toBeGreaterThanOrEqual(16);
    // All but the first; in it the experts that slept before have all of the prompt yet to read.
    expect(numCached).toBe(17);
    expect(numAsleep).toBeGreaterThanOrEqual(12);
  });
});
