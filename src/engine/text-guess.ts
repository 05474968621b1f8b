import { present } from "../errors.js";
/** How many of the last tokens have to have occurred before, for what followed them to be guessed again. */
const longestMatch = 4;
const shortestMatch = 2;

/**
 * Guesses at the next tokens from a text in which the last tokens occurred before: the client's prediction, then the
 * answer so far. Never anybody else's text. Where the last tokens ended before is kept by their hash, so that a token
 * costs the same however long the answer is.
 */
export class TextGuess {
  readonly #numPredicted: number;
  /** The prediction, then the answer. */
  readonly #text: number[];
  /** By length of the match, from the longest: hash of so many tokens to the place after their last occurrence. */
  readonly #ends = Array.from({ length: longestMatch - shortestMatch + 1 }, () => new Map<number, number>());
  /** Places up to which it is kept: nothing is, as long as nobody asks. */
  #numNoted = shortestMatch;
  /** The answer is what was predicted so far. */
  #isAsPredicted: boolean;

  constructor(predicted: readonly number[]) {
    this.#numPredicted = predicted.length;
    this.#text = [...predicted];
    this.#isAsPredicted = predicted.length > 0;
  }

  get #numAnswered(): number {
    return this.#text.length - this.#numPredicted;
  }

  append(token: number): void {
    this.#isAsPredicted &&= this.#text[this.#numAnswered] === token && this.#numAnswered < this.#numPredicted;
    this.#text.push(token);
  }

  /** @returns as many tokens as are found, `most` at most: those that followed the last occurrence of the longest match. */
  next(most: number): number[] {
    const answered = this.#numAnswered;
    // As long as the answer is what was predicted there is nothing to look for.
    if (this.#isAsPredicted) return this.#text.slice(answered, Math.min(answered + most, this.#numPredicted));
    const { length } = this.#text;
    // What follows a place is known of all but the last.
    for (; this.#numNoted < length; this.#numNoted++) this.#note(this.#numNoted);
    for (let count = Math.min(longestMatch, answered); count >= shortestMatch; count--) {
      const end = this.#endsOf(count).get(this.#hash(length, count));
      if (end !== undefined && this.#isSame(end, length, count)) return this.#text.slice(end, end + most);
    }
    return [];
  }

  #note(end: number): void {
    for (let count = shortestMatch; count <= Math.min(longestMatch, end); count++)
      this.#endsOf(count).set(this.#hash(end, count), end);
  }

  #endsOf(count: number): Map<number, number> {
    return present(this.#ends[longestMatch - count], "index of places");
  }

  #isSame(end: number, other: number, count: number): boolean {
    for (let back = 1; back <= count; back++)
      if (this.#text[end - back] !== this.#text[other - back]) return false;
    return true;
  }

  /** Of the `count` tokens before `end`. */
  #hash(end: number, count: number): number {
    let hash = 0;
    for (let index = end - count; index < end; index++)
      hash = (Math.imul(hash, 0x01000193) ^ (this.#text[index] ?? 0)) | 0;
    return hash;
  }
}
