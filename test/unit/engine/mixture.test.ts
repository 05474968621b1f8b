import { describe, expect, it } from "vitest";
import { defaultFeature, featureOf } from "../../../src/routing/feature.js";
import type { StrategyConfig } from "../../../src/strategies/registry.js";
import type { GenerationRequest } from "../../../src/protocol/protocol.js";
import type { PriorRequest } from "../../../src/strategies/strategy.js";
import { fakeCard } from "../../support/fake-card.js";
import {
  dream,
  type FakeLaw,
  type FakeModelsOptions,
  fakeRequest,
  peak,
  says,
} from "../../support/fake-models.js";
import { doneOf, entered, type Outcome, recordsOf, start, tokensOf } from "../../support/scripted-engine.js";

type Mixture = Extract<StrategyConfig, { type: "mixture" }>;

const component = { kind: "fused", weight: 2, plausibility: null } as const;
const mixture = (options: Partial<Mixture> = {}): Mixture => ({
  type: "mixture",
  prior: "card",
  components: { e0: component, e1: component, e2: component },
  floor: 0.01,
  ...options,
});
const prior = (options: Partial<PriorRequest>): Partial<GenerationRequest> => ({
  prior: { shares: null, bias: {}, isPinned: false, ...options },
});

const spoken: FakeModelsOptions = {
  base: says("giant"),
  reference: says("dwarf"),
  experts: [says("right"), says("other")],
};
const likely = { base: 0.2, e0: 0.5, e1: 0.3 };
const dreamt: FakeModelsOptions = {
  base: dream(1),
  reference: dream(2),
  experts: [dream(3), dream(4)],
  config: { context: { tokens: 64, sequences: 8 } },
};

/** Everything about an answer that does not depend on the clock. */
/** Without what goes by time: how long it took, and what was foreseen. */
const factsOf = (outcome: Outcome) =>
  recordsOf(outcome).map((record) => ({
    ...record,
    ...{ timing: undefined, drafted: undefined, accepted: undefined },
  }));
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Nothing is guessed: what was decoded can be counted. */
const plain = { limits: { speculation: "off" } } as const;

