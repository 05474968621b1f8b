import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { BatchCosts } from "../../../src/engine/batch-costs.js";
import { Cursor } from "../../../src/engine/cursor.js";
import { Doze } from "../../../src/engine/doze.js";
import { ShouldersError } from "../../../src/errors.js";
import type { GenerationRequest, GivenText } from "../../../src/protocol/protocol.js";
import type { StrategyConfig } from "../../../src/strategies/registry.js";
import { numRuns } from "../../support/num-runs.js";
import {
  dream,
  fakeRequest,
  type FakeLaw,
  type FakeModelsOptions,
  greedy,
  partlySure,
  peak,
  says,
} from "../../support/fake-models.js";
import { doneOf, entered, type Outcome, recordsOf, start, tokensOf } from "../../support/scripted-engine.js";

const models = (sure: number, numExperts = 1): FakeModelsOptions => ({
  base: dream(1),
  reference: dream(2),
  experts: Array.from({ length: numExperts }, (_, index) => partlySure(3 + index, sure)),
});

const expertSet = { ratio: 0.1, of: "expert" } as const;
const gatedSet = { ratio: 0.1, of: "gated" } as const;
const strategies: Record<string, StrategyConfig> = {
  dynamic: { type: "dynamic", solver: "exact", plausibility: expertSet },
  gated: { type: "dynamic", solver: "exact", plausibility: gatedSet },
  static: { type: "static", weights: { e0: 1 }, plausibility: expertSet },
  joint: { type: "dynamic", solver: "exact", plausibility: { ratio: 0.1, of: "joint" } },
  paper: { type: "dynamic", solver: "exact", plausibility: null },
  mixture: {
    type: "mixture",
    prior: { e0: 1, base: 0 },
    components: { e0: { kind: "fused", weight: 1, plausibility: expertSet } },
    floor: 0.01,
  },
  shared: {
    type: "mixture",
    prior: "uniform",
    components: { e0: { kind: "fused", weight: 1, plausibility: expertSet } },
    floor: 0.01,
  },
};
const prompt = (text: string) => ({ prompt: { type: "text", text } as const });

/** All that a client sees of an answer but when it came, and what nobody asked the base for. */
function told(outcome: Outcome) {
  const { finishReason, stopString, usage } = doneOf(outcome);
  const tokens = recordsOf(outcome).map(({ position, token, logprob, shares }) => ({
    position,
    token,
    shares,
    logprob: Math.round(logprob * 1e6) / 1e6 + 0,
  }));
  return {
    ...{ text: outcome.text, tokens, finishReason, stopString },
    ...{ promptTokens: usage.promptTokens, completionTokens: usage.completionTokens },
  };
}

async function answers(
  options: FakeModelsOptions & Parameters<typeof start>[0],
  requests: readonly GenerationRequest[],
): Promise<Outcome[]> {
  const { run, models: loaded, untilIdle } = start(options);
  const idle = untilIdle();
  const outcomes = await Promise.all(requests.map(run));
  await idle;
  if (!options.limits?.cacheSequences)
    for (const { cells } of loaded.contexts) expect([...cells.values()].flat()).toEqual([]);
  return outcomes;
}

const without = (request: GenerationRequest): GenerationRequest => ({ ...request, speculation: "off" });

