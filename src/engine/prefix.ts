/** What a sequence, running or finished, holds in the models' memories. */
export interface PrefixHolder {
  /** Only requests of the same owner may reuse it. */
  owner: string;
  /** Model index to the tokens whose cells are there. */
  heldOf: ReadonlyMap<number, readonly number[]>;
}

/** A prompt that looks for cells to share. */
export interface PrefixSeeker {
  owner: string;
  /**
   * Model index to the prompt's tokens, without those at its end that must be decoded anew; the first model counts
   * most (the base costs most to prefill).
   */
  wantedOf: ReadonlyMap<number, readonly number[]>;
  /** Models of which only all that a holder has can be shared: what is in a recurrent state cannot be parted. */
  wholeOnly: ReadonlySet<number>;
}

export interface PrefixMatch<H extends PrefixHolder> {
  holder: H;
  /** Model index to the number of tokens to share. */
  lengthOf: Map<number, number>;
  /** How many these are of the seeker's first model, and of all. */
  score: readonly [first: number, all: number];
}

/** Number of equal tokens at the beginning of both. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const limit = Math.min(a.length, b.length);
  let length = 0;
  while (length < limit && a[length] === b[length]) length++;
  return length;
}

/** The holder that saves most: first by the seeker's first model, then by all; null when none shares a token. */
export function longestMatch<H extends PrefixHolder>(
  seeker: PrefixSeeker,
  holders: Iterable<H>,
): PrefixMatch<H> | null {
  let best: PrefixMatch<H> | null = null;
  for (const holder of holders) {
    if (holder.owner !== seeker.owner) continue;
    const lengthOf = new Map<number, number>();
    for (const [model, wanted] of seeker.wantedOf) {
      const held = holder.heldOf.get(model) ?? [];
      const length = commonPrefix(wanted, held);
      lengthOf.set(model, seeker.wholeOnly.has(model) && length < held.length ? 0 : length);
    }
    const [first = 0, ...rest] = lengthOf.values();
    const score = [first, rest.reduce((sum, length) => sum + length, first)] as const;
    if (score[1] === 0) continue;
    const match = { holder, lengthOf, score };
    if (savesMore(match, best)) best = match;
  }
  return best;
}

/** Whether sharing by `a` leaves less to decode than by `b`; null: nothing is shared. */
export function savesMore(a: PrefixMatch<PrefixHolder>, b: PrefixMatch<PrefixHolder> | null): boolean {
  if (b === null || a.score[0] !== b.score[0]) return a.score[0] > (b?.score[0] ?? -1);
  return a.score[1] > b.score[1];
}

/**
 * Whether everything that `inner` holds is the beginning of what `outer` holds: then `inner` is of no more use.
 *
 * @param wholeOnly models whose beginnings cannot be shared: there it must be all of it.
 */
export function isCoveredBy(
  inner: PrefixHolder,
  outer: PrefixHolder,
  wholeOnly: ReadonlySet<number>,
): boolean {
  if (inner.owner !== outer.owner) return false;
  return [...inner.heldOf].every(([model, held]) => {
    const other = outer.heldOf.get(model) ?? [];
    if (wholeOnly.has(model) && held.length !== other.length) return false;
    return held.length <= other.length && commonPrefix(held, other) === held.length;
  });
}
