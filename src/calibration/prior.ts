import type { Card } from "./card.js";
import { featureOf } from "./feature.js";

type Prior = Card["prior"];

/** z = L⁻¹ φ. `whitening`: rows of the lower triangle of L⁻¹, one after the other. */
export function whiten(feature: Float64Array, whitening: Float32Array): Float64Array {
  let at = 0;
  return feature.map((_, row) => {
    let sum = 0;
    for (let column = 0; column <= row; column++)
      sum += (whitening[at++] as number) * (feature[column] as number);
    return sum;
  });
}

/** Squared Euclidean distance. */
export function squaredDistance(a: Float64Array, b: Float32Array | Float64Array): number {
  let sum = 0;
  a.forEach((value, index) => (sum += (value - (b[index] as number)) ** 2));
  return sum;
}

/** exp(s_i) / Σ exp(s) */
export function softmax(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - most));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** What the shares are made of, apart from the distances. */
export type PriorSettings = Pick<Prior, "temperature" | "none" | "floor">;

/**
 * Shares of the base and of each expert from squared distances d_c² to the class means (equal within-class
 * covariance, so the log-odds of two classes are −(d_1² − d_2²)/2, tempered by T):
 * none = σ(slope · ln(min d² / distance)) over the experts' classes (a power of the distance and not an exponential:
 * distances of unseen phrasings have heavy tails), share_t = (1 − none) · softmax(−d²/2T)_t, the rest is the base's;
 * finally `floor` of all is spread evenly, so that no log-loss is unbounded.
 *
 * @param distances per expert, in order.
 * @param nullDistance to the mean of the prompts that fit no expert; null: none were given.
 * @returns shares that sum to 1: the base first, then the experts.
 */
export function sharesOf(
  distances: readonly number[],
  nullDistance: number | null,
  { temperature, none, floor }: PriorSettings,
): number[] {
  const nearest = Math.max(Math.min(...distances), Number.MIN_VALUE);
  const isNone = 1 / (1 + (none.distance / nearest) ** none.slope);
  const all = nullDistance === null ? distances : [...distances, nullDistance];
  const experts = softmax(all.map((distance) => -distance / (2 * temperature)))
    .slice(0, distances.length)
    .map((share) => share * (1 - isNone));
  const base = Math.max(0, 1 - experts.reduce((sum, share) => sum + share, 0));
  return [base, ...experts].map((share, _, { length }) => (1 - floor) * share + floor / length);
}

/** The shares for a feature: see `priorOf`. */
export function priorOfFeature({ experts, prior }: Card, feature: Float64Array): number[] {
  const whitened = whiten(feature, prior.whitening);
  const distanceTo = (id: string | null): number | null => {
    const found = prior.classes.find(({ expert }) => expert === id);
    return found === undefined ? null : squaredDistance(whitened, found.mean);
  };
  return sharesOf(
    experts.map(({ id }) => distanceTo(id) ?? Infinity),
    distanceTo(null),
    prior,
  );
}

/**
 * Which model answers this prompt, before any expert has seen it.
 *
 * @param referenceRow the reference's logits after the last but one token of its prompt.
 * @returns shares that sum to 1: the base first, then the experts in the order of the card (the config's).
 */
export function priorOf(card: Card, referenceRow: Float32Array): number[] {
  return priorOfFeature(card, featureOf(referenceRow.subarray(0, card.vocabularySize), card.feature));
}
