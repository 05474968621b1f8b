import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BatchCosts } from "../../../src/engine/batch-costs.js";
import { TextGuess } from "../../../src/engine/text-guess.js";
import type { GenerationRequest } from "../../../src/protocol/protocol.js";
import type { StrategyConfig } from "../../../src/strategies/registry.js";
import { fakeRequest, type FakeLaw, greedy } from "../../support/fake-models.js";
import { chiSquared } from "../../support/statistics.js";
import { doneOf, type Outcome, recordsOf, start, tokensOf } from "../../support/scripted-engine.js";

const letters = [97, 98, 99];

/** Of three letters, by the two tokens before; the rest has as good as no probability. */
function ofLetters(seed: number, spread: number): FakeLaw {
  return (tokens) => {
    let state = seed;
    for (const token of tokens.slice(-2)) state = (Math.imul(state ^ token, 2654435761) + 1013904223) >>> 0;
    const row = new Float32Array(257).fill(-40);
    for (const [index, letter] of letters.entries())
      row[letter] = (spread * (Math.imul(state ^ (index + 1), 3266489917) >>> 0)) / 2 ** 32;
    return row;
  };
}

const base = ofLetters(1, 3);
const reference = ofLetters(2, 2);
const expert = ofLetters(3, 3);
const weight = 0.7;
const strategy: StrategyConfig = { type: "static", weights: { e0: weight }, plausibility: null };
const promptText = "q:";
const sampling = { ...greedy, temperature: 1 };

/** P̃ over the letters, written out: softmax(b + α(e − r)). */
function lawAfter(tokens: readonly number[]): number[] {
  const at = (law: FakeLaw, letter: number) => law([...tokens])[letter]!;
  const weights = letters.map((letter) =>
    Math.exp(at(base, letter) + weight * (at(expert, letter) - at(reference, letter))),
  );
  const total = weights.reduce((sum, one) => sum + one, 0);
  return weights.map((one) => one / total);
}

/** Answers, eight at a time on one engine. */
async function answers(requests: readonly GenerationRequest[]): Promise<Outcome[]> {
  const { run } = start({ base, reference, experts: [expert], strategy, batchTokens: 64 });
  const outcomes: Outcome[] = [];
  for (let from = 0; from < requests.length; from += 8)
    outcomes.push(...(await Promise.all(requests.slice(from, from + 8).map(run))));
  return outcomes;
}

const asked = (index: number, more: Partial<GenerationRequest> = {}) =>
  fakeRequest(`r${index}`, {
    ...{ prompt: { type: "text", text: promptText }, seed: index, maxTokens: 4, sampling, ...more },
  });

describe("tokens that an expert guessed", () => {
  beforeEach(() =>
    vi.spyOn(BatchCosts.prototype, "of").mockImplementation((numTokens) => 1 + 0.02 * numTokens),
  );
  afterEach(() => vi.restoreAllMocks());

  it("have the fused law: one and two of them, by χ² against enumeration", async () => {
    const numDraws = 1200;
    const outcomes = await answers(Array.from({ length: numDraws }, (_, index) => asked(index)));
    const prompt = [...Buffer.from(promptText)];
    const pairs = letters.flatMap((one) => letters.map((other) => [one, other] as const));
    const ofFirst = lawAfter(prompt);
    const ofPair = pairs.map(([one, other]) => {
      const first = ofFirst[letters.indexOf(one)]!;
      return first * lawAfter([...prompt, one])[letters.indexOf(other)]!;
    });
    const drawn = outcomes.map(tokensOf);
    const firsts = letters.map((letter) => drawn.filter(([one]) => one === letter).length);
    const counts = pairs.map(([a, b]) => drawn.filter(([one, other]) => one === a && other === b).length);
    // Above these once in 10,000 runs, with 2 and 8 degrees of freedom.
    expect(chiSquared(firsts, ofFirst)).toBeLessThan(18.4);
    expect(chiSquared(counts, ofPair)).toBeLessThan(31.8);

    // And they were guessed, right and wrong; how many, hangs on who came into the same step.
    const second = outcomes.map((outcome) => recordsOf(outcome)[1]!);
    const guessed = second.filter(({ drafted }) => drafted);
    expect(guessed.length).toBeGreaterThan(0.5 * numDraws);
    const right = guessed.filter(({ accepted }) => accepted).length;
    expect(right).toBeGreaterThan(0.2 * guessed.length);
    expect(right).toBeLessThan(0.95 * guessed.length);
  });

  it("are right as often whoever is beside them", async () => {
    // Texts of three letters repeat: of those, nothing is guessed here.
    vi.spyOn(TextGuess.prototype, "next").mockReturnValue([]);
    const requests = Array.from({ length: 24 }, (_, index) =>
      asked(index, { prompt: { type: "text", text: `${index}:` }, maxTokens: 30 }),
    );
    const together = await answers(requests);
    const alone: Outcome[] = [];
    for (const request of requests) alone.push(...(await answers([request])));
    expect(together.map(tokensOf)).toEqual(alone.map(tokensOf));
    let numBoth = 0;
    for (const [index, outcome] of together.entries()) {
      const other = recordsOf(alone[index]!);
      for (const [place, { drafted, accepted }] of recordsOf(outcome).entries()) {
        if (!drafted || !other[place]!.drafted) continue;
        numBoth++;
        expect(accepted, `answer ${index}, token ${place}`).toBe(other[place]!.accepted);
      }
    }
    const rateOf = (outcomes: readonly Outcome[]) => {
      const usages = outcomes.map((outcome) => doneOf(outcome).usage.fusion);
      const total = (key: "accepted" | "drafted") => usages.reduce((sum, usage) => sum + usage[key], 0);
      return total("accepted") / total("drafted");
    };
    expect(numBoth).toBeGreaterThan(100);
    expect(Math.abs(rateOf(together) - rateOf(alone))).toBeLessThan(0.15);
  });
});
