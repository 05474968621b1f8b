import { invariant } from "../errors.js";

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
  readonly #leases = new Set<SequenceLease>();

  /** @param totals cells of each model. */
  constructor(numSequences: number, totals: readonly number[]) {
    this.#freeIds = Array.from({ length: numSequences }, (_, index) => numSequences - 1 - index);
    this.#totals = totals;
    this.#claimed = totals.map(() => 0);
  }

  /** Whether a lease of these claims could be had if those leases were released. */
  wouldFit(claims: readonly CellClaim[], releasing: readonly SequenceLease[]): boolean {
    if (this.#freeIds.length + releasing.length === 0) return false;
    const freed = releasing.flatMap((lease) => lease.claims);
    return claims.every(({ model, numCells }) => {
      const back = freed.reduce((sum, claim) => sum + (claim.model === model ? claim.numCells : 0), 0);
      return (this.#claimed[model] ?? 0) - back + numCells <= (this.#totals[model] ?? 0);
    });
  }

  /** A lease, or null while there is no free id or not enough cells in one of the models. */
  lease(claims: readonly CellClaim[]): SequenceLease | null {
    if (!this.wouldFit(claims, [])) return null;
    const sequenceId = this.#freeIds.pop();
    return sequenceId === undefined ? null : this.#hold(sequenceId, claims);
  }

  /** The same id with other claims, none of them larger than before. */
  reclaim(lease: SequenceLease, claims: readonly CellClaim[]): SequenceLease {
    this.#letGo(lease);
    return this.#hold(lease.sequenceId, claims);
  }

  release(lease: SequenceLease): void {
    this.#letGo(lease);
    this.#freeIds.push(lease.sequenceId);
  }

  holds(lease: SequenceLease): boolean {
    return this.#leases.has(lease);
  }

  /** Cells claimed of all cells, per model. */
  usage(): { used: number; total: number }[] {
    return this.#totals.map((total, model) => ({ used: this.#claimed[model] ?? 0, total }));
  }

  #hold(sequenceId: number, claims: readonly CellClaim[]): SequenceLease {
    const lease = { sequenceId, claims };
    this.#leases.add(lease);
    this.#count(claims, 1);
    return lease;
  }

  #letGo(lease: SequenceLease): void {
    invariant(this.#leases.delete(lease), `sequence ${lease.sequenceId} is released twice`);
    this.#count(lease.claims, -1);
  }

  #count(claims: readonly CellClaim[], sign: 1 | -1): void {
    for (const { model, numCells } of claims)
      this.#claimed[model] = (this.#claimed[model] ?? 0) + sign * numCells;
  }
}
