import type { Card } from "./card.js";

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
export interface PriorSettings extends Pick<Prior, "temperature" | "floor"> {
  none: Pick<Prior["none"], "distance" | "slope">;
  /** Shares of prompts that fit no expert: the base's first, then each expert's; they add up to 1. */
  outOfDomain: readonly number[];
}

/**
 * Shares of the base and of each expert from squared distances d_c² to the class means. With one covariance for all
 * classes the log-odds of two of them are −(d_1² − d_2²)/2, here divided by the temperature T.
 *
 * none = σ(slope · ln(d² / distance)), d² the least distance to an expert: a power of it and not an exponential, for
 * distances of unseen phrasings have heavy tails. share_t = (1 − none) · softmax(−d_t² / 2T) + none · outOfDomain_t: who
 * is nearest to a prompt that is far from all means nothing. Finally `floor` of all is spread evenly, so that no
 * log-loss is unbounded.
 *
 * @param distances per expert, in order.
 * @param nullDistance to the mean of the prompts that fit no expert, which the base answers; null: none were given.
 * @returns shares that sum to 1: the base first, then the experts.
 */
export function sharesOf(
  distances: readonly number[],
  nullDistance: number | null,
  { temperature, none, outOfDomain, floor }: PriorSettings,
): number[] {
  const nearest = Math.max(Math.min(...distances), Number.MIN_VALUE);
  const isNone = 1 / (1 + (none.distance / nearest) ** none.slope);
  const near = softmax(
    [nullDistance ?? Infinity, ...distances].map((distance) => -distance / (2 * temperature)),
  );
  return near.map((share, index, { length }) => {
    const told = (1 - isNone) * share + isNone * (outOfDomain[index] ?? 0);
    return (1 - floor) * told + floor / length;
  });
}

/** The squared distance from which on a prompt fits no expert: less where one of no task is nearer to it. */
export function noneDistance({ distance, prompts }: Prior["none"], whitened: Float64Array): number {
  return Math.min(distance, ...prompts.map((prompt) => squaredDistance(whitened, prompt)));
}

/**
 * Which model answers a prompt, before any expert has seen it.
 *
 * @param feature of the reference's rows at the end of its prompt, as the card has it.
 * @returns shares that sum to 1: the base first, then the experts in the order of the card (the config's).
 */
export function priorOf({ experts, prior }: Card, feature: Float64Array): number[] {
  const whitened = whiten(feature, prior.whitening);
  const distanceTo = (id: string | null): number | null => {
    const found = prior.classes.find(({ expert }) => expert === id);
    return found === undefined ? null : squaredDistance(whitened, found.mean);
  };
  const ids = experts.map(({ id }) => id);
  const outOfDomain = ["base", ...ids].map((id) => prior.none.shares[id] ?? 0);
  const none = { ...prior.none, distance: noneDistance(prior.none, whitened) };
  const total = outOfDomain.reduce((sum, share) => sum + share, 0);
  return sharesOf(
    ids.map((id) => distanceTo(id) ?? Infinity),
    distanceTo(null),
    { ...prior, none, outOfDomain: outOfDomain.map((share) => share / total) },
  );
}