describe("shares", () => {
  it("follow the answer, and an expert without a share is left out", async () => {
    const { run, models, untilIdle } = start({ ...spoken, strategy: mixture({ prior: likely }) });
    const idle = untilIdle();
    const outcome = await run(fakeRequest("a", { trace: "full" }));
    await idle;
    expect(outcome.text).toBe("right");
    const [first, second, ...rest] = recordsOf(outcome);
    expect(first?.shares).toEqual(likely);
    expect(first).toMatchObject({ weights: { e0: 2, e1: 2 }, chosen: "e0" });
    expect(Object.keys(first!.timing!.decode_ms)).toEqual(["base", "reference", "e0", "e1"]);
    expect(second!.shares!["e0"]).toBeGreaterThan(0.99);
    // At the end of sequence the expert says what the reference says: it has no opinion.
    for (const record of [second!, ...rest.slice(0, -1)]) {
      expect(sum(Object.values(record.shares!))).toBeCloseTo(1, 5);
      expect(record.weights).toEqual({ e0: 2 });
      expect(Object.keys(record.divergence.targets)).toEqual(["e0"]);
      expect(Object.keys(record.timing!.decode_ms)).toEqual(["base", "reference", "e0"]);
    }
    const read = models.contexts.map(({ batchSizes }) => sum(batchSizes));
    // The prompt, and for the others each token of the answer but the last.
    expect(read).toEqual([9 + 5, 9 + 5, 9 + 5, 9]);
  });

  it("run every expert with the floor at 0", async () => {
    const { run, models } = start({ ...spoken, strategy: mixture({ prior: likely, floor: 0 }) });
    const outcome = await run(fakeRequest("a"));
    expect(outcome.text).toBe("right");
    expect(models.contexts.map(({ batchSizes }) => sum(batchSizes))).toEqual([14, 14, 14, 14]);
    expect(doneOf(outcome).usage.fusion.skippedShare).toBe(0);
  });

  it("begin with the experts alike without a card, and with the base too where uniform is asked for", async () => {
    const first = async (strategy: Mixture) => {
      const { run } = start({ ...spoken, strategy });
      return recordsOf(await run(fakeRequest("a", { maxTokens: 1 })))[0]?.shares;
    };
    expect(await first(mixture())).toEqual({ base: 0, e0: 1 / 2, e1: 1 / 2 });
    expect(await first(mixture({ prior: "uniform" }))).toEqual({
      base: 0.333333,
      e0: 0.333333,
      e1: 0.333333,
    });
  });

  it("can be given, biased and pinned by a request", async () => {
    const { run } = start({ ...spoken, strategy: mixture({ prior: likely }) });
    const ask = (id: string, options: Partial<PriorRequest>) => run(fakeRequest(id, prior(options)));
    expect((await ask("a", { shares: { e1: 3, base: 1 } })).text).toBe("other");
    expect(recordsOf(await ask("b", { shares: { e1: 3, base: 1 } }))[0]?.shares).toEqual({
      base: 0.25,
      e0: 0,
      e1: 0.75,
    });
    expect(recordsOf(await ask("c", { shares: "uniform" }))[0]?.shares?.["e1"]).toBeCloseTo(1 / 3, 5);
    const biased = await ask("d", { bias: { e1: Math.log(5 / 3) } });
    // 0.2 : 0.5 : 0.3 · 5/3
    expect(recordsOf(biased)[0]?.shares?.["e1"]).toBeCloseTo(0.5 / 1.2, 5);
    const pinned = await ask("e", { isPinned: true });
    for (const { shares } of recordsOf(pinned)) expect(shares).toEqual(likely);
  });

  it("that are all 0 are refused", async () => {
    const { run } = start({ ...spoken, strategy: mixture() });
    const outcome = await run(fakeRequest("a", prior({ shares: { e0: 0 } })));
    expect(outcome.error).toMatchObject({ code: "invalid_request", param: "fusion.prior" });
  });

  it("count given tokens as drawn ones", async () => {
    const { run } = start({ ...dreamt, strategy: mixture() });
    const drawn = await run(fakeRequest("a", { maxTokens: 6 }));
    const forced = await run(fakeRequest("b", { forced: { type: "tokens", tokens: tokensOf(drawn) } }));
    expect(factsOf(forced)).toEqual(factsOf(drawn));
  });
});

