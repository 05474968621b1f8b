import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BatchCosts } from "../../../src/engine/batch-costs.js";
import { chooseGuesses, DraftPolicy, ExpertDrafts } from "../../../src/engine/draft-policy.js";
import { TextGuess } from "../../../src/engine/text-guess.js";
import type { GenerationRequest, GivenText } from "../../../src/protocol/protocol.js";
import type { StrategyConfig } from "../../../src/strategies/registry.js";
import {
  dream,
  END,
  fakeRequest,
  type FakeLaw,
  type FakeModelsOptions,
  greedy,
  peak,
  says,
} from "../../support/fake-models.js";
import { numRuns } from "../../support/num-runs.js";
import { doneOf, type Outcome, recordsOf, start, tokensOf } from "../../support/scripted-engine.js";

const set = { ratio: 0.1, of: "expert" } as const;
const strategies: Record<string, StrategyConfig> = {
  base: { type: "base" },
  paper: { type: "dynamic", solver: "exact", plausibility: null },
  dynamic: { type: "dynamic", solver: "exact", plausibility: set },
  mixture: { type: "mixture", prior: "uniform", components: {}, floor: 0.01 },
};
const models = (name: string): FakeModelsOptions => ({
  base: dream(1),
  reference: dream(2),
  experts: [dream(3), dream(4)],
  strategy: strategies[name]!,
});

/** All that a client sees of an answer but when it came, and whether it was foreseen. */
function told(outcome: Outcome) {
  const { finishReason, stopString, usage } = doneOf(outcome);
  const { nats, flipped, tokens, skippedShare } = usage.fusion;
  return {
    ...{ text: outcome.text, finishReason, stopString, fusion: { nats, flipped, tokens, skippedShare } },
    tokens: recordsOf(outcome).map(({ timing, ran, ...record }) => ({
      ...record,
      drafted: null,
      accepted: null,
      timing: typeof timing,
      ran,
    })),
    completionTokens: usage.completionTokens,
  };
}

async function answers(options: Parameters<typeof start>[0], requests: readonly GenerationRequest[]) {
  const { run, models: loaded, untilIdle } = start(options);
  const idle = untilIdle();
  const outcomes = await Promise.all(requests.map(run));
  await idle;
  if (!options.limits?.cacheSequences)
    for (const { cells } of loaded.contexts) expect([...cells.values()].flat()).toEqual([]);
  return { outcomes, loaded };
}

/** A law that leans to another one: its own dream, and so much of that. */
function nearTo(law: FakeLaw, agreement: number): FakeLaw {
  const own = dream(3);
  return (tokens) => {
    const other = law(tokens);
    return own(tokens).map((logit, id) => logit + agreement * (other[id] as number));
  };
}

const request = (index: number, asked: Partial<GenerationRequest>) =>
  fakeRequest(`r${index}`, { prompt: { type: "text", text: `${"q".repeat(index + 1)}:` }, ...asked });
const ids = (tokens: number[]): GivenText => ({ type: "tokens", tokens });

/** Scripted models take no time worth measuring: a batch costs what a test says. */
const batchesCost = (cost: (numTokens: number) => number) =>
  vi.spyOn(BatchCosts.prototype, "of").mockImplementation(cost);

