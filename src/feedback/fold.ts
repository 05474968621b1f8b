import { estimateOf, type Sums } from "./chooser.js";

/** A rated answer that a policy drew. */
export interface RatedDraw {
  policy: string;
  /** 0 to 1. */
  score: number;
  /** Of the policy, at the draw; 1 where it was asked for: such ratings are counted, and weigh nothing. */
  probability: number;
  gamma: number;
  /** Whether chance drew it. */
  isDrawn: boolean;
}

/** What ratings have come to, by policy. */
export interface Folded extends Sums {
  counts: number[];
  /** Sums and sums of squares of scores. */
  scores: number[];
  squares: number[];
}

/**
 * Adds ratings up, oldest first. With a half-life a rating counts half as much after so many others: what was best
 * long ago is forgotten, and no bound on regret holds.
 */
export function foldRatings(
  ratings: readonly RatedDraw[],
  policies: readonly string[],
  halfLife: number | null,
): Folded {
  const place = new Map(policies.map((id, index) => [id, index]));
  const zeros = () => policies.map(() => 0);
  const folded = { losses: zeros(), rounds: 0, counts: zeros(), scores: zeros(), squares: zeros() };
  const keep = halfLife === null ? 1 : 2 ** (-1 / halfLife);
  const add = (sums: number[], at: number, value: number) => (sums[at] = (sums[at] ?? 0) + value);
  for (const { policy, score, probability, gamma, isDrawn } of ratings) {
    const at = place.get(policy);
    if (at === undefined) continue;
    add(folded.counts, at, 1);
    add(folded.scores, at, score);
    add(folded.squares, at, score * score);
    if (!isDrawn) continue;
    if (keep < 1) {
      for (let index = 0; index < policies.length; index++)
        folded.losses[index] = (folded.losses[index] ?? 0) * keep;
      folded.rounds *= keep;
    }
    add(folded.losses, at, estimateOf(1 - score, probability, gamma));
    folded.rounds++;
  }
  return folded;
}

/** Regret against the best fixed policy that holds with 95 % after so many ratings (Neu 2015, theorem 1). */
export function regretBound(rounds: number, numPolicies: number): number {
  const spread = numPolicies * rounds;
  const log = Math.log(Math.max(2, numPolicies));
  return 4 * Math.sqrt(spread * log) + (2 * Math.sqrt(spread / log) + 1) * Math.log(2 / 0.05);
}

/** About 95 % of means of as many scores lie so near to the true one; 1: nothing is known. */
export function halfWidth(count: number, sum: number, squares: number): number {
  if (count < 2) return 1;
  const variance = Math.max(0, squares / count - (sum / count) ** 2);
  // Scores that are all the same are not known for certain by that.
  return Math.min(1, 1.96 * Math.sqrt((variance + 1 / (count + 2) / 4) / count));
}
