/** What a step did, as far as the budget needs to know. */
export interface ObservedStep {
  ms: number;
  /** Sequences that got a token. */
  numDecoding: number;
  /** Prompt tokens in the fullest model's batch. */
  numPromptTokens: number;
}

const smallestBudget = 8;
/** A step that also takes prompt tokens may last this many times one that does not. */
const targetRatio = 2.5;
/** … and this many times more where so many more wait for their prompts than decode: whoever comes in crowds is felt, but within bounds. */
const mostCrowd = 4;
const smoothing = 0.2;

/**
 * How many prompt tokens may join a step in which others decode: as many as keep the step within 2.5 times its
 * length without them, learned from the steps themselves, so that a long prompt is never felt as a stall. Where more
 * wait for their prompts than decode, more join: a step that all feel is worth it to most.
 */
export class PrefillBudget {
  readonly #largest: number;
  #tokens: number;
  /** Smoothed length of steps that only decode, ms; null until there was one. */
  #decodeOnlyMs: number | null = null;

  constructor(largest: number) {
    this.#largest = largest;
    this.#tokens = Math.min(largest, 4 * smallestBudget);
  }

  /**
   * Most prompt tokens for a model in the next step that also decodes.
   *
   * @param numReading sequences whose prompts are being read.
   */
  tokensFor(numReading: number, numDecoding: number): number {
    const crowd = numDecoding === 0 ? 1 : Math.min(mostCrowd, Math.max(1, numReading / numDecoding));
    return Math.min(this.#largest, Math.round(this.#tokens * crowd));
  }

  observe({ ms, numDecoding, numPromptTokens }: ObservedStep): void {
    if (numDecoding === 0) return;
    if (numPromptTokens === 0) {
      this.#decodeOnlyMs =
        this.#decodeOnlyMs === null ? ms : this.#decodeOnlyMs + smoothing * (ms - this.#decodeOnlyMs);
      return;
    }
    if (this.#decodeOnlyMs === null) return;
    const allowedMs = (targetRatio - 1) * this.#decodeOnlyMs;
    const spentMs = Math.max(ms - this.#decodeOnlyMs, allowedMs / 8);
    const fitting = (numPromptTokens * allowedMs) / spentMs;
    // Down at once, up by small steps: a long step is felt, a short one is not.
    const next = fitting < this.#tokens ? fitting : Math.min(fitting, this.#tokens * 1.25);
    this.#tokens = Math.round(Math.min(this.#largest, Math.max(smallestBudget, next)));
  }
}
