import { invariant } from "../errors.js";

/** A token of a row with its log-probability (nats). */
export interface TokenLogprob {
  token: number;
  logprob: number;
}

/** What a kernel can say about the row that it fused last. */
export interface RowSource {
  /** Grows with everything that may write over that row or its components. */
  epoch: number;
  top(k: number): TokenLogprob[];
  mass(): number;
  componentLogprobs(token: number): number[];
}

/**
 * A row that a kernel has fused: a handle on its memory. It is to be read before the kernel goes on; afterwards every
 * reading throws.
 */
export class FusedRow {
  /** ln Σ exp(logits): logprob(i) = logits[i] − logNormalizer. */
  readonly logNormalizer: number;
  readonly #source: RowSource;
  readonly #epoch: number;
  readonly #logits: Float32Array;

  constructor(source: RowSource, logits: Float32Array, logNormalizer: number) {
    this.#source = source;
    this.#epoch = source.epoch;
    this.#logits = logits;
    this.logNormalizer = logNormalizer;
  }

  /** Unnormalised, over the common vocabulary; −Infinity where a token is excluded. */
  get logits(): Float32Array {
    this.#current();
    return this.#logits;
  }

  /** Log-probability of a token, nats. */
  logprob(token: number): number {
    // Rounding may leave a certain token a hair above 0.
    return Math.min(0, (this.logits[token] ?? -Infinity) - this.logNormalizer);
  }

  /** The k most probable tokens, best first; fewer where fewer have a probability. */
  top(k: number): TokenLogprob[] {
    return this.#current().top(k);
  }

  /**
   * ln P(S), nats, ≤ 0: what the base gives, of all that it gives to tokens that no row masks, to the tokens of this
   * row; not for a mixture. KL(P̃‖P) from the whole of P is F − ln P(S), F being what `fuse` gives.
   */
  get mass(): number {
    return this.#current().mass();
  }

  /** ln P_c(token) of every component of a mixture, in order, whatever its share; none of any other row. */
  componentLogprobs(token: number): number[] {
    return this.#current().componentLogprobs(token);
  }

  #current(): RowSource {
    invariant(
      this.#source.epoch === this.#epoch,
      "a fused row is read after its kernel has gone on: read it before the next load, fuse or mixture",
    );
    return this.#source;
  }
}
