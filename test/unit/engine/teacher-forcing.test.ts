import { describe, expect, it } from "vitest";
import type { Plausibility } from "../../../src/fusion/types.js";
import { fixedWeights, type StrategyConfig } from "../../../src/strategies/registry.js";
import { dream, END, fakeRequest, says } from "../../support/fake-models.js";
import { doneOf, type Outcome, start, tokensOf } from "../../support/scripted-engine.js";

describe("teacher forcing", () => {
  const trained = { base: says("giant"), reference: says("dwarf"), experts: [says("right")] };

  it("takes the given tokens, with the record of each, and then ends", async () => {
    const { run } = start({
      ...trained,
      strategy: { type: "static", weights: { e0: 2 }, plausibility: null },
    });
    const outcome = await run(fakeRequest("a", { forced: { type: "text", text: "rival" }, maxTokens: 1 }));
    expect(outcome.text).toBe("rival");
    expect(doneOf(outcome)).toMatchObject({ finishReason: "length", usage: { completionTokens: 5 } });
    const records = outcome.events.flatMap((event) => (event.type === "delta" ? event.tokens : []));
    expect(records.map(({ record }) => record.weights)).toEqual(Array(5).fill({ e0: 2 }));
    // The law says "right": the first two letters are likely, the third is not.
    expect(records[1]!.record.logprob).toBeGreaterThan(-0.1);
    expect(records[2]!.record.logprob).toBeLessThan(-3);
  });

  it("takes another given text for each of several answers, and reads their prompt once", async () => {
    const { engine, models, outcomes, untilIdle } = start({ base: says("right") });
    const { model } = models.slots[0]!;
    const read: string[] = [];
    const tokenize = model.tokenizeAside.bind(model);
    model.tokenizeAside = (...given) => {
      read.push(given[0]);
      return tokenize(...given);
    };
    const texts = ["right", "rival", "left"];
    const choices = texts.map((text, index) => ({
      ...{ requestId: `c-${index}`, seed: 1 },
      forced: { type: "text", text } as const,
    }));
    const idle = untilIdle();
    engine.submit(fakeRequest("c-0", { forced: choices[0]!.forced }), choices);
    await idle;
    expect([...outcomes.values()].map(({ text }) => text).sort()).toEqual([...texts].sort());
    expect(read).toEqual([...texts, expect.any(String)]);
  });

  it("tells what the models give a token by themselves, as the base alone and the fused row have it", async () => {
    const { run } = start({
      ...trained,
      strategy: { type: "static", weights: { e0: 0 }, plausibility: null },
    });
    const forced = { type: "text", text: "rival" } as const;
    const outcome = await run(fakeRequest("a", { forced, wantsMembers: true }));
    const tokens = outcome.events.flatMap((event) => (event.type === "delta" ? event.tokens : []));
    for (const { record, members } of tokens) {
      expect(Object.keys(members ?? {})).toEqual(["base", "e0"]);
      // Weight 0 is the base.
      expect(members?.["base"]).toBeCloseTo(record.logprob, 5);
    }
    // The expert says "right".
    expect(tokens[0]?.members?.["e0"]).toBeGreaterThan(-0.1);
    expect(tokens[2]?.members?.["e0"]).toBeLessThan(-3);
    const plain = await run(fakeRequest("b", { forced }));
    expect(
      plain.events.flatMap((event) => (event.type === "delta" ? event.tokens : []))[0],
    ).not.toHaveProperty("members");
  });

  it("weighs every token by other strategies too, each as if it were the answer's", async () => {
    const models = {
      base: dream(1),
      reference: dream(2),
      experts: [dream(3), dream(4)],
      limits: { speculation: "off" } as const,
    };
    const part = (weight: number | "solved", plausibility: Plausibility | null) =>
      ({ kind: "fused", weight, plausibility }) as const;
    const strategies: StrategyConfig[] = [
      { type: "base" },
      { type: "static", weights: { e0: 1.5, e1: 0.5 }, plausibility: { ratio: 0.1, of: "joint" } },
      { type: "dynamic", solver: "exact", plausibility: null },
      // Its shares follow the answer, and one expert falls asleep.
      {
        type: "mixture",
        prior: { base: 0.2, e0: 1, e1: 1 },
        components: { e0: part(1, { ratio: 0.1, of: "gated" }), e1: part("solved", null) },
        floor: 0.01,
      },
      {
        type: "mixture",
        prior: { e1: 1 },
        components: { e1: { kind: "alone", weight: 1, plausibility: null } },
        floor: 0.01,
      },
    ];
    const answerPrefix = { type: "text", text: "rivaright" } as const;
    const all = { ...models, strategy: fixedWeights({}, null) };
    const together = await start(all).run(
      fakeRequest("a", { answerPrefix, maxTokens: 1, alsoBy: strategies }),
    );
    const tokensIn = ({ events }: Outcome) =>
      events.flatMap((event) => (event.type === "accepted" ? [] : event.tokens));
    for (const [index, strategy] of strategies.entries()) {
      const alone = await start({ ...models, strategy }).run(
        fakeRequest("b", { answerPrefix, maxTokens: 1, topLogprobs: 1, audit: "rows" }),
      );
      const laws = tokensIn(together).map(({ alsoBy }) => alsoBy![index]!);
      const given = tokensIn(alone);
      expect(laws).toHaveLength(given.length);
      for (const [at, { record, topLogprobs }] of given.entries()) {
        const { logprob, best } = laws[at]!;
        expect(best).toMatchObject({ token: topLogprobs[0]!.id, isEnd: topLogprobs[0]!.id === END });
        expect(best.logprob).toBeCloseTo(topLogprobs[0]!.logprob, 6);
        // What is drawn at the end is each law's own.
        if (at < answerPrefix.text.length) expect(logprob).toBeCloseTo(record.logprob, 6);
      }
    }
    const plain = await start(all).run(fakeRequest("c", { answerPrefix, maxTokens: 1 }));
    expect(tokensIn(plain)[0]).not.toHaveProperty("alsoBy");
  });

  it("goes on past an end of sequence and over stop strings", async () => {
    const { run } = start({ base: says("x") });
    const tokens = [0x61, END, 0x62];
    const outcome = await run(fakeRequest("a", { forced: { type: "tokens", tokens }, stop: ["b"] }));
    expect(tokensOf(outcome)).toEqual(tokens);
    expect(outcome.text).toBe("ab");
  });

  it("is refused when it does not fit, with both numbers", async () => {
    const { run } = start({ base: says("x") });
    const forced = { type: "text", text: "y".repeat(60) } as const;
    const outcome = await run(fakeRequest("a", { forced }));
    expect(outcome.error).toMatchObject({ code: "context_length_exceeded" });
    expect(outcome.error?.message).toMatch(/60 of them for the completion, and the prompt has 9/);
  });

  it("an answer's beginning is weighed as if it had been drawn, and the rest is drawn", async () => {
    const { run } = start({
      ...trained,
      strategy: { type: "static", weights: { e0: 2 }, plausibility: null },
      limits: { speculation: "off" },
    });
    const whole = await run(fakeRequest("a", { maxTokens: 4 }));
    const answerPrefix = { type: "text", text: "ri" } as const;
    const outcome = await run(fakeRequest("b", { answerPrefix, maxTokens: 2 }));
    expect(outcome.text).toBe("righ");
    // What is given is read in a block.
    const { basePasses, ...fusion } = doneOf(whole).usage.fusion;
    expect(doneOf(outcome).usage).toMatchObject({ ...doneOf(whole).usage, fusion });
    expect(doneOf(outcome).usage.fusion.basePasses).toBeLessThan(basePasses);
    const plainRecords = ({ events }: Outcome) =>
      events
        .flatMap((event) => (event.type === "delta" ? event.tokens : []))
        .map(({ record }) => ({ ...record, timing: null }));
    expect(plainRecords(outcome)).toEqual(plainRecords(whole));
  });

  it("tells the bytes of tokens that are no whole characters", async () => {
    const { run } = start({ base: says("x") });
    const outcome = await run(fakeRequest("a", { forced: { type: "text", text: "aé" } }));
    const records = outcome.events.flatMap((event) => (event.type === "delta" ? event.tokens : []));
    expect(records.map(({ record }) => record.token)).toEqual([
      { id: 0x61, text: "a" },
      { id: 0xc3, text: "\ufffd", bytes: [0xc3] },
      { id: 0xa9, text: "\ufffd", bytes: [0xa9] },
    ]);
  });

  it("an answer that begins and may not go on is its beginning", async () => {
    const { run } = start({ base: says("right") });
    const outcome = await run(fakeRequest("a", { answerPrefix: { type: "text", text: "xy" }, maxTokens: 0 }));
    expect(outcome.text).toBe("xy");
    expect(doneOf(outcome)).toMatchObject({ finishReason: "length", usage: { completionTokens: 2 } });
  });
});
