/** Figures of one method on one task; null where a part of the formula is missing. */
export interface MethodFigures {
  score: number | null;
  /** 95 % interval of the score. */
  low: number | null;
  high: number | null;
  /** Answers that count; those with an error are beside them. */
  items: number;
  errors: number;
  /** score ÷ tuned base: the paper's share of full tuning. */
  ratio: number | null;
  /** (score − base alone) ÷ (tuned base − base alone). */
  pgr: number | null;
  /** 95 % interval of pgr, from resamples of the items; null where tuning gains nothing in too many. Old reports have none. */
  pgrLow?: number | null;
  pgrHigh?: number | null;
  /** (score − right expert) ÷ (tuned base − right expert): arXiv 2312.09390. */
  burnsPgr: number | null;
  /** score − max(base alone, right expert); below 0 the fusion does harm. */
  harm: number | null;
  /** 95 % interval of the harm, from the differences on the same items. */
  harmLow: number | null;
  harmHigh: number | null;
  /** Mean KL(P̃‖P) a token, nats: how far the base was moved. */
  forward: number | null;
  /** Share of tokens at which the fused argmax is not the base's. */
  flipped: number | null;
  /** Mean share of a mixture's experts that did not run. */
  skippedShare: number | null;
  /** Sampled tokens a second of time in which at least one answer was being written. */
  tokensPerSecond: number;
}

export interface Figure {
  id: string;
  value: number | null;
  target: string;
  holds: boolean;
}

/** Task to method to what it reached. */
export type TaskFigures = Record<string, Record<string, MethodFigures>>;
