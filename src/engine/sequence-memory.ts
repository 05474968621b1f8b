import { present } from "../errors.js";
import type { ModelContext } from "../llama/types.js";
import type { ModelSlot } from "./loaded-models.js";
import { isDecoding } from "./scheduler.js";
import { isCoveredBy, longestMatch, type PrefixHolder, type PrefixSeeker, savesMore } from "./prefix.js";
import type { Sequence } from "./sequence.js";
import { type CellClaim, type SequenceLease, SequencePool } from "./sequence-pool.js";

/** A sequence, running or finished, whose cells others may share. */
interface Donor extends PrefixHolder {
  lease: SequenceLease;
}

/**
 * Places in the models' memories: who holds which sequence id and how many cells, and what finished sequences
 * left behind. Running sequences come first; cached prefixes live in what is left and go least recently used
 * first. Shared cells count for each that shares them, so the sums err on the safe side.
 */
export class SequenceMemory {
  readonly #slots: readonly ModelSlot[];
  readonly #pool: SequencePool;
  readonly #maxCached: number;
  /** Models with a recurrent state. */
  readonly #wholeOnly: ReadonlySet<number>;
  /** Least recently used first. */
  readonly #cached: Donor[] = [];

  /**
   * @param numSequences sequences that may run at once.
   * @param maxCached finished sequences that may stay; each needs a sequence id of its own. 0: no cache.
   */
  constructor(slots: readonly ModelSlot[], numSequences: number, maxCached: number) {
    this.#slots = slots;
    this.#maxCached = maxCached;
    this.#wholeOnly = new Set(slots.flatMap(({ canTakeBack }, model) => (canTakeBack ? [] : [model])));
    this.#pool = new SequencePool(
      numSequences + maxCached,
      slots.map(({ context }) => context.numCells),
    );
  }

  /** Cells claimed by running sequences and held by cached ones, of all cells, per model. */
  usage(): { used: number; total: number }[] {
    return this.#pool.usage();
  }

  get numCached(): number {
    return this.#cached.length;
  }

  /**
   * Gives the sequence an id and its worst case of cells, and shares the cells of the longest prefix that its
   * owner has in memory. Cached prefixes make room as needed.
   *
   * @returns false when the running sequences leave no room yet; nothing is evicted then.
   */
  admit(sequence: Sequence, running: readonly Sequence[]): boolean {
    const match = this.#maxCached > 0 ? longestMatch(this.#seekerOf(sequence), this.#donors(running)) : null;
    const donor = match?.holder ?? null;
    const lease = this.#leaseEvicting(sequence.claims, donor);
    if (lease === null) return false;
    sequence.lease = lease;
    if (match === null || donor === null || !this.#pool.holds(donor.lease)) return true;
    for (const [model, length] of match.lengthOf) {
      this.#context(model).copyPrefix(donor.lease.sequenceId, lease.sequenceId, length);
      sequence.cursor(model).numDecoded = length;
    }
    if (!sequence.hasStarted) sequence.cachedTokens = sequence.base.numDecoded;
    return true;
  }

  /**
   * Whether a running sequence is about to read more of this one's beginning, in any model, than could be shared now.
   * The wait lasts only until that part is read, and several answers to one prompt then read it once: also in the
   * experts that a prompt is found to be for after the base has read it.
   */
  shouldAwaitPrefix(sequence: Sequence, running: readonly Sequence[]): boolean {
    if (this.#maxCached === 0) return false;
    const reading = running
      .filter((other) => !other.isPaused && !isDecoding(other))
      .map((other) => ({
        owner: other.owner,
        heldOf: new Map(other.cursors.map((c) => [c.model, c.tokens])),
      }));
    const seeker = this.#seekerOf(sequence);
    const later = longestMatch(seeker, reading);
    return later !== null && savesMore(later, longestMatch(seeker, this.#donors(running)));
  }

  /**
   * The sequence is over: what it holds stays for others to begin with, as far as there is room. That is when a prefix
   * counts as used, for what was shared is in here too: a BOS that all begin with keeps nothing alive.
   */
  retire(sequence: Sequence): void {
    const { lease } = sequence;
    if (lease === null) return;
    sequence.lease = null;
    // What was read of drafts, or ahead, belongs to no text.
    for (const { model, tokens, numDecoded, holdsMore } of sequence.allCursors)
      if (holdsMore)
        this.#context(model).removePositions(lease.sequenceId, Math.min(numDecoded, tokens.length), null);
    const heldOf = sequence.heldOf();
    const claims = [...heldOf].map(([model, held]) => ({ model, numCells: held.length }));
    const entry: Donor = { owner: sequence.owner, heldOf, lease };
    const covering = this.#cached.findIndex((other) => isCoveredBy(entry, other, this.#wholeOnly));
    if (covering >= 0) this.#cached.push(...this.#cached.splice(covering, 1));
    if (covering >= 0 || this.#maxCached === 0) {
      this.#free(lease);
      return;
    }
    for (const other of this.#cached.filter((cached) => isCoveredBy(cached, entry, this.#wholeOnly)))
      this.#evict(other);
    const numOver = Math.max(0, this.#cached.length + 1 - this.#maxCached);
    for (const oldest of this.#cached.slice(0, numOver)) this.#evict(oldest);
    entry.lease = this.#pool.reclaim(lease, claims);
    this.#cached.push(entry);
  }

  /** The sequence failed: nothing of it is kept. */
  drop(sequence: Sequence): void {
    if (sequence.lease !== null) this.#free(sequence.lease);
    sequence.lease = null;
  }

  /** A place beside those of answers, for what is only looked at; null: there is none left. */
  borrow(claims: readonly CellClaim[]): SequenceLease | null {
    return this.#pool.lease(claims);
  }

  /** Frees a place that was borrowed, and what is in it. */
  giveBack(lease: SequenceLease): void {
    this.#free(lease);
  }

  clear(): void {
    for (const entry of [...this.#cached]) this.#evict(entry);
  }

  *#donors(running: readonly Sequence[]): Generator<Donor> {
    for (const sequence of running)
      if (sequence.lease !== null)
        yield { owner: sequence.owner, heldOf: sequence.heldOf(), lease: sequence.lease };
    yield* this.#cached;
  }

  /** Evicts as little as is needed, `donor` last, and nothing when all of it would not be enough. */
  #leaseEvicting(claims: Sequence["claims"], donor: Donor | null): SequenceLease | null {
    const evictable = this.#cached.map((entry) => entry.lease);
    if (!this.#pool.wouldFit(claims, evictable)) return null;
    for (;;) {
      const lease = this.#pool.lease(claims);
      if (lease !== null) return lease;
      const next = this.#cached.find((entry) => entry !== donor) ?? this.#cached[0];
      this.#evict(present(next, "sequence to evict"));
    }
  }

  #seekerOf(sequence: Sequence): PrefixSeeker {
    return {
      owner: sequence.owner,
      wantedOf: new Map(
        sequence.allCursors.map((cursor) => [
          cursor.model,
          cursor.tokens.slice(0, sequence.firstRowOf(cursor)),
        ]),
      ),
      wholeOnly: this.#wholeOnly,
    };
  }

  #evict(entry: Donor): void {
    this.#cached.splice(this.#cached.indexOf(entry), 1);
    this.#free(entry.lease);
  }

  #free(lease: SequenceLease): void {
    for (const { model } of lease.claims) this.#context(model).removePositions(lease.sequenceId, 0, null);
    this.#pool.release(lease);
  }

  #context(model: number): ModelContext {
    return present(this.#slots[model], "slot").context;
  }
}
