import type { Confidence } from "../config/confidence.js";
import type { Logprobs } from "./read-candidates.js";

/**
 * How log-probabilities of a text's tokens become its score. sum: their sum, which favours short texts; mean: their mean,
 * which favours texts whose ends follow from their beginnings; end: the sum with that of the answer's end behind it.
 */
export const normalisations = ["sum", "mean", "end"] as const;
export type Normalisation = (typeof normalisations)[number];

/** What laws say of several candidates; lists are in their order. */
export interface Verdict {
  /** By law: the score of each, nats. */
  scores: Record<string, number[]>;
  /** By law: the softmax of the scores. */
  probabilities: Record<string, number[]>;
  /** By law: the most probable, the first of equals. */
  best: Record<string, number>;
  /** The first law's probabilities, as far as it is left alone by `confidence`. */
  probability: number[];
  /** The most probable by those. */
  choice: number;
  /** Σ over the candidates of the least that a law gives: 1 where all laws say the same, 0 where none shares a candidate. */
  agreement: number;
  /** All laws have the same best. */
  isSettled: boolean;
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** The first of equals. */
export const bestOf = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/** @param logprobs of the tokens, with those of the end for `end`. */
export function scoreOf(logprobs: readonly number[], normalise: Normalisation): number {
  return normalise === "mean" ? sumOf(logprobs) / Math.max(1, logprobs.length) : sumOf(logprobs);
}

/** Σ over the candidates of the least that any of several verdicts gives. */
export function sharedBy(verdicts: readonly (readonly number[])[]): number {
  const [first = []] = verdicts;
  return sumOf(first.map((_, index) => Math.min(...verdicts.map((verdict) => verdict[index] ?? 0))));
}

export function softmax(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - most));
  const total = sumOf(weights);
  return weights.map((weight) => weight / total);
}

/**
 * (1 − α)·weak + α·1[the base's best], where the base gives its best at least the threshold, else weak: the target of the
 * auxiliary confidence loss (arXiv 2312.09390, appendix A.4), over K candidates.
 */
export function leaned(
  weak: readonly number[],
  base: readonly number[],
  { alpha, threshold }: Confidence,
): number[] {
  const best = bestOf(base);
  if ((base[best] ?? 0) < threshold) return [...weak];
  return weak.map((probability, index) => (1 - alpha) * probability + (index === best ? alpha : 0));
}

/**
 * @param candidates by candidate: log-probabilities of its tokens by law.
 * @param laws the first is the one that is asked; `base` is one of them where `confidence` leans on it.
 */
export function verdictOf(
  candidates: readonly Logprobs[],
  laws: readonly string[],
  { normalise, confidence }: { normalise: Normalisation; confidence: Confidence | null },
): Verdict {
  const byLaw = <Value>(of: (law: string) => Value) => Object.fromEntries(laws.map((law) => [law, of(law)]));
  const scores = byLaw((law) => candidates.map((logprobs) => scoreOf(logprobs[law] ?? [], normalise)));
  const probabilities = byLaw((law) => softmax(scores[law] ?? []));
  const best = byLaw((law) => bestOf(scores[law] ?? []));
  const weak = probabilities[laws[0] ?? ""] ?? [];
  const isLeaning = confidence !== null && confidence.alpha > 0;
  const probability = isLeaning ? leaned(weak, probabilities["base"] ?? [], confidence) : weak;
  const choices = Object.values(best);
  return {
    ...{ scores, probabilities, best, probability },
    choice: bestOf(probability),
    agreement: sharedBy(Object.values(probabilities)),
    isSettled: choices.every((one) => one === choices[0]),
  };
}
