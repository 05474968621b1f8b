import { createRandom } from "../../src/evaluation/random.js";
import { foldRatings, type RatedDraw } from "../../src/feedback/fold.js";
import { nextDraw, type PolicyRules } from "../../src/feedback/policy-desk.js";
import type { StrategyConfig } from "../../src/strategies/registry.js";

/** Traffic of one task, then of another, among policies each of which is good at one: what ratings make of it. */

const experts = ["recall", "problems", "headline", "choice"];

/** The base alone, and each expert pinned. */
export const arms: Record<string, StrategyConfig> = {
  base: { type: "base" },
  ...Object.fromEntries(
    experts.map((expert) => [
      expert,
      { type: "static", weights: { [expert]: 1 }, plausibility: { ratio: 0.1, of: "gated" } } as const,
    ]),
  ),
};
export const armIds = Object.keys(arms);

/** Scores of a task's items, each by arm. */
export type ScoreTable = readonly (readonly number[])[];

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** What the arm that is best on average scores. */
export const bestOf = (table: ScoreTable): number =>
  Math.max(...armIds.map((_, arm) => mean(table.map((scores) => scores[arm] ?? 0))));

export interface Traffic {
  choose: PolicyRules["choose"];
  explore: number;
  halfLife: number | null;
  /** Ratings are thumbs, up with the score's probability, or the score itself. */
  isGraded: boolean;
  seed: number;
}

/**
 * Rates so many answers of each task in turn, each drawn by the server's own rules from the ratings before it.
 * @returns for each task the mean score of its last hundred answers
 */
export function playTurns(tables: readonly ScoreTable[], numRounds: number, traffic: Traffic): number[] {
  const random = createRandom(traffic.seed);
  const rules = { ids: armIds, ...traffic };
  const ratings: RatedDraw[] = [];
  return tables.map((table) => {
    const given: number[] = [];
    for (let round = 0; round < numRounds; round++) {
      const { probabilities, gamma } = nextDraw(foldRatings(ratings, armIds, traffic.halfLife), rules);
      let [arm, left] = [0, random()];
      while (arm < armIds.length - 1 && (left -= probabilities[arm] ?? 0) >= 0) arm++;
      const truth = table[Math.floor(random() * table.length)]?.[arm] ?? 0;
      const score = traffic.isGraded ? truth : Number(random() < truth);
      const [policy, probability] = [armIds[arm] ?? "", probabilities[arm] ?? 1];
      ratings.push({ policy, score, probability, gamma, isDrawn: true });
      given.push(truth);
    }
    return mean(given.slice(-100));
  });
}
