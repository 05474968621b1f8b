/** One of the complete models that a mixture is made of: the base by itself, or what an expert makes of it. */
export interface Voice<E> {
  /** null: the base by itself. */
  readonly expert: E | null;
  /** π_c; those of all voices add up to 1. */
  readonly share: number;
  /** Whether its expert is decoded. The base always is. */
  readonly isActive: boolean;
}

export interface SharesOptions {
  /** An expert with less is not decoded; 0: all are. */
  floor: number;
  /** The shares stay as the prior has them. */
  isPinned: boolean;
  /** Most total variation that the law of the answer may be off by, for the base's component to be left out. */
  loss: number;
}

/** How a voice begins. */
export interface VoicePrior<E> {
  expert: E | null;
  /** Its share, in proportion to the others'; not all are 0. */
  share: number;
  /** Added to the logarithm of its share, nats. */
  bias: number;
}

/**
 * The shares of one answer's mixture. An expert whose share is below the floor is not decoded for the rest of the
 * answer, the one with the largest share excepted: it keeps its share as if its component predicted what the mixture
 * does.
 */
export class Shares<E> {
  readonly #options: SharesOptions;
  #voices: readonly Voice<E>[];
  #lost = 0;

  constructor(priors: readonly VoicePrior<E>[], options: SharesOptions) {
    this.#options = options;
    // Relative to the largest of those that have a share, so that not all can become 0.
    const most = Math.max(...priors.map(({ share, bias }) => (share > 0 ? bias : -Infinity)));
    const biased = priors.map(({ share, bias }) => share * Math.exp(bias - most));
    const total = sum(biased);
    this.#voices = this.#dropSmall(
      priors.map(({ expert }, index) => ({ expert, share: (biased[index] ?? 0) / total, isActive: true })),
    );
  }

  /** All that have a share, in the order of the priors. */
  get voices(): readonly Voice<E>[] {
    return this.#voices;
  }

  /**
   * What leaving the base's component out has cost, as total variation of the rest of the answer: of M = (1 − δ)M′ + δP
   * it is at most the share δ.
   */
  get lost(): number {
    return this.#lost;
  }

  /** Share of all experts that are not decoded. */
  get skipped(): number {
    return sum(this.#voices.map(({ share, isActive }) => (isActive ? 0 : share)));
  }

  /**
   * Bayes after a token.
   *
   * @param mixed the voices that its row was mixed of.
   * @param logprobs of the token under each of them.
   */
  learn(mixed: readonly Voice<E>[], logprobs: readonly number[]): void {
    if (this.#options.isPinned) return;
    const learned = posterior(
      mixed.map(({ share }) => share),
      logprobs,
    );
    const shareOf = new Map(mixed.map((voice, index) => [voice, learned[index]]));
    this.#voices = this.#dropSmall(
      this.#voices.map((voice) => ({ ...voice, share: shareOf.get(voice) ?? voice.share })),
    );
  }

  #dropSmall(voices: readonly Voice<E>[]): readonly Voice<E>[] {
    const most = Math.max(...voices.map(({ share }) => share));
    const largest = voices.find(({ share }) => share === most);
    const kept = voices.map((voice) => {
      const isKept = voice.expert === null || voice === largest || voice.share >= this.#options.floor;
      return { ...voice, isActive: voice.isActive && isKept };
    });
    return this.#dropBase(kept);
  }

  /** Leaves the base's component out for the rest of the answer, where its share among those that are mixed is small enough. */
  #dropBase(voices: readonly Voice<E>[]): readonly Voice<E>[] {
    const base = voices.find(({ expert }) => expert === null)?.share ?? 0;
    const mixed = sum(voices.map(({ share, isActive }) => (isActive ? share : 0)));
    if (base === 0 || base === mixed || base / mixed > this.#options.loss) return voices;
    this.#lost = base / mixed;
    return voices.map((voice) => ({
      ...voice,
      share: voice.expert === null ? 0 : voice.share / (1 - base),
    }));
  }
}

/**
 * Shares after a token x: π_c ← π_c·P_c(x) / Σ_c π_c P_c(x), scaled so that together they keep what they had. Where
 * none of the models can say x (a token that was forced, or allowed by a grammar alone) nothing is learned.
 *
 * @param shares of the models that the row was mixed of.
 * @param logprobs ln P_c(x) of each of them.
 */
export function posterior(shares: readonly number[], logprobs: readonly number[]): number[] {
  const best = Math.max(...logprobs);
  if (shares.length < 2 || best === -Infinity) return [...shares];
  const joint = shares.map((share, c) => share * Math.exp((logprobs[c] ?? -Infinity) - best));
  const [before, after] = [sum(shares), sum(joint)];
  return joint.map((value) => before * (value / after));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