describe("guesses at the next tokens", () => {
  beforeEach(() => batchesCost((numTokens) => 1 + 0.05 * numTokens));
  afterEach(() => vi.restoreAllMocks());

  const asked = fc.record({
    maxTokens: fc.integer({ min: 1, max: 24 }),
    temperature: fc.constantFrom(0, 1),
    presencePenalty: fc.constantFrom(0, 1),
    stop: fc.constantFrom<string[]>([], ["a"], ["7", "zz"]),
    budget: fc.constantFrom(null, { tokenNats: 0.2, replyNats: null }, { tokenNats: null, replyNats: 1 }),
    answerPrefix: fc.constantFrom<GivenText | null>(
      null,
      ids([97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107]),
    ),
    /** How the guess differs from the answer: every so many tokens it is wrong; 0: it is somebody else's. */
    spoiled: fc.constantFrom(0, 1, 2, 3, 7, 100),
  });

  it("change no token and no record, however right or wrong they are", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(asked, { minLength: 1, maxLength: 4 }),
        fc.constantFrom(...Object.keys(strategies)),
        fc.constantFrom(4, 9, 16, 40),
        fc.constantFrom(0, 2),
        fc.constantFrom(0, 1, 4),
        async (all, name, batchTokens, cacheSequences, agreement) => {
          const experts = [nearTo(dream(1), agreement), dream(4)];
          const options = { ...models(name), experts, batchTokens, limits: { cacheSequences } };
          const plain = all.map(
            ({ temperature, presencePenalty, maxTokens, stop, budget, answerPrefix }, index) =>
              request(index, {
                ...{ maxTokens, stop, budget, answerPrefix },
                ...{ speculation: "off", seed: index },
                sampling: { ...greedy, temperature, presencePenalty },
              }),
          );
          const { outcomes: expected } = await answers(options, plain);
          const guessing = plain.map((one, index): GenerationRequest => {
            const { spoiled } = all[index]!;
            const right = tokensOf(expected[index]!);
            const tokens = right.map((token, at) =>
              spoiled > 0 && (at + 1) % spoiled > 0 ? token : (token + 1) % 256,
            );
            return { ...one, speculation: "on", audit: "rows", prediction: ids(tokens) };
          });
          const { outcomes } = await answers(options, guessing);
          expect(outcomes.map(told)).toEqual(expected.map(told));
        },
      ),
      { numRuns: numRuns(15) },
    );
  });

  it("bring an answer that is foreseen in a few passes, and say how many were right", async () => {
    const text = "a long answer that somebody knew before it was asked for";
    const options = { base: says(text), reference: says("x"), experts: [says(text)], batchTokens: 16 };
    const { outcomes, loaded } = await answers(options, [request(0, { prediction: { type: "text", text } })]);
    const { fusion, completionTokens } = doneOf(outcomes[0]!).usage;
    expect(outcomes[0]!.text).toBe(text);
    expect(completionTokens).toBe(57);
    expect(fusion.accepted).toBeGreaterThan(40);
    expect(fusion.basePasses).toBeLessThan(20);
    expect(loaded.contexts[0]!.batchSizes).toHaveLength(fusion.basePasses);
  });

  it("are looked up in the answer itself where it repeats", async () => {
    const text = "abcdefgh ".repeat(6);
    const { outcomes } = await answers({ base: says(text) }, [request(0, {})]);
    expect(outcomes[0]!.text).toBe(text);
    expect(doneOf(outcomes[0]!).usage.fusion.accepted).toBeGreaterThan(20);
  });

  it("stop where they do not pay, and are none for models that cannot take them back", async () => {
    batchesCost((numTokens) => 1 + 0.5 * (numTokens - 1));
    const wrong = ids(Array.from({ length: 24 }, () => 1));
    const ask = request(0, { maxTokens: 24, prediction: wrong, strategy: { type: "base" } });
    const { outcomes } = await answers(models("base"), [ask]);
    expect(doneOf(outcomes[0]!).usage.fusion.drafted).toBeLessThanOrEqual(8);
    const { run, models: loaded } = start({ base: says("abcabcabcabcabcabc"), experts: [] });
    loaded.slots[0]!.canTakeBack = false;
    const outcome = await run(request(0, { prediction: { type: "text", text: "abcabc" } }));
    expect(doneOf(outcome).usage.fusion).toMatchObject({ drafted: 0, accepted: 0 });
  });

  it("of given tokens are read in blocks", async () => {
    const tokens = Array.from({ length: 40 }, (_, index) => 97 + (index % 20));
    const options = { ...models("paper"), batchTokens: 16 };
    const { outcomes, loaded } = await answers(options, [request(0, { forced: ids(tokens) })]);
    expect(tokensOf(outcomes[0]!)).toEqual(tokens);
    expect(loaded.contexts[0]!.batchSizes.length).toBeLessThanOrEqual(6);
    expect(doneOf(outcomes[0]!).usage.fusion).toMatchObject({ drafted: 0, accepted: 0, tokens: 40 });
  });

  it("end with the answer: nothing behind its end is kept", async () => {
    const { run, models: loaded } = start({ base: says("stop here"), limits: { cacheSequences: 2 } });
    const prediction = { type: "text", text: "stop here and go on" } as const;
    const outcome = await run(request(0, { prediction, stop: [" here"] }));
    expect(outcome.text).toBe("stop");
    const held = [...loaded.contexts[0]!.cells.values()].flat();
    expect(String.fromCharCode(...held)).toMatch(/^q:stop here?$/);
    expect(held).not.toContain(END);
  });
});

