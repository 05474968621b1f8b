import { deepestLogit, padded, raiseDeepest } from "./rows.js";
import type { Row, Workspace } from "./simd-axis.js";

/** Copies the first `length` logits of a row and scans them; says whether all of them are finite. */
export function copyRow(
  { wasm, out }: Workspace,
  row: Row,
  { logits, length }: { logits: Float32Array; length: number },
): boolean {
  const whole = padded(length);
  const copy = new Float32Array(wasm.memory.buffer, row.at, whole);
  copy.set(logits.length === length ? logits : logits.subarray(0, length));
  copy.fill(logits[0] as number, length);
  wasm.scan(row.at, whole, out.byteOffset);
  const [best, least, bad] = out as unknown as [number, number, number];
  Object.assign(row, { best, magnitude: Math.abs(best) });
  if (least < best + deepestLogit) raiseDeepest(copy, row.best);
  return bad === 0;
}

/** Leaves tokens out of a row that was copied: −Infinity in the base's, as deep as counts in the others'. */
export function maskRow(
  row: Row,
  logits: Float32Array,
  { tokens, isBase }: { tokens: readonly number[]; isBase: boolean },
): void {
  for (const token of tokens) logits[token] = -Infinity;
  row.best = logits.reduce((best, value) => Math.max(best, value), -Infinity);
  row.magnitude = Math.abs(row.best);
  if (!isBase) raiseDeepest(logits, row.best);
}

/** Moves a row by a constant so that its best logit is 0: exact, but for the rounding of differences. */
export function levelRow(row: Row, logits: Float32Array): void {
  for (let token = 0; token < logits.length; token++) logits[token] = (logits[token] as number) - row.best;
  row.best = 0;
}
