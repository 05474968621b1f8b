import { describe, expect, it } from "vitest";
import { createRandom, shuffled } from "../../../src/evaluation/random.js";
import { drawOf, estimateOf, type ChooserName } from "../../../src/feedback/chooser.js";
import { foldRatings, regretBound, type RatedDraw } from "../../../src/feedback/fold.js";

const none = { explore: 0, means: [] };
const learners = ["tsallis-inf", "exp3-ix"] as const;

/** Regret of a chooser over so many rated answers: its expected losses less the best policy's. */
function play(
  name: ChooserName,
  means: (t: number) => readonly number[],
  rounds: number,
  seed: number,
  halfLife: number | null = null,
) {
  const random = createRandom(seed);
  const numPolicies = means(0).length;
  const losses = new Array<number>(numPolicies).fill(0);
  const keep = halfLife === null ? 1 : 2 ** (-1 / halfLife);
  const totals = new Array<number>(numPolicies).fill(0);
  let [expected, weight] = [0, 0];
  const scores: number[] = [];
  for (let t = 0; t < rounds; t++) {
    const { probabilities, gamma } = drawOf(name, { losses, rounds: weight }, none);
    let [at, left] = [0, random()];
    while (at < numPolicies - 1 && (left -= probabilities[at]!) > 0) at++;
    const now = means(t);
    const score = Number(random() < now[at]!);
    expected += 1 - now[at]!;
    now.forEach((mean, index) => (totals[index]! += 1 - mean));
    scores.push(now[at]!);
    for (let index = 0; index < numPolicies; index++) losses[index]! *= keep;
    weight = weight * keep + 1;
    losses[at]! += estimateOf(1 - score, probabilities[at]!, gamma);
  }
  return { regret: expected - Math.min(...totals), scores };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const seeds = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe("regret on simulated ratings", () => {
  // Traffic of one task: about what the base, each of four experts, and all of them together score on it.
  const tasks = {
    recall: [0, 0.93, 0.01, 0, 0.22, 0.93],
    problems: [0, 0, 0.88, 0, 0, 0.88],
    headline: [0.09, 0.07, 0.05, 0.62, 0.07, 0.62],
    choice: [0, 0.16, 0, 0, 0.65, 0.65],
  };
  const rounds = 1000;
  const spread = Math.sqrt(6 * rounds * Math.log(6));
  it.each([
    ["tsallis-inf", 0.5],
    ["exp3-ix", 0.8],
  ] as const)("%s is below its bound in all of 200 seeds, and well below on average", (name, factor) => {
    const regrets = seeds(200).map((seed) => {
      const means = Object.values(tasks)[seed % 4]!;
      return play(name, () => means, rounds, seed).regret;
    });
    expect(Math.max(...regrets)).toBeLessThan(regretBound(rounds, 6));
    expect(mean(regrets)).toBeLessThanOrEqual(factor * spread);
  });

  it("traffic that turns is followed with a half-life, and missed without", () => {
    const turns = (t: number) => (t < 300 ? [0.1, 0.88, 0.1, 0.05, 0.1] : [0.1, 0.02, 0.58, 0.05, 0.1]);
    const lastHundreds = (halfLife: number | null) => {
      const runs = seeds(40).map((seed) => play("tsallis-inf", turns, 600, seed, halfLife).scores);
      return [runs.map((run) => mean(run.slice(200, 300))), runs.map((run) => mean(run.slice(500)))].map(
        mean,
      );
    };
    const [first, second] = lastHundreds(100);
    const [, missed] = lastHundreds(null);
    expect(first! / 0.88).toBeGreaterThanOrEqual(0.85);
    expect(second! / 0.58).toBeGreaterThanOrEqual(0.7);
    expect(missed! / 0.58).toBeLessThan(0.7);
  });
});

describe("draws", () => {
  it("stay uniform where all ratings are the same", () => {
    for (const name of learners)
      for (const probability of drawOf(name, { losses: [7, 7, 7, 7], rounds: 28 }, none).probabilities)
        expect(probability).toBeCloseTo(0.25, 12);
  });

  it("add up to 1 and prefer what lost less, however far apart the losses are", () => {
    for (const name of learners)
      for (const losses of [
        [0, 1],
        [0, 1e6],
        [3, 2, 1e-9],
        [0, 0, 1e9],
      ]) {
        const { probabilities } = drawOf(name, { losses, rounds: 50 }, none);
        expect(probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
        const best = losses.indexOf(Math.min(...losses));
        expect(Math.max(...probabilities)).toBe(probabilities[best]);
      }
  });

  it("of one policy are certain, and with all exploration uniform", () => {
    for (const name of learners) {
      expect(drawOf(name, { losses: [3], rounds: 9 }, none).probabilities[0]).toBeCloseTo(1, 12);
      const free = { explore: 1, means: [] };
      expect(drawOf(name, { losses: [0, 9], rounds: 9 }, free).probabilities).toEqual([0.5, 0.5]);
    }
  });

  it("of exp3-ix without γ are as by hand", () => {
    // Two policies, t = 3: η = √(ln 2/(2·3)).
    const eta = Math.sqrt(Math.log(2) / 6);
    const { probabilities } = drawOf("exp3-ix", { losses: [2, 0], rounds: 2 }, none);
    expect(probabilities[0]).toBeCloseTo(Math.exp(-2 * eta) / (1 + Math.exp(-2 * eta)), 12);
    expect(estimateOf(1, 0.5, 0)).toBe(2);
  });
});

describe("ratings added up", () => {
  const policies = ["a", "b", "c"];
  const random = createRandom(4);
  const ratings = Array.from({ length: 200 }, (_, index): RatedDraw => ({
    policy: policies[index % 3]!,
    score: random(),
    probability: 0.1 + random() * 0.8,
    gamma: 0.05,
    isDrawn: true,
  }));

  it("come to the same in every order, and in two servers' halves", () => {
    const one = foldRatings(ratings, policies, null);
    const other = foldRatings(shuffled(ratings, random), policies, null);
    one.losses.forEach((loss, index) => expect(loss).toBeCloseTo(other.losses[index]!, 9));
    expect(one.rounds).toBe(200);
    const halves = [ratings.slice(0, 90), ratings.slice(90)].map((half) => foldRatings(half, policies, null));
    one.losses.forEach((loss, index) =>
      expect(loss).toBeCloseTo(halves[0]!.losses[index]! + halves[1]!.losses[index]!, 9),
    );
  });

  it("of policies that are gone, or that were asked for, weigh nothing", () => {
    const asked: RatedDraw = { policy: "a", score: 0, probability: 1, gamma: 0, isDrawn: false };
    const folded = foldRatings([{ ...asked, policy: "gone", isDrawn: true }, asked], policies, null);
    expect(folded).toMatchObject({ losses: [0, 0, 0], rounds: 0, counts: [1, 0, 0] });
  });

  it("halve with every half-life", () => {
    const [first, ...others] = ratings;
    const zeros = others.slice(0, 100).map((rating) => ({ ...rating, policy: "b", score: 1 }));
    const folded = foldRatings([first!, ...zeros], policies, 100);
    expect(folded.losses[0]).toBeCloseTo(estimateOf(1 - first!.score, first!.probability, 0.05) / 2, 9);
  });
});