describe("exactly", () => {
  const pinned = (id: string) => prior({ shares: { [id]: 1 } });

  it("one component is the single expert's strategy, and costs no more", async () => {
    const single = start({
      ...{ ...dreamt, ...plain },
      experts: [dream(3)],
      strategy: { type: "static", weights: { e0: 2 }, plausibility: null },
    });
    const { run, models } = start({ ...dreamt, ...plain, strategy: mixture() });
    const expected = await single.run(fakeRequest("a", { maxTokens: 20 }));
    const outcome = await run(fakeRequest("a", { maxTokens: 20, ...pinned("e0") }));
    expect(factsOf(outcome).map((record) => ({ ...record, shares: undefined }))).toEqual(factsOf(expected));
    models.contexts
      .slice(0, 3)
      .forEach(({ batchSizes }, index) =>
        expect(batchSizes).toEqual(single.models.contexts[index]!.batchSizes),
      );
    expect(models.contexts[3]!.batchSizes).toEqual([]);
  });

  it("the order of the experts changes nothing", async () => {
    const laws = [dream(3), dream(4), dream(5)];
    const one = start({ ...dreamt, experts: laws, strategy: mixture() });
    const other = start({ ...dreamt, experts: laws.toReversed(), strategy: mixture() });
    for (const text of ["x:", "some question:", "another:"]) {
      const request = fakeRequest(text, { prompt: { type: "text", text }, maxTokens: 15 });
      const [a, b] = [await one.run(request), await other.run(request)];
      expect(tokensOf(b)).toEqual(tokensOf(a));
      const turned = recordsOf(b).map(({ shares }) => [shares!["base"], shares!["e2"], shares!["e0"]]);
      recordsOf(a).forEach(({ shares }, index) =>
        [shares!["base"], shares!["e0"], shares!["e2"]].forEach((share, place) =>
          expect(turned[index]![place]).toBeCloseTo(share!, 9),
        ),
      );
    }
  });

  it("an expert that is the reference has no influence", async () => {
    const without = start({ ...dreamt, strategy: mixture() });
    const withIt = start({ ...dreamt, experts: [dream(3), dream(4), dream(2)], strategy: mixture() });
    for (const text of ["x:", "some question:"]) {
      const request = fakeRequest(text, { prompt: { type: "text", text }, maxTokens: 15, topLogprobs: 3 });
      const [a, b] = [await without.run(request), await withIt.run(request)];
      expect(tokensOf(b)).toEqual(tokensOf(a));
      recordsOf(a).forEach((record, index) =>
        expect(recordsOf(b)[index]!.logprob).toBeCloseTo(record.logprob, 9),
      );
    }
  });

  it("no text costs more than under any component, but for the logarithm of its prior", async () => {
    const { run } = start({ ...dreamt, strategy: mixture({ prior: likely, floor: 0 }) });
    for (const [index, text] of ["abc", "hello", "zzzzzzzz", "right"].entries()) {
      const logprobOf = async (id: string, options: Partial<GenerationRequest>) => {
        const forced = { type: "text", text } as const;
        const outcome = await run(fakeRequest(`${index} ${id}`, { forced, ...options }));
        return sum(recordsOf(outcome).map(({ logprob }) => logprob));
      };
      const mixed = await logprobOf("mixed", {});
      for (const [id, share] of Object.entries(likely))
        expect(-mixed).toBeLessThanOrEqual(-(await logprobOf(id, pinned(id))) - Math.log(share) + 1e-5);
    }
  });
});

describe("padded vocabularies", () => {
  const padded =
    (law: FakeLaw, length: number): FakeLaw =>
    (tokens) => {
      const row = new Float32Array(length).fill(30);
      row.set(law(tokens));
      return row;
    };

  it.each([mixture({ prior: likely }), { type: "base" } as const])(
    "are cut to what all know ($type)",
    async (strategy) => {
      const plain = await start({ ...spoken, strategy }).run(fakeRequest("a"));
      const [one, other] = spoken.experts as [FakeLaw, FakeLaw];
      const { run } = start({
        base: padded(spoken.base, 300),
        reference: padded(spoken.reference!, 270),
        experts: [padded(one, 280), other],
        strategy,
      });
      const outcome = await run(fakeRequest("a"));
      expect(factsOf(outcome)).toEqual(factsOf(plain));
    },
  );
});

