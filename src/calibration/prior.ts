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
 * Shares of the base and of each expert from squared distances d_c² to the class means. With one covariance for all
 * classes the log-odds of two of them are −(d_1² − d_2²)/2, here divided by the temperature T.
 *
 * none = σ(slope · ln(d² / distance)), d² the least distance to an expert: a power of it and not an exponential, for
 * distances of unseen phrasings have heavy tails. share_t = (1 − none·base) · softmax(−d_t² / (2·T·k)), the base has
 * the rest. k = max(1, d² / distance): far from all classes their differences are large and mean little. Finally
 * `floor` of all is spread evenly, so that no log-loss is unbounded.
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
  const doubt = 2 * temperature * Math.max(1, nearest / none.distance);
  const all = nullDistance === null ? distances : [...distances, nullDistance];
  const experts = softmax(all.map((distance) => -distance / doubt))
    .slice(0, distances.length)
    .map((share) => share * (1 - isNone * none.base));
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