describe("guesses of experts", () => {
  beforeEach(() => batchesCost((numTokens) => 1 + 0.05 * numTokens));
  afterEach(() => vi.restoreAllMocks());
  // Nothing of it repeats, so that no text tells what comes next.
  const text = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

  it("bring several tokens a pass of the base where the expert is right, without a plausible set too", async () => {
    const options = {
      base: says(text),
      reference: says("x"),
      experts: [says(text)],
      strategy: strategies["paper"]!,
    };
    const { outcomes, loaded } = await answers(options, [request(0, {})]);
    expect(outcomes[0]!.text).toBe(text);
    const { fusion } = doneOf(outcomes[0]!).usage;
    expect(fusion.accepted).toBe(fusion.drafted);
    expect(fusion.acceptedAt.reduce((sum, count) => sum + count, 0)).toBe(fusion.accepted);
    expect(fusion.acceptedAt[0]).toBe(fusion.drafts);
    expect(fusion.basePasses).toBeLessThan(15);
    expect(loaded.contexts[0]!.batchSizes).toHaveLength(fusion.basePasses);
    // Each token of the expert was decoded once: rows of guesses are kept until the base has read them.
    expect(loaded.contexts[2]!.batchSizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(60);
  });

  it("go on through tokens that it settles, for which the base gives no row", async () => {
    const spoken = says(text);
    // Unsure of every fourth token: two are likely, the right one more so.
    const expert: FakeLaw = (tokens) => {
      const row = spoken(tokens);
      return tokens.length % 4 === 0 ? row.map((logit) => (logit > 1 ? 1.5 : logit)) : row;
    };
    const options = {
      base: spoken,
      reference: () => peak(1, 0),
      experts: [expert],
      strategy: strategies["dynamic"]!,
    };
    const { outcomes, loaded } = await answers(options, [request(0, {})]);
    const { outcomes: plain } = await answers(options, [request(0, { speculation: "off" })]);
    expect(outcomes[0]!.text).toBe(text);
    expect(tokensOf(outcomes[0]!)).toEqual(tokensOf(plain[0]!));
    const { fusion } = doneOf(outcomes[0]!).usage;
    expect(fusion.certain).toBeGreaterThan(30);
    expect(fusion.accepted).toBeGreaterThan(5);
    const records = recordsOf(outcomes[0]!);
    expect(records.filter(({ certain }) => certain)).toHaveLength(fusion.certain);
    expect(records.filter(({ accepted }) => accepted)).toHaveLength(fusion.accepted);
    expect(records.every(({ drafted, accepted }) => drafted === true || !accepted)).toBe(true);
    expect(fusion.basePasses).toBeLessThan(fusion.tokens);
    const [base] = loaded.contexts;
    expect(base!.numRows).toBeLessThan(30);
    expect(base!.batchSizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(50);
  });

  it("are given up where they are wrong, and change nothing", async () => {
    batchesCost((numTokens) => 1 + 0.5 * (numTokens - 1));
    const options = { base: says(text), reference: says("x"), experts: [says("y".repeat(60))] };
    const strategy: StrategyConfig = { type: "static", weights: { e0: 0.1 }, plausibility: null };
    const { outcomes } = await answers({ ...options, strategy }, [request(0, {})]);
    expect(outcomes[0]!.text).toBe(text);
    const { fusion } = doneOf(outcomes[0]!).usage;
    expect(fusion.accepted).toBe(0);
    expect(fusion.drafted).toBeGreaterThan(0);
    expect(fusion.drafted).toBeLessThan(15);
    const records = recordsOf(outcomes[0]!);
    expect(records.some(({ drafted }) => drafted)).toBe(true);
    expect(records.some(({ accepted, certain }) => accepted ?? certain)).toBe(false);
  });

  it("come from the reference where a mixture has left all its experts, for several answers too", async () => {
    const options = {
      base: says(text),
      reference: says(text),
      experts: [says("y".repeat(60))],
      strategy: { type: "mixture", prior: { base: 0.9, e0: 0.1 }, components: {}, floor: 0.01 } as const,
    };
    const requests = [0, 1, 2].map((index) => request(index, {}));
    const { outcomes, loaded } = await answers(options, requests);
    const off = requests.map((one) => ({ ...one, speculation: "off" as const }));
    const { outcomes: plain } = await answers(options, off);
    expect(outcomes.map(tokensOf)).toEqual(plain.map(tokensOf));
    for (const outcome of outcomes) {
      expect(outcome.text).toBe(text);
      const { fusion } = doneOf(outcome).usage;
      expect(fusion.accepted).toBeGreaterThan(20);
      expect(fusion.basePasses).toBeLessThan(30);
    }
    // The expert had left.
    expect(loaded.contexts[2]!.batchSizes.length).toBeLessThan(20);
  });

  it("are made for several answers in one batch of the expert", async () => {
    const options = {
      base: says(text),
      reference: says("x"),
      experts: [says(text)],
      strategy: strategies["paper"]!,
    };
    const requests = [0, 1, 2, 3].map((index) => request(index, {}));
    const { outcomes, loaded } = await answers(options, requests);
    for (const outcome of outcomes) expect(outcome.text).toBe(text);
    const [base, , expert] = loaded.contexts;
    expect(expert!.batchSizes.filter((size) => size > 1 && size <= 4).length).toBeGreaterThan(10);
    expect(base!.batchSizes.length).toBeLessThan(100);
  });

  it("are made no more of tokens than the batch of a model holds", async () => {
    const options = { base: says(text), reference: says("x"), experts: [says(text)], batchTokens: 4 };
    const { outcomes, loaded } = await answers(
      options,
      [0, 1, 2].map((index) => request(index, {})),
    );
    for (const outcome of outcomes) expect(outcome.text).toBe(text);
    for (const { batchSizes } of loaded.contexts) expect(Math.max(...batchSizes)).toBeLessThanOrEqual(4);
  });
});

/** The slow twin of `TextGuess`. */
function lookUp(predicted: readonly number[], answer: readonly number[], most: number): number[] {
  if (predicted.length > 0 && answer.every((token, index) => token === predicted[index]))
    return predicted.slice(answer.length, answer.length + most);
  const text = [...predicted, ...answer];
  for (let length = Math.min(4, answer.length); length >= 2; length--) {
    const wanted = answer.slice(-length);
    for (let end = text.length - 1; end >= length; end--)
      if (wanted.every((token, index) => text[end - length + index] === token))
        return text.slice(end, end + most);
  }
  return [];
}

describe("guesses from a text", () => {
  it("are what followed the last tokens when they occurred last", () => {
    const guess = new TextGuess([1, 2, 3, 4, 1, 2, 5, 6]);
    expect(guess.next(3)).toEqual([1, 2, 3]);
    for (const token of [9, 1, 2]) guess.append(token);
    expect(guess.next(3)).toEqual([5, 6, 9]);
    expect(new TextGuess([]).next(3)).toEqual([]);
  });

  it("are those of a plain search", () => {
    const tokens = fc.array(fc.nat(3), { maxLength: 40 });
    fc.assert(
      fc.property(tokens, tokens, fc.nat(8), (predicted, answer, most) => {
        const guess = new TextGuess(predicted);
        answer.forEach((token, index) => {
          guess.append(token);
          if (index % 3 === 0 || index === answer.length - 1)
            expect(guess.next(most)).toEqual(lookUp(predicted, answer.slice(0, index + 1), most));
        });
      }),
    );
  });
});

describe("how many guesses experts make", () => {
  const answer = { acceptance: 0.8, unsure: 1, most: 8 };
  const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);
  const slope = (share: number) => (counts: readonly number[]) => 1 + share * total(counts);

  it("is none where tokens cost as much as they bring, and more the less they cost", () => {
    expect(chooseGuesses([answer], 8, slope(1))).toEqual([0]);
    const [few] = chooseGuesses([answer], 8, slope(0.3));
    const [many] = chooseGuesses([answer], 8, slope(0.01));
    expect(few).toBeGreaterThan(0);
    expect(many).toBeGreaterThan(few!);
    expect(chooseGuesses([answer], 3, slope(0.01))).toEqual([3]);
    expect(chooseGuesses([{ ...answer, most: 2 }], 8, slope(0.01))).toEqual([2]);
  });

  it("is shared out by the chance that a guess is reached and right", () => {
    const [likely, unlikely] = chooseGuesses([answer, { ...answer, acceptance: 0.3 }], 8, slope(0.05));
    expect(likely).toBeGreaterThan(unlikely!);
    expect(chooseGuesses([answer, answer], 4, slope(0.01))).toEqual([2, 2]);
  });

  it("looks past a step of the cost", () => {
    // Eight answers take a batch of eight; one guess more takes a batch of sixteen, as eight more do.
    const answers = Array.from({ length: 8 }, () => answer);
    const cost = (counts: readonly number[]) => (total(counts) === 0 ? 1 : 1.4);
    expect(chooseGuesses(answers, 8, cost)).toEqual(answers.map(() => 1));
  });

  it("is tried again after a while", () => {
    const known = new ExpertDrafts();
    const tried = Array.from({ length: 192 }, () => known.refuse());
    expect(tried.flatMap((isTried, index) => (isTried ? [index + 1] : []))).toEqual([64, 192]);
    known.observe(true);
    expect(Array.from({ length: 64 }, () => known.refuse()).filter((isTried) => isTried)).toHaveLength(1);
    // A few tell much, where nothing is known yet.
    for (let index = 0; index < 4; index++) known.observe(false);
    expect(known.acceptance).toBeLessThan(0.5);
    for (let index = 0; index < 200; index++) known.observe(false);
    expect(known.acceptance).toBeLessThan(0.01);
  });
});

describe("the policy of drafts", () => {
  it("takes many where they are right and a token more costs little, none where they are wrong or dear", () => {
    const flat = (numTokens: number) => 1 + 0.05 * numTokens;
    const steep = (numTokens: number) => numTokens;
    const right = new DraftPolicy();
    for (let index = 0; index < 50; index++) right.observe(true);
    expect(right.choose(8, flat)).toBe(7);
    expect(right.choose(2, flat)).toBe(1);
    expect(right.choose(8, steep)).toBe(0);
    const wrong = new DraftPolicy();
    for (let index = 0; index < 50; index++) wrong.observe(false);
    expect(wrong.choose(8, flat)).toBe(0);
  });

  it("tries again after a while", () => {
    const policy = new DraftPolicy();
    for (let index = 0; index < 50; index++) policy.observe(false);
    const chosen = Array.from({ length: 130 }, () => policy.choose(8, (numTokens) => numTokens));
    expect(chosen.filter((num) => num > 0)).toEqual([1, 1]);
  });

  it("knows a cliff: a block beyond it is not taken", () => {
    const right = new DraftPolicy();
    for (let index = 0; index < 50; index++) right.observe(true);
    expect(right.choose(8, (numTokens) => (numTokens <= 4 ? 1.2 : 5))).toBe(3);
  });
});

describe("costs of batches", () => {
  it("are what was measured, and go on from there", () => {
    const costs = new BatchCosts();
    expect(costs.of(1, 1)).toBe(1);
    costs.observe(1, 1, 10);
    costs.observe(7, 7, 30);
    expect([costs.of(1, 1), costs.of(8, 8)]).toEqual([10, 30]);
    expect(costs.of(5, 5)).toBe(30);
    expect(costs.of(2, 2)).toBe(15);
    // As much a token as eight take, which is less than by a token's cost alone.
    expect(costs.of(16, 16)).toBe(60);
    costs.observe(16, 16, 300);
    expect(costs.of(32, 32)).toBe(300);
    for (let index = 0; index < 100; index++) costs.observe(1, 1, 20);
    expect(costs.of(1, 1)).toBeCloseTo(20, 1);
  });

  it("are told apart for as many answers as run at once", () => {
    const costs = new BatchCosts();
    costs.observe(64, 64, 100);
    costs.observe(72, 72, 180);
    expect([costs.of(64, 64), costs.of(72, 72), costs.of(128, 128)]).toEqual([100, 180, 180]);
    // What one takes is not known: in no case more than these.
    expect(costs.of(1, 1)).toBeLessThan(10);
  });

  it("are the mean over how many tokens may come between rows", () => {
    const measured = [1, 2, 4, 8, 16, 32].map((tokens) => ({ tokens, rows: 1, ms: 10 * tokens }));
    const costs = new BatchCosts(measured);
    // Every token gives a row: one number of tokens.
    expect(costs.expected(1, 1)).toBe(10);
    expect(costs.expected(4, 1)).toBe(40);
    // One of two does: 1, 2, 3 … tokens with the chances 1/2, 1/4, 1/8 …
    const sizeFor = (count: number) => 2 ** Math.ceil(Math.log2(count));
    const mean = (chanceOf: (count: number) => number) =>
      Array.from({ length: 60 }, (_, index) => chanceOf(index + 1) * 10 * sizeFor(index + 1));
    const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
    expect(costs.expected(1, 0.5)).toBeCloseTo(sum(mean((count) => 0.5 ** count)), 0);
    // Two rows: one less than that many places for the first of them.
    expect(costs.expected(2, 0.5)).toBeCloseTo(sum(mean((count) => (count - 1) * 0.5 ** count)), 0);
    expect(costs.expected(4, 0.001)).toBeGreaterThan(1000);
  });

  it("lie between those of fewer and of more rows, where just as many were not met", () => {
    const costs = new BatchCosts([
      { tokens: 4, rows: 4, ms: 40 },
      { tokens: 8, rows: 8, ms: 90 },
      { tokens: 8, rows: 1, ms: 20 },
    ]);
    expect(costs.of(4, 1)).toBe(40);
    costs.observe(4, 1, 22);
    expect([costs.of(4, 1), costs.of(3, 2), costs.of(4, 4)]).toEqual([22, 28, 40]);
    expect(costs.of(8, 2)).toBe(30);
    expect(costs.of(0, 0)).toBe(0);
  });
});