describe("routing by the prompt", () => {
  /** The reference's rows after prompts that begin with "a", and after all others. */
  const rows = { e0: dream(7)([1]), e1: dream(8)([1]) };
  const reference: FakeLaw = (tokens) => (tokens[0] === 0x61 ? rows.e0 : rows.e1);
  const routed: FakeModelsOptions = {
    ...dreamt,
    reference,
    strategy: mixture(),
    card: fakeCard(rows),
  };
  const ask = (id: string, text: string, options: Partial<GenerationRequest> = {}) =>
    fakeRequest(id, { prompt: { type: "text", text }, maxTokens: 4, ...options });

  it("leaves the experts alone that a prompt is not for", async () => {
    const { run, models } = start({ ...routed, ...plain });
    const outcome = await run(ask("a", "about this:"));
    expect(recordsOf(outcome)[0]?.shares?.["e0"]).toBeGreaterThan(0.99);
    expect(models.contexts[3]!.batchSizes).toEqual([]);
    await run(ask("b", "by that:"));
    expect(sum(models.contexts[3]!.batchSizes)).toBe("by that:".length + 3);
    expect(sum(models.contexts[2]!.batchSizes)).toBe("about this:".length + 3);
  });

  it.each([0, 2])(
    "gives what the same shares give, in chunks and with a cache of %i",
    async (cacheSequences) => {
      const small = { batchTokens: 8, limits: { cacheSequences } };
      const byPrompt = start({ ...routed, ...small });
      const texts = [
        "a question that is read in chunks:",
        "another",
        "b",
        "ab",
        "a question that is rea",
        "a q:",
      ];
      for (const [index, text] of texts.entries()) {
        const outcome = await byPrompt.run(ask(`r${index}`, text));
        const shares = recordsOf(outcome)[0]!.shares!;
        const given = await start(routed).run(ask("given", text, prior({ shares })));
        expect(tokensOf(outcome)).toEqual(tokensOf(given));
      }
    },
  );

  it("asks nothing of a prompt where there is one expert, which then speaks by itself", async () => {
    const { run } = start({ ...routed, experts: [dream(3)], card: fakeCard({ e0: rows.e0 }) });
    for (const [id, text] of [
      ["a", "about this:"],
      ["b", "by that:"],
    ] as const)
      expect(recordsOf(await run(ask(id, text)))[0]?.shares).toEqual({ base: 0, e0: 1 });
  });

  it("gives every expert the same for a prompt of one token, and is not asked where the prior is given", async () => {
    const { run, models } = start(routed);
    const [first] = recordsOf(await run(ask("a", "a")));
    expect(first?.shares).toEqual({ base: 0, e0: 1 / 2, e1: 1 / 2 });
    const before = models.contexts[1]!.batchSizes.length;
    await run(ask("b", "about:", { ...prior({ shares: { base: 1 } }), speculation: "off" }));
    expect(models.contexts[1]!.batchSizes).toHaveLength(before);
  });

  it("eight at once give what one by one gives", async () => {
    const texts = ["a:", "ab:", "b question:", "aaaaaaaaaaaaaaaaaaaaaaa:", "b:", "bb", "a!", "c a long one:"];
    const requests = texts.map((text, index) => ask(`r${index}`, text, { maxTokens: 3 + index }));
    const { run } = start({ ...routed, batchTokens: 16 });
    const together = await Promise.all(requests.map(run));
    for (const [index, request] of requests.entries())
      expect(factsOf(together[index]!)).toEqual(factsOf(await start(routed).run(request)));
  });

  it("has every model read a prompt once, however many answers it has", async () => {
    const text = "about this:";
    const { run, models } = start({ ...routed, limits: { cacheSequences: 4 } });
    await Promise.all(["a", "b", "c"].map((id) => run(ask(id, text, { maxTokens: 1 }))));
    const read = models.contexts.map(({ batchSizes }) => sum(batchSizes));
    // The last token is read for each answer, and by the reference the one before it, which tells the expert.
    expect(read).toEqual([text.length + 2, text.length + 4, text.length + 2, 0]);
  });

  it("wakes an expert with the next turn, which reads its prompt by itself", async () => {
    const fits: FakeLaw = (tokens) => (tokens.includes(0x21) ? rows.e1 : rows.e0);
    const options = {
      ...routed,
      reference: fits,
      batchTokens: 32,
      limits: { cacheSequences: 4, ...plain.limits },
    };
    const { run, models } = start(options);
    const first = await run(ask("a", "question:"));
    expect(models.contexts[3]!.batchSizes).toEqual([]);
    const turn = `question:${first.text}!?`;
    const [outcome, cold] = [await run(ask("b", turn)), await start(options).run(ask("b", turn))];
    expect(factsOf(outcome)).toEqual(factsOf(cold));
    expect(doneOf(outcome).usage.cachedTokens).toBeGreaterThan("question".length);
    const length = new TextEncoder().encode(turn).length;
    expect(models.contexts[3]!.batchSizes).toEqual([length, 1, 1, 1]);
  });

  it("claims the worst case of every expert, and gives all of it back", async () => {
    const { engine, run, models } = start(routed);
    let open = () => {};
    models.contexts[0]!.gate = new Promise((resolve) => (open = resolve));
    const running = run(ask("a", "about this:"));
    await entered();
    const claimed = engine.stats.cells;
    expect(claimed["e1"]?.used).toBe("about this:".length + 4);
    expect(claimed["e1"]).toEqual(claimed["base"]);
    engine.cancel("a");
    open();
    void running;
    await engine.close();
    for (const context of models.contexts) expect(context.cells.size).toBe(0);
  });

  it("brings the feature of a prompt when it is asked for", async () => {
    const { run, models } = start(routed);
    const featureOf = async (id: string, text: string, strategy: StrategyConfig) => {
      const outcome = await run(ask(id, text, { wantsFeature: true, maxTokens: 1, strategy }));
      return doneOf(outcome).feature;
    };
    const onBase = mixture({ prior: { base: 1 } });
    const feature = await featureOf("a", "about this:", onBase);
    expect(feature).toHaveLength(128);
    expect(models.contexts[2]!.batchSizes).toEqual([]);
    expect(await featureOf("b", "another:", onBase)).toEqual(feature);
    expect(await featureOf("c", "by that:", onBase)).not.toEqual(feature);
    expect(
      await featureOf("d", "about this:", { type: "dynamic", solver: "exact", plausibility: null }),
    ).toEqual(feature);
    expect(await featureOf("e", "a", onBase)).toBeNull();
  });
});

