/**
 * p of McNemar's exact test, two-sided: how often b and c of b + c changes, or a split further from even, come from a
 * fair coin (McNemar, Psychometrika 12, 1947). 1 without changes.
 */
export function mcNemar(b: number, c: number): number {
  const n = b + c;
  let term = -n * Math.LN2;
  let tail = 0;
  for (let k = 0; k <= Math.min(b, c); k++) {
    tail += Math.exp(term);
    term += Math.log(n - k) - Math.log(k + 1);
  }
  return Math.min(1, 2 * tail);
}
