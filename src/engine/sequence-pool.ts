/** What a request may come to hold in one model: cells for its whole prompt and its longest answer. */
export interface CellClaim {
  model: number;
  numCells: number;
}

/** A place among the running sequences: an id that is the same in every model, and the cells claimed for it. */
export interface SequenceLease {
  sequenceId: number;
  claims: readonly CellClaim[];
}

/**
 * Sequence ids and cells of all models. Admission is by the worst case, so that a sequence that was let in
 * never runs out of cells, and no batch fails because somebody else's answer grew.
 */
export class SequencePool {
  readonly #freeIds: number[];
  readonly #totals: readonly number[];
  readonly #claimed: number[];

  /** @param totals cells of each model. */
  constructor(numSequences: number, totals: readonly number[]) {
    this.#freeIds = Array.from({ length: numSequences }, (_, index) => numSequences - 1 - index);
    this.#totals = totals;
    this.#claimed = totals.map(() => 0);
  }

  /** A lease, or null while there is no free id or not enough cells in one of the models. */
  lease(claims: readonly CellClaim[]): SequenceLease | null {
    const fits = claims.every(
      (claim) => (this.#claimed[claim.model] ?? 0) + claim.numCells <= (this.#totals[claim.model] ?? 0),
    );
    if (!fits) return null;
    const sequenceId = this.#freeIds.pop();
    if (sequenceId === undefined) return null;
    for (const claim of claims)
      this.#claimed[claim.model] = (this.#claimed[claim.model] ?? 0) + claim.numCells;
    return { sequenceId, claims };
  }

  release(lease: SequenceLease): void {
    this.#freeIds.push(lease.sequenceId);
    for (const claim of lease.claims)
      this.#claimed[claim.model] = (this.#claimed[claim.model] ?? 0) - claim.numCells;
  }

  /** Cells claimed of all cells, per model. */
  usage(): { used: number; total: number }[] {
    return this.#totals.map((total, model) => ({ used: this.#claimed[model] ?? 0, total }));
  }
}
