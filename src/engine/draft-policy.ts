/** Sizes of a block whose cost is told apart: libllama's kernels change at powers of two. */
const sizes = [1, 2, 4, 8, 16, 32];
/** What a token more costs, as a share of the first, before it was measured. */
const unknownSlope = 0.5;
const smoothing = 0.1;

/** What batches of a model take here, ms by how many tokens they have: learned while running. */
export class BatchCosts {
  readonly #msOf = new Map<number, number>();

  observe(numTokens: number, ms: number): void {
    const size = sizeOf(numTokens);
    if (size === null) return;
    const known = this.#msOf.get(size);
    this.#msOf.set(size, known === undefined ? ms : known + smoothing * (ms - known));
  }

  /** Milliseconds of a batch; in units of the first token where none was measured. */
  of(numTokens: number): number {
    const size = sizeOf(numTokens) ?? Math.max(...sizes);
    const known = this.#msOf.get(size);
    if (known !== undefined) return known;
    const lower = sizes.filter((other) => other < size && this.#msOf.has(other)).at(-1);
    const from = lower ?? 1;
    const fromMs = this.#msOf.get(from) ?? 1;
    return fromMs * ((1 + unknownSlope * (size - 1)) / (1 + unknownSlope * (from - 1)));
  }
}

/** The smallest of the sizes that holds so many; null: none does. */
function sizeOf(numTokens: number): number | null {
  return sizes.find((size) => size >= numTokens) ?? null;
}

/** How many drafts may be tried: blocks of 1, 2, 4 and 8 tokens. */
const numsDrafts = [0, 1, 3, 7];
/** Drafts have to be so much better than none. */
const hysteresis = 1.05;
/** After so many tokens at which drafts did not pay, one is tried again. */
const probeAfter = 64;

/** Whether guesses at one answer's next tokens pay, by how often they were right. */
export class DraftPolicy {
  #acceptance = 0.7;
  #numRefused = 0;

  observe(isAccepted: boolean): void {
    this.#acceptance += 2 * smoothing * (Number(isAccepted) - this.#acceptance);
  }

  /**
   * The number of drafts, of at most so many, with the most expected tokens in the time of a step.
   *
   * @param costOf ms of a step whose block has so many tokens of this answer.
   */
  choose(most: number, costOf: (numTokens: number) => number): number {
    const a = this.#acceptance;
    const rate = (numDrafts: number) => {
      let expected = 1;
      for (let draft = 1; draft <= numDrafts; draft++) expected += a ** draft;
      return expected / costOf(numDrafts + 1);
    };
    const best = numsDrafts
      .filter((num) => num > 0 && num <= most)
      .reduce((one, other) => (rate(other) > rate(one) ? other : one), 0);
    if (best > 0 && rate(best) >= hysteresis * rate(0)) return best;
    if (most === 0 || ++this.#numRefused < probeAfter) return 0;
    this.#numRefused = 0;
    return 1;
  }
}

/** Tokens that have to be the same for what followed them to be guessed again; fewer where more are not found. */
const longestMatch = 4;
const shortestMatch = 2;

/**
 * Guesses what follows from a text in which the last tokens occurred before: the client's prediction, or the answer so
 * far. Never anybody else's text.
 *
 * @returns as many tokens as there are, `most` at most; the last occurrence counts.
 */
export function lookUp(corpus: readonly number[], answer: readonly number[], most: number): number[] {
  for (let length = Math.min(longestMatch, answer.length); length >= shortestMatch; length--) {
    const wanted = answer.slice(-length);
    for (let end = corpus.length - 1; end >= length; end--) {
      if (corpus[end - 1] !== wanted[length - 1]) continue;
      if (wanted.every((token, index) => corpus[end - length + index] === token))
        return corpus.slice(end, end + most);
    }
  }
  return [];
}
