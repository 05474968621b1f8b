/** Which guesses are worth their time. Pure: it sees rates, numbers of tokens and costs. */

/** How many guesses from a text may be tried: blocks of 1, 2, 4 and 8 tokens. */
const numsDrafts = [0, 1, 3, 7];
/** Guesses have to be so much better than none. */
const hysteresis = 1.05;
/** After so many tokens at which guesses did not pay, one is tried again. */
const probeAfter = 64;
const mostProbeAfter = 1024;

/** Whether guesses at one answer's next tokens from its own texts pay, by how often they were right. */
export class DraftPolicy {
  #acceptance = 0.7;
  #numRefused = 0;

  get acceptance(): number {
    return this.#acceptance;
  }

  observe(isAccepted: boolean): void {
    this.#acceptance += 0.2 * (Number(isAccepted) - this.#acceptance);
  }

  /**
   * The number of drafts, of at most so many, with the most expected tokens in the time of a step.
   *
   * @param costOf ms of a step whose block has so many tokens of this answer.
   */
  choose(most: number, costOf: (numTokens: number) => number): number {
    const a = this.#acceptance;
    const rate = (numDrafts: number) =>
      rateOf([{ acceptance: a, unsure: 1 }], [numDrafts], () => costOf(numDrafts + 1));
    const best = numsDrafts
      .filter((num) => num > 0 && num <= most)
      .reduce((one, other) => (rate(other) > rate(one) ? other : one), 0);
    if (best > 0 && rate(best) >= hysteresis * rate(0)) return best;
    if (most === 0 || ++this.#numRefused < probeAfter) return 0;
    this.#numRefused = 0;
    return 1;
  }
}

/** Σ a^j, j = 1 … k: how many of k guesses are right before the first wrong one, each right with probability a. */
function runLength(a: number, k: number): number {
  let expected = 0;
  for (let draft = 1; draft <= k; draft++) expected += a ** draft;
  return expected;
}

/** A mean of what was observed, which forgets what is long past. */
class LearnedShare {
  #share: number;
  /** As if the prior had been observed so often. */
  #count = 4;

  constructor(prior: number) {
    this.#share = prior;
  }

  get value(): number {
    return this.#share;
  }

  observe(isSo: boolean): void {
    this.#count++;
    this.#share += Math.max(0.05, 1 / this.#count) * (Number(isSo) - this.#share);
  }
}

/** What is known of the guesses from experts' rows at one config's answers; learned. */
export class ExpertDrafts {
  /** How often a guess is right. */
  readonly #acceptance = new LearnedShare(0.8);
  /** Share of the tokens that experts do not settle. */
  readonly #unsure = new LearnedShare(1);
  #numRefused = 0;
  #probeAfter = probeAfter;

  get acceptance(): number {
    return this.#acceptance.value;
  }

  get unsure(): number {
    return this.#unsure.value;
  }

  observe(isAccepted: boolean): void {
    this.#acceptance.observe(isAccepted);
    if (isAccepted) this.#probeAfter = probeAfter;
  }

  observeSettled(isCertain: boolean): void {
    this.#unsure.observe(!isCertain);
  }

  /** A block was begun without a guess. @returns whether one is to be tried all the same: ever more seldom while none is right. */
  refuse(): boolean {
    const isProbe = ++this.#numRefused >= this.#probeAfter * this.#unsure.value;
    if (!isProbe) return false;
    this.#numRefused = 0;
    this.#probeAfter = Math.min(2 * this.#probeAfter, mostProbeAfter);
    return true;
  }
}

/** An answer whose next tokens an expert may guess. */
export interface Guessable {
  acceptance: number;
  /** Share of the tokens for which the base is needed: each such token brings 1 ÷ unsure tokens. */
  unsure: number;
  /** Most guesses. */
  most: number;
}

/** Guesses that are reached and right with less than this chance are not worth a row of a base that is elsewhere. */
const leastChance = 0.1;

/**
 * The same for a base on another server: the way there is what costs, and a row more does not. Guesses are made as long as
 * they have a chance, in turn for all answers.
 *
 * @param most of all together.
 * @param mostEach of each answer, as its config says.
 */
export function chooseFarGuesses(
  answers: readonly Guessable[],
  most: number,
  mostEach: readonly number[],
): number[] {
  const counts = answers.map(() => 0);
  let left = most;
  for (let round = 1; left > 0; round++) {
    const able = answers.flatMap((answer, index) => {
      const limit = Math.min(answer.most, mostEach[index] ?? 0);
      return round <= limit && answer.acceptance ** round >= leastChance ? [index] : [];
    });
    if (able.length === 0) break;
    for (const index of able.slice(0, left)) counts[index] = round;
    left -= Math.min(able.length, left);
  }
  return counts;
}

/** Expected tokens a millisecond, with so many guesses each. */
export function rateOf(
  answers: readonly Omit<Guessable, "most">[],
  counts: readonly number[],
  costOf: (counts: readonly number[]) => number,
): number {
  const expected = answers.map(
    ({ acceptance, unsure }, i) => (1 + runLength(acceptance, counts[i] ?? 0)) / unsure,
  );
  return expected.reduce((sum, tokens) => sum + tokens, 0) / costOf(counts);
}

/**
 * How many guesses of experts to try, an answer each: the most expected tokens in the time of a step, over all answers
 * together. Guesses are taken in order of the chance that they are reached and right. All 0 unless that is clearly
 * better.
 *
 * @param most of all together.
 * @param costOf ms of the step with so many guesses each.
 */
export function chooseGuesses(
  answers: readonly Guessable[],
  most: number,
  costOf: (counts: readonly number[]) => number,
): number[] {
  const counts = answers.map(() => 0);
  const rate = () => rateOf(answers, counts, costOf);
  let best = { rate: hysteresis * rate(), counts: [...counts] };
  for (let total = 1; total <= most; total++) {
    const gains = answers.map((answer, i) => {
      const count = counts[i] ?? 0;
      return count < answer.most ? answer.acceptance ** (count + 1) / answer.unsure : 0;
    });
    const next = gains.indexOf(Math.max(...gains));
    if (next < 0 || gains[next] === 0) break;
    counts[next] = (counts[next] ?? 0) + 1;
    if (rate() >= best.rate) best = { rate: rate(), counts: [...counts] };
  }
  return best.counts;
}