describe("the feature of a prompt", () => {
  const prompt = "what is this about:";
  const numRows = 5;
  // A law of its own, so that no two rows of a prompt are alike.
  const card = { ...fakeCard({ e0: peak(1), e1: peak(2) }), feature: { ...defaultFeature, numRows } };
  const featureIn = async (options: Partial<FakeModelsOptions>, text = prompt) => {
    const { run, models } = start({ ...dreamt, card, strategy: mixture(), ...options });
    const asked = { prompt: { type: "text", text }, wantsFeature: true, maxTokens: 1 } as const;
    const { feature } = doneOf(await run(fakeRequest("a", asked)));
    return { feature, models };
  };
  const rowsAt = (ends: number[]) => {
    const tokens = [...new TextEncoder().encode(prompt)];
    return ends.map((end) => dream(2)(tokens.slice(0, end)));
  };

  it("is the mean over its last tokens but the very last, in however many steps they come", async () => {
    const { length } = prompt;
    const expected = featureOf(rowsAt([1, 2, 3, 4, 5].map((back) => length - back)), defaultFeature);
    for (const batchTokens of [64, 8, 3]) {
      const { feature } = await featureIn({ batchTokens });
      expect(feature).toHaveLength(defaultFeature.dimension);
      feature!.forEach((value, index) => expect(value).toBeCloseTo(expected[index]!, 9));
    }
  });

  it("is that of all but the last of a prompt that has fewer", async () => {
    const { feature } = await featureIn({}, prompt.slice(0, 3));
    const expected = featureOf(rowsAt([1, 2]), defaultFeature);
    feature!.forEach((value, index) => expect(value).toBeCloseTo(expected[index]!, 9));
  });
});

