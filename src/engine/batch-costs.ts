import type { BatchCurves } from "../protocol/protocol.js";

/** Sizes of a batch whose cost is told apart: libllama's kernels change at powers of two. */
const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
/** What a token more costs, as a share of the first, before it was measured. */
const unknownSlope = 0.5;
const smoothing = 0.1;
/** A chance that no cost depends on. */
const negligible = 1e-3;

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
   * Milliseconds of a batch; in units of the first token where none was measured. Of numbers of rows that were not met,
   * between those of the next fewer and the next more.
   */
  of(numTokens: number, numRows: number): number {
    if (numTokens === 0) return 0;
    const size = sizeOf(Math.ceil(numTokens)) ?? Math.max(...sizes);
    const known = atRows(this.#msOf.get(size), numRows);
    if (known !== null) return known;
    const met = sizes.flatMap((other) => {
      const ms = atRows(this.#msOf.get(other), Math.min(other, numRows));
      return ms === null ? [] : [{ size: other, ms }];
    });
    const smaller = met.filter((other) => other.size < size);
    const first = met[0] === undefined ? 1 : met[0].ms / slopedTo(met[0].size);
    // Not steeper for a size that was met and is a bad one, such as two tokens of quantised weights; and no more a token
    // than the largest that was met.
    const last = smaller.at(-1);
    const most = last === undefined ? Infinity : (last.ms * size) / last.size;
    return Math.max(...smaller.map(({ ms }) => ms), Math.min(first * slopedTo(size), most));
  }

  /**
   * Mean milliseconds of a batch with so many rows, where each token gives one with the chance `unsure`: how many tokens
   * come between is drawn.
   */
  expected(numRows: number, unsure: number): number {
    if (unsure >= 1) return this.of(numRows, numRows);
    let [chance, left, mean] = [unsure ** numRows, 1, 0];
    for (const size of sizes) {
      let ofSize = 0;
      for (let others = Math.max(0, Math.floor(size / 2) + 1 - numRows); numRows + others <= size; others++) {
        ofSize += chance;
        chance *= ((numRows + others) / (others + 1)) * (1 - unsure);
      }
      if (ofSize > 0) mean += ofSize * this.of(size, numRows);
      left -= ofSize;
      if (left < negligible) return mean / (1 - left);
    }
    return mean + left * this.of(Math.max(...sizes), numRows);
  }
}

/** What so many tokens cost, by what one does, before they were measured. */
function slopedTo(numTokens: number): number {
  return 1 + unknownSlope * (numTokens - 1);
}

function atRows(byRows: ReadonlyMap<number, number> | undefined, rows: number): number | null {
  const met = [...(byRows ?? [])].sort(([a], [b]) => a - b);
  const upper = met.find(([other]) => other >= rows);
  const lower = met.findLast(([other]) => other <= rows);
  if (upper === undefined || lower === undefined) return (upper ?? lower)?.[1] ?? null;
  const share = upper[0] === lower[0] ? 0 : (rows - lower[0]) / (upper[0] - lower[0]);
  return lower[1] + share * (upper[1] - lower[1]);
}

/** The smallest of the sizes that holds so many tokens; null: none does. */
export function sizeOf(numTokens: number): number | null {
  return sizes.find((size) => size >= numTokens) ?? null;
}

function rowsOf(numRows: number): number {
  return numRows === 0 ? 0 : (sizeOf(numRows) ?? Math.max(...sizes));
}
