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
const smoothing = 0.2;

/** A sequence, as far as it matters whose it is. */
interface OfParty {
  party: string;
}

/**
 * How many prompt tokens may join a step in which others decode. As many as keep the step within 2.5 times its length
 * without them, learned from the steps themselves, so that a long prompt is never felt as a stall. As many as the batch
 * holds where more wait for their prompts than decode: those who decode pause once, and end no later, for all the
 * prompts then take fewer steps. Each party counts as one, however much it sends, so that nobody's crowd holds up
 * another's answer.
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
   * @param reading sequences whose prompts are being read.
   */
  tokensFor(reading: readonly OfParty[], decoding: readonly OfParty[]): number {
    return isCrowd(reading, decoding) ? this.#largest : this.#tokens;
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

/** Whether more wait than decode, where each party is one, in parts that wait and parts that decode. */
function isCrowd(reading: readonly OfParty[], decoding: readonly OfParty[]): boolean {
  const parties = new Map<string, { lead: number; count: number }>();
  const count = (sequences: readonly OfParty[], lead: number) => {
    for (const { party } of sequences) {
      const known = parties.get(party) ?? { lead: 0, count: 0 };
      parties.set(party, { lead: known.lead + lead, count: known.count + 1 });
    }
  };
  count(reading, 1);
  count(decoding, -1);
  return [...parties.values()].reduce((sum, { lead, count: of }) => sum + lead / of, 0) > 0;
}