describe("tokens that experts settle", () => {
  afterEach(() => vi.restoreAllMocks());

  it.each(Object.keys(strategies))("are the same as when the base is asked for each (%s)", async (name) => {
    const strategy = strategies[name]!;
    const options = { ...models(7), strategy };
    const requests = ["one:", "two:", "three:"].map((text, index) =>
      fakeRequest(`r${index}`, { ...prompt(text), maxTokens: 25 }),
    );
    const [ours, plain] = [await answers(options, requests), await answers(options, requests.map(without))];
    expect(ours.map(told)).toEqual(plain.map(told));
    const certain = ours.map((outcome) => doneOf(outcome).usage.fusion.certain);
    const isByExperts = ["dynamic", "gated", "static", "mixture"].includes(name);
    expect(certain.every((count) => (isByExperts ? count > 5 : count === 0))).toBe(true);
    expect(plain.every((outcome) => doneOf(outcome).usage.fusion.certain === 0)).toBe(true);
  });

  const anyRequest = fc.record({
    text: fc.constantFrom("a:", "bb:", "ccc:", "bb:d:"),
    maxTokens: fc.integer({ min: 1, max: 30 }),
    seed: fc.nat(1000),
    temperature: fc.constantFrom(0, 0.7, 1),
    presencePenalty: fc.constantFrom(0, 1.5),
    stop: fc.constantFrom<string[]>([], ["a"], ["0", "ee"]),
    logitBias: fc.constantFrom<{ token: number; bias: number }[]>([], [{ token: 101, bias: 9 }]),
    answerPrefix: fc.constantFrom<GivenText | null>(null, { type: "tokens", tokens: [97, 98, 99] }),
    topLogprobs: fc.constantFrom(null, 1, 3),
    budget: fc.constantFrom(null, null, { tokenNats: 0.5, replyNats: null }),
    grammar: fc.constantFrom(null, null, 'root ::= [a-p]* "z"'),
  });

  it("whatever is asked, of several at once or one after the other, with little room or much", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyRequest, { minLength: 1, maxLength: 5 }),
        fc.record({
          sure: fc.integer({ min: 0, max: 10 }),
          numExperts: fc.integer({ min: 1, max: 2 }),
          name: fc.constantFrom(...Object.keys(strategies)),
          batchTokens: fc.constantFrom(4, 7, 16),
          cacheSequences: fc.constantFrom(0, 2),
          /** What a token more costs, as a share of the first: how long blocks of guesses get. */
          slope: fc.constantFrom(0, 0.05, 0.3, 2),
        }),
        async (asked, { sure, numExperts, name, batchTokens, cacheSequences, slope }) => {
          vi.spyOn(BatchCosts.prototype, "of").mockImplementation((count) => 1 + slope * count);
          const options = {
            ...models(sure, numExperts),
            strategy: strategies[name]!,
            batchTokens,
            limits: { cacheSequences },
          };
          const requests = asked.map(({ text, temperature, presencePenalty, ...rest }, index) =>
            fakeRequest(`r${index}`, {
              ...prompt(text),
              ...rest,
              sampling: { ...greedy, temperature, presencePenalty },
            }),
          );
          const ours = await answers(options, requests);
          const plain = await answers(options, requests.map(without));
          expect(ours.map(told)).toEqual(plain.map(told));
          const alone = [];
          for (const request of requests) alone.push(...(await answers(options, [request])));
          expect(alone.map(told)).toEqual(plain.map(told));
        },
      ),
      { numRuns: numRuns(25) },
    );
  });

  it("are those of a mixture too once the base's component may be left out, at the price that is told", async () => {
    const prior = { shares: { base: 0.04, e0: 0.96 }, bias: {}, isPinned: false };
    const options = { ...models(7), strategy: strategies["mixture"]! };
    const asked = { maxTokens: 25, prior, sampling: { ...greedy, temperature: 1 } };
    const ask = (more: Partial<GenerationRequest>) => fakeRequest("a", { ...asked, ...more });
    const fusionOf = (outcome: Outcome) => doneOf(outcome).usage.fusion;
    const [left] = await answers(options, [ask({ loss: 0.05 })]);
    expect(fusionOf(left!).lost).toBeCloseTo(0.04, 9);
    expect(fusionOf(left!).certain).toBeGreaterThan(5);
    const [plain] = await answers(options, [ask({ loss: 0.05, speculation: "off" })]);
    expect(told(left!)).toEqual(told(plain!));
    for (const more of [
      { loss: 0 },
      { loss: 0.05, sampling: greedy },
      { loss: 0.05, sampling: { ...asked.sampling, topP: 0.9 } },
      { loss: 0.05, logitBias: [{ token: 97, bias: 1 }] },
    ]) {
      // Bayes may bring it within the loss later; nothing is spent where the bound would not hold.
      const [kept] = await answers(options, [ask(more)]);
      expect(fusionOf(kept!)).toMatchObject({ lost: 0, certain: 0 });
    }
  });

  const shared = (base: number, kind: "fused" | "alone", isPinned = false): Partial<GenerationRequest> => ({
    prior: { shares: { base, e0: 1 - base }, bias: {}, isPinned },
    strategy: {
      type: "mixture",
      prior: "uniform",
      components: {
        e0: { kind, weight: 1, plausibility: expertSet },
      },
      floor: 0.01,
    },
  });

  it("of greedy answers need no base though it has a share, where nobody asks for numbers", async () => {
    const options = { ...models(8), batchTokens: 64 };
    for (const kind of ["fused", "alone"] as const) {
      const ask = (more: Partial<GenerationRequest>) =>
        fakeRequest("a", { ...shared(0.001, kind), maxTokens: 25, trace: "off", ...more });
      const [[ours], [plain]] = [
        await answers(options, [ask({})]),
        await answers(options, [ask({ speculation: "off" })]),
      ];
      expect(tokensOf(ours!)).toEqual(tokensOf(plain!));
      const { certain, lost, basePasses } = doneOf(ours!).usage.fusion;
      expect(certain).toBeGreaterThan(5);
      expect(lost).toBe(0);
      expect(basePasses).toBeLessThan(doneOf(plain!).usage.fusion.basePasses - 5);
      for (const more of [
        { trace: "weights" },
        { topLogprobs: 1 },
        { sampling: { ...greedy, temperature: 1 } },
        { sampling: { ...greedy, presencePenalty: 1 } },
        { logitBias: [{ token: 97, bias: 1 }] },
        { grammar: "root ::= [a-z]*" },
      ] satisfies Partial<GenerationRequest>[]) {
        const [asked] = await answers(options, [ask(more)]);
        expect(doneOf(asked!).usage.fusion.certain).toBe(0);
      }
    }
  });

  it("of greedy answers are the same whatever the base's share: it is counted anew before a choice depends on it", async () => {
    const counted = vi.spyOn(Doze.prototype, "advance");
    let numCertain = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            text: fc.constantFrom("a:", "bb:", "ccc:", "bb:d:"),
            maxTokens: fc.integer({ min: 1, max: 40 }),
            share: fc.constantFrom(0.0001, 0.05, 0.3, 0.45, 0.6),
            kind: fc.constantFrom("fused", "alone"),
            isPinned: fc.boolean(),
            party: fc.constantFrom("one", "other"),
          }),
          { minLength: 1, maxLength: 4 },
        ),
        fc.record({
          seed: fc.nat(50),
          sure: fc.integer({ min: 3, max: 9 }),
          /** How near the expert is to the reference: at 1 it has nothing to say. */
          isReference: fc.boolean(),
          batchTokens: fc.constantFrom(4, 7, 64),
          cacheSequences: fc.constantFrom(0, 2),
          slope: fc.constantFrom(0.05, 2),
          /** With few places answers give way to those of another party, and go on later. */
          sequences: fc.constantFrom(1, 2, 8),
        }),
        async (asked, { seed, sure, isReference, batchTokens, cacheSequences, slope, sequences }) => {
          vi.spyOn(BatchCosts.prototype, "of").mockImplementation((count) => 1 + slope * count);
          const expert = partlySure(seed, sure);
          const reference: FakeLaw = isReference ? expert : dream(seed + 1);
          const options = {
            ...{ base: dream(seed + 2), reference, experts: [expert] },
            ...{ batchTokens, limits: { cacheSequences }, config: { context: { tokens: 64, sequences } } },
          };
          const requests = asked.map(({ text, maxTokens, share, kind, isPinned, party }, index) =>
            fakeRequest(`r${index}`, {
              ...{ ...prompt(text), ...shared(share, kind, isPinned), maxTokens, trace: "off", party },
            }),
          );
          const ours = await answers(options, requests);
          const plain = await answers(options, requests.map(without));
          expect(ours.map(tokensOf)).toEqual(plain.map(tokensOf));
          for (const outcome of ours) numCertain += doneOf(outcome).usage.fusion.certain;
        },
      ),
      { numRuns: numRuns(25) },
    );
    expect(numCertain).toBeGreaterThan(0);
    expect(counted).toHaveBeenCalled();
  });

  it("end with their request where the base fails while the share is counted anew, and others go on", async () => {
    const { run, models: loaded } = start({
      ...{ base: dream(9), reference: dream(8), experts: [partlySure(7, 7)], batchTokens: 64 },
    });
    let numAsked = 0;
    const ask = (text: string, speculation: "on" | "off" = "on") =>
      run(
        fakeRequest(`r${numAsked++}`, {
          ...{ ...prompt(text), ...shared(0.45, "fused"), maxTokens: 40, trace: "off", speculation },
        }),
      );
    const counted = vi.spyOn(Doze.prototype, "advance");
    const texts = Array.from({ length: 40 }, (_, index) => `${index}:`);
    let text: string | undefined;
    while (counted.mock.calls.length === 0 && (text = texts.pop()) !== undefined) await ask(text);
    expect(text).toBeDefined();
    const [, plain] = [counted.mockClear(), await ask(text!, "off")];

    // As soon as the base goes back to the first token that it slept through.
    vi.spyOn(Cursor.prototype, "returnTo").mockImplementationOnce(function (this: Cursor, position) {
      loaded.contexts[0]!.failNext = new ShouldersError("decode_failed", "gone");
      this.numDecoded = position;
      return true;
    });
    expect((await ask(text!)).error?.code).toBe("decode_failed");
    expect(counted).not.toHaveBeenCalled();
    expect(tokensOf(await ask(text!))).toEqual(tokensOf(plain));
    expect(counted).toHaveBeenCalled();
  });

  it("spare the base its passes, and it reads what it missed in one batch", async () => {
    const strategy = strategies["dynamic"]!;
    const sure: FakeModelsOptions = {
      base: says("giant"),
      reference: says("dwarf"),
      experts: [says("a word of the expert")],
      strategy,
    };
    const { run, models: loaded } = start(sure);
    const outcome = await run(fakeRequest("a"));
    expect(outcome.text).toBe("a word of the expert");
    const { fusion } = doneOf(outcome).usage;
    // The first token comes with the prompt's rows.
    expect(fusion).toMatchObject({ certain: 20, tokens: 1, basePasses: 1 });
    expect(loaded.contexts.map(({ batchSizes }) => batchSizes.length)).toEqual([1, 1, 21]);
    const records = recordsOf(outcome);
    expect(records[0]).toMatchObject({ ran: ["base", "reference", "e0"], vouch: "expert", flipped: true });
    for (const record of records.slice(1))
      expect(record).toMatchObject({
        ...{ certain: true, ran: ["e0"], vouch: "expert", flipped: null, nats: null, objective: null },
        ...{ base_token: null, weights: {}, logprob: 0, chosen: "e0" },
      });
  });

  it("never leave the base further behind than it reads in one go", async () => {
    const options = { ...models(10), strategy: strategies["dynamic"]!, batchTokens: 128 };
    const { run, models: loaded } = start({ ...options, config: { context: { tokens: 128, sequences: 1 } } });
    await run(fakeRequest("a", { maxTokens: 100 }));
    const [, ...later] = loaded.contexts[0]!.batchSizes;
    expect(later.length).toBeGreaterThanOrEqual(1);
    expect(Math.max(...later)).toBeLessThanOrEqual(64);
  });

  it.each<[string, Partial<GenerationRequest>]>([
    ["a budget of a token", { budget: { tokenNats: 100, replyNats: null } }],
    ["a budget of the reply", { budget: { tokenNats: null, replyNats: 1000 } }],
    ["a full trace", { trace: "full" }],
    ["an audit", { audit: "rows" }],
    ["speculation switched off", { speculation: "off" }],
    ["tokens that are given", { forced: { type: "text", text: "abcdefgh" } }],
  ])("are none under %s: every record is whole", async (_name, asked) => {
    const { run } = start({ ...models(10), strategy: strategies["dynamic"]! });
    const outcome = await run(fakeRequest("a", { maxTokens: 8, ...asked }));
    const records = recordsOf(outcome);
    expect(records).toHaveLength(8);
    for (const { nats, base_token, ran } of records) {
      expect(nats).not.toBeNull();
      expect(base_token).not.toBeNull();
      expect(ran).toEqual(["base", "reference", "e0"]);
    }
    expect(doneOf(outcome).usage.fusion).toMatchObject({ certain: 0, tokens: 8 });
  });

  it("are none where a grammar refuses them: the base then decides", async () => {
    const options: FakeModelsOptions = {
      base: says("yes"),
      reference: () => peak(0x71),
      experts: [says("no")],
      strategy: strategies["dynamic"]!,
    };
    const request = fakeRequest("a", { grammar: 'root ::= "yes" | "nay"' });
    const [ours] = await answers(options, [request]);
    const [plain] = await answers(options, [without(request)]);
    expect(told(ours!)).toEqual(told(plain!));
    expect(ours!.text).toBe("nay");
  });

  it("wait for nobody: they are told before the base's answer to others is there", async () => {
    const options = { ...models(0), strategy: strategies["dynamic"]! };
    const expert = options.experts![0]!;
    // Sure of everything after the second prompt, of nothing after the first.
    options.experts = [(tokens) => (tokens[0] === 0x62 ? peak(0x78, 30) : expert(tokens))];
    const { run, models: loaded, outcomes } = start(options);
    const sure = run(fakeRequest("sure", { ...prompt("b:"), maxTokens: 50 }));
    const unsure = run(fakeRequest("unsure", { ...prompt("a:"), maxTokens: 50 }));
    const base = loaded.contexts[0]!;
    let open!: () => void;
    const gate = new Promise<void>((resolve) => (open = resolve));
    // Once the sure one has come, the base is stuck in a batch for the sequence that needs it.
    const isSaid = () => (outcomes.get("sure")?.text.length ?? 0) >= 2;
    Object.defineProperty(base, "gate", { get: () => (isSaid() ? gate : null) });
    while (!isSaid()) await entered();
    expect(tokensOf(outcomes.get("unsure")!).length).toBeLessThan(50);
    open();
    expect((await sure).text).toBe("x".repeat(50));
    expect(tokensOf(await unsure)).toHaveLength(50);
  });

  it("go on to the same tokens after a pause, and hold nobody up when they are cancelled", async () => {
    const options = { ...models(6), strategy: strategies["dynamic"]! };
    const requests = ["a:", "b:", "c:"].map((text, index) =>
      fakeRequest(`r${index}`, { ...prompt(text), maxTokens: 30 }),
    );
    const plain = await answers(options, requests.map(without));
    const { engine, run, outcomes, untilIdle, models: loaded } = start(options);
    const idle = untilIdle();
    const running = requests.map(run);
    while ((outcomes.get("r0")?.events.length ?? 0) < 6) await entered();
    engine.pause("r0", true);
    engine.cancel("r1");
    await running[2];
    const shown = outcomes.get("r0")!.events.length;
    await entered();
    expect(outcomes.get("r0")!.events.length).toBe(shown);
    engine.pause("r0", false);
    expect(told(await running[0]!)).toEqual(told(plain[0]!));
    expect(told(await running[2]!)).toEqual(told(plain[2]!));
    await idle;
    for (const { cells } of loaded.contexts) expect([...cells.values()].flat()).toEqual([]);
  });

  it("survive a decode of the base that fails: the request fails, others go on", async () => {
    const options = { ...models(5), strategy: strategies["dynamic"]! };
    const { run, models: loaded } = start(options);
    const first = await run(fakeRequest("a", { maxTokens: 10 }));
    loaded.contexts[2]!.failNext = new ShouldersError("decode_failed", "gone");
    expect((await run(fakeRequest("b", { maxTokens: 10 }))).error?.code).toBe("decode_failed");
    expect(told(await run(fakeRequest("c", { maxTokens: 10 })))).toEqual(told(first));
  });
});

