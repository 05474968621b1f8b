import type { BatchCurves } from "../protocol/protocol.js";

/** Sizes of a batch whose cost is told apart: libllama's kernels change at powers of two. */
const sizes = [1, 2, 4, 8, 16, 32];
/** What a token more costs, as a share of the first, before it was measured. */
const unknownSlope = 0.5;
const smoothing = 0.1;

/** What batches of a model take here, ms by how many tokens and how many rows they have: learned while running. */
export class BatchCosts {
  /** By size in tokens, and then in rows. */
  readonly #msOf = new Map<number, Map<number, number>>();

  /** @param measured before the first request. */
  constructor(measured: BatchCurves[string] = []) {
    for (const { tokens, rows, ms } of measured) this.observe(tokens, rows, ms);
  }

  observe(numTokens: number, numRows: number, ms: number): void {
    const size = sizeOf(numTokens);
    if (size === null) return;
    const byRows = this.#msOf.get(size) ?? new Map<number, number>();
    this.#msOf.set(size, byRows);
    const rows = rowsOf(numRows);
    const known = byRows.get(rows);
    byRows.set(rows, known === undefined ? ms : known + smoothing * (ms - known));
  }

  /**
   * Milliseconds of a batch; in units of the first token where none was measured. Of sizes that were not met, that of
   * the nearest with more rows, or with fewer.
   */
  of(numTokens: number, numRows: number): number {
    if (numTokens === 0) return 0;
    const size = sizeOf(Math.ceil(numTokens)) ?? Math.max(...sizes);
    const known = nearest(this.#msOf.get(size), rowsOf(Math.ceil(numRows)));
    if (known !== null) return known;
    const metOf = (other: number) =>
      nearest(this.#msOf.get(other), rowsOf(Math.min(other, Math.ceil(numRows))));
    // Not steeper for a size that was met and is a bad one, such as two tokens of quantised weights.
    const lower = sizes.filter((other) => other < size).map((other) => metOf(other) ?? 0);
    return Math.max(...lower, (metOf(1) ?? 1) * (1 + unknownSlope * (size - 1)));
  }
}

function nearest(byRows: ReadonlyMap<number, number> | undefined, rows: number): number | null {
  if (byRows === undefined) return null;
  const met = [...byRows.keys()].sort((a, b) => a - b);
  const best = met.find((other) => other >= rows) ?? met.at(-1);
  return best === undefined ? null : (byRows.get(best) ?? null);
}

/** The smallest of the sizes that holds so many tokens; null: none does. */
export function sizeOf(numTokens: number): number | null {
  return sizes.find((size) => size >= numTokens) ?? null;
}

function rowsOf(numRows: number): number {
  return numRows === 0 ? 0 : (sizeOf(numRows) ?? Math.max(...sizes));
}
