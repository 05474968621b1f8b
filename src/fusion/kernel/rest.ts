import type { RowRest } from "../types.js";

/**
 * ln of the most that Σ p_i exp(s_i) can be over tokens whose p_i are not known: each at most exp(cap), together at most
 * exp(mass). A linear programme whose best point gives the largest shifts all they may have.
 *
 * @param shifts s of these tokens; put in order.
 */
export function mostTail(shifts: Float64Array, { cap, mass }: Omit<RowRest, "known">): number {
  if (shifts.length === 0 || mass === -Infinity) return -Infinity;
  shifts.sort().reverse();
  const highest = shifts[0] as number;
  let left = Math.exp(mass - cap);
  let sum = 0;
  for (const shift of shifts) {
    if (left <= 0) break;
    sum += Math.min(1, left) * Math.exp(shift - highest);
    left--;
  }
  return cap + highest + Math.log(sum);
}

/** The share of the tail in tail and known together, from the logarithms of both. */
export function tailShare(logTail: number, logKnown: number): number {
  if (logTail === -Infinity) return 0;
  return 1 / (1 + Math.exp(logKnown - logTail));
}