describe("who leaves or stops in the middle of a step", () => {
  const loaded = (): FakeModelsOptions => ({ ...models(5), strategy: strategies["gated"]! });
  const request = (id: string) => fakeRequest(id, { ...prompt(`${id}:`), maxTokens: 12 });
  const contextNames = ["base", "reference", "expert"];

  it.each(
    contextNames.flatMap((name, context) =>
      (["cancel", "pause"] as const).map((action) => ({ name, context, action })),
    ),
  )("$action while the $name decodes: the others go on", async ({ context, action }) => {
    const undisturbed = (await answers(loaded(), ["b", "c"].map(request))).map(({ text }) => text);
    for (let number = 1; number <= 12; number++) {
      const { engine, run, models: slots, untilIdle } = start(loaded());
      const watched = slots.contexts[context]!;
      const decode = watched.decode.bind(watched);
      let numDecodes = 0;
      let areOthersDone = false;
      watched.decode = async () => {
        numDecodes++;
        if (action === "cancel" && numDecodes === number) engine.cancel("a");
        if (action === "pause" && !areOthersDone) engine.pause("a", numDecodes % number === 0);
        await decode();
      };
      const idle = untilIdle();
      const left = run(request("a"));
      const others = await Promise.all(["b", "c"].map((id) => run(request(id))));
      expect(others.map(({ text, error }) => error?.message ?? text)).toEqual(undisturbed);
      areOthersDone = true;
      engine.pause("a", false);
      if (numDecodes < number || action === "pause") expect((await left).error).toBeNull();
      await idle;
    }
  });
});