describe("what a mixture leaves behind", () => {
  it("counts nats, flips and the share of those that slept", async () => {
    const { run, steps } = start({ ...spoken, strategy: mixture({ prior: { base: 3, e0: 992, e1: 5 } }) });
    const outcome = await run(fakeRequest("a"));
    const records = recordsOf(outcome);
    const { fusion } = doneOf(outcome).usage;
    expect(fusion.tokens).toBe(6);
    // "end of sequence" comes at the same place for all.
    expect(fusion.flipped).toBe(records.filter(({ flipped }) => flipped).length);
    expect(fusion.nats).toBeCloseTo(sum(records.map(({ nats }) => nats!)), 4);
    expect(fusion.skippedShare).toBeCloseTo(0.005, 12);
    expect(sum(steps.map(({ skippedShare }) => skippedShare))).toBeCloseTo(6 * 0.005, 12);
  });

  it("traces in full only what ran", async () => {
    const strategy = mixture({
      prior: { base: 1, e0: 2 },
      components: { e0: { ...component, kind: "alone" } },
    });
    for (const [options, ran] of [
      [{ strategy: mixture({ prior: { base: 1, e1: 2 } }) }, "e1"],
      [{ strategy }, "e0"],
    ] as const) {
      const { run } = start({ ...spoken, ...options });
      const [record] = recordsOf(await run(fakeRequest("a", { trace: "full", maxTokens: 1 })));
      expect(Object.keys(record!.top!.experts)).toEqual([ran]);
      expect(Object.keys(record!.curves!)).toEqual([ran]);
      expect(record!.top!.base[0]?.text).toBe("g");
      expect(record!.top!.reference[0]?.text).toBe(ran === "e1" ? "d" : undefined);
      expect(record!.top!.experts[ran]![0]?.text).toBe(ran === "e1" ? "o" : "r");
      expect(record!.top!.fused[0]?.text).toBe(record!.token.text);
      const { alphas, forward } = record!.curves![ran]!;
      expect(alphas).toHaveLength(41);
      expect(forward.at(-1)).toBeGreaterThan(0);
    }
  });

  it("does not decode the reference for experts that stand alone", async () => {
    const alone = { ...component, kind: "alone" } as const;
    const strategy = mixture({ prior: { base: 1, e0: 2 }, components: { e0: alone, e1: alone } });
    const { run, models } = start({ ...spoken, strategy });
    expect((await run(fakeRequest("a"))).text).toBe("right");
    expect(models.contexts.map(({ batchSizes }) => batchSizes.length > 0)).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});

describe("a budget", () => {
  const far: FakeModelsOptions = {
    base: () => peak(0x78),
    reference: () => peak(0x79),
    experts: [says("right")],
  };
  const strategies: StrategyConfig[] = [
    mixture({ prior: { e0: 9, base: 1 } }),
    { type: "static", weights: { e0: 2 }, plausibility: null },
    { type: "dynamic", solver: "exact", plausibility: { ratio: 0.1, of: "expert" } },
  ];

  it.each(strategies)("of a token and of a reply is kept ($type)", async (strategy) => {
    const { run } = start({ ...far, strategy });
    const ask = (id: string, tokenNats: number | null, replyNats: number | null) =>
      run(fakeRequest(id, { maxTokens: 6, budget: { tokenNats, replyNats } }));
    const free = doneOf(await run(fakeRequest("free", { maxTokens: 6 }))).usage.fusion;
    expect(free.nats).toBeGreaterThan(3);
    const token = await ask("token", 0.25, null);
    for (const { divergence } of recordsOf(token)) expect(divergence.forward).toBeLessThanOrEqual(0.25);
    expect(doneOf(token).usage.fusion.nats).toBeLessThanOrEqual(6 * 0.25);
    expect(doneOf(token).usage.fusion.nats).toBeGreaterThan(0.2);
    const reply = await ask("reply", null, 1.5);
    expect(doneOf(reply).usage.fusion.nats).toBeLessThanOrEqual(1.5);
    expect(doneOf(reply).usage.fusion.nats).toBeGreaterThan(1);
    const none = await ask("none", null, 0);
    expect(none.text).toBe("xxxxxx");
    expect(doneOf(none).usage.fusion).toMatchObject({ nats: 0, flipped: 0, tokens: 6 });
  });

  it("of an expert is its config's", async () => {
    const experts = [{ id: "e0", model: "e0", budget: 0.1 }] as never;
    const { run } = start({ ...far, config: { experts }, strategy: strategies[1]! });
    const outcome = await run(fakeRequest("a", { maxTokens: 3 }));
    for (const { divergence, weights } of recordsOf(outcome)) {
      expect(divergence.forward).toBeLessThanOrEqual(0.1);
      expect(weights["e0"]).toBeLessThan(2);
    }
  });
});
