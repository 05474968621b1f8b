import type { FeatureSettings } from "../routing/feature.js";

/**
 * What the reference's rows at the end of its prompt tell about the prompt, as they come: in one step, or in the steps
 * of several parts of the prompt.
 */
export class PromptRouting {
  /** The reference's positions whose rows tell: from `from` to before `to`. */
  readonly #from: number;
  readonly #to: number;
  /** Sum over the rows that have come, each with its part of the mean. */
  #feature: number[] = [];
  #isDone = false;

  /** @param numPrompt tokens of the reference's prompt, 2 or more: its last row comes too late. */
  constructor(numPrompt: number, { numRows }: FeatureSettings) {
    this.#to = numPrompt - 1;
    this.#from = Math.max(0, this.#to - numRows);
  }

  /** Position of the first token whose row is wanted; null once all have come. */
  get from(): number | null {
    return this.#isDone ? null : this.#from;
  }

  /** Whether the row after the token at this position is wanted. */
  isWanted(position: number): boolean {
    return !this.#isDone && position >= this.#from && position < this.#to;
  }

  /**
   * Takes in what rows told.
   *
   * @param feature the mean over `numRows` rows, in the order of their positions.
   * @param numDecoded how many of the reference's tokens have been decoded.
   * @returns the mean over all rows, with the last of them.
   */
  add(feature: Float64Array, numRows: number, numDecoded: number): Float64Array | null {
    if (this.#isDone) return null;
    const share = numRows / (this.#to - this.#from);
    this.#feature = [...feature].map((value, index) => share * value + (this.#feature[index] ?? 0));
    this.#isDone = numDecoded >= this.#to;
    return this.#isDone ? Float64Array.from(this.#feature) : null;
  }

  /** All rows come again, unless all have come. */
  restart(): void {
    if (!this.#isDone) this.#feature = [];
  }

  /** The mean over all rows; null while some are missing. */
  get feature(): number[] | null {
    return this.#isDone ? this.#feature : null;
  }
}
