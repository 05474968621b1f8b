import type { RowRest } from "../fusion/types.js";

/** Entries of a row: tokens with their logits, in any units of ln p plus a constant. */
export interface RowEntries {
  known: ReadonlyMap<number, number>;
  /** No logit of another token is above. */
  cap: number;
  /** ln Σ exp(logit) over all tokens; 0 where entries are log-probabilities. */
  logSum: number;
}

/** Probabilities that entries add up to are known to about this. */
const resolution = 1e-6;

/**
 * Writes a row of which some logits are known: the others get equal parts of the probability that is left.
 *
 * @param row [vocabulary size]; written over.
 * @returns what is known of the others; null: there are none.
 */
export function fillRow(row: Float32Array, { known, cap, logSum }: RowEntries): RowRest | null {
  const inside = [...known].filter(([token]) => token < row.length);
  const numOthers = row.length - inside.length;
  let sum = 0;
  for (const [, logit] of inside) sum += Math.exp(logit - logSum);
  const left = Math.min(Math.max(0, 1 - sum) + resolution, numOthers * Math.exp(cap - logSum));
  const mass = logSum + Math.log(left);
  if (numOthers > 0) row.fill(mass - Math.log(numOthers));
  for (const [token, logit] of inside) row[token] = logit;
  return numOthers === 0 ? null : { known: new Set(inside.map(([token]) => token)), cap, mass };
}
