import type { Fusion } from "../fusion/types.js";

/**
 * The base of a greedy answer sleeps through tokens that its expert settles, although it has a share δ in the mixture
 * M = (1 − δ)M′ + δP: with δ < 1/2 no choice of the base's changes M's best token there. What it would have told of
 * those tokens is not known then. A certain token has M′(x) = 1 ≥ P(x), so δ only falls by it: the δ that is kept is a
 * bound from above, and the shares are counted anew before a choice could depend on more than that.
 */
export class Doze {
  /** Places, among the base's tokens, of those that it was not asked about. */
  readonly #unread: number[] = [];
  /** The likelihoods of those tokens are being read late, one after the other. */
  isCounting = false;

  /** The base was not asked about the token at this place. */
  skip(position: number): void {
    this.#unread.push(position);
  }

  /** The first token whose likelihood is to be read. */
  get next(): number | null {
    return this.#unread[0] ?? null;
  }

  /** It has been read. */
  advance(): void {
    this.#unread.shift();
    this.isCounting &&= this.#unread.length > 0;
  }

  /**
   * Whether the row's best token is that of every share of the base from 0 to `share`, and the bound on the share is
   * below 1/2 after it: M is linear in δ, so a lead of more than δ is one with each smaller share.
   */
  isProven({ row, mixed }: Fusion, share: number): boolean {
    if (this.#unread.length === 0) return true;
    const [first, second] = row.top(2);
    const lead = Math.exp(first?.logprob ?? -Infinity) - Math.exp(second?.logprob ?? -Infinity);
    if (first === undefined || !(lead > share)) return false;
    const logprobs = row.componentLogprobs(first.token);
    const [base, expert] = [mixed.indexOf(null), mixed.findIndex((one) => one !== null)];
    // A row of one model: nothing of it depends on shares, and nothing is learned.
    if (base < 0 || expert < 0) return true;
    const gain = Math.exp((logprobs[base] ?? -Infinity) - (logprobs[expert] ?? -Infinity));
    return (share / (1 - share)) * gain < 1;
  }
}
