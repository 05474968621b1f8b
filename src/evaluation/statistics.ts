import { quantileSorted } from "simple-statistics";
import { createRandom } from "./random.js";

export interface Interval {
  low: number;
  high: number;
}

const numResamples = 2000;

/** The 2.5 % and 97.5 % quantiles of a figure of 2,000 resamples of n items, drawn with replacement. */
function percentileBootstrap(n: number, seed: number, figureOf: (drawn: () => number) => number): Interval {
  const random = createRandom(seed);
  const drawn = () => Math.floor(random() * n);
  const figures = Float64Array.from({ length: numResamples }, () => figureOf(drawn));
  const ascending = [...figures.sort()];
  return { low: quantileSorted(ascending, 0.025), high: quantileSorted(ascending, 0.975) };
}

/**
 * 95 % interval of the mean by the percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap,
 * chapter 13). Where all values are equal the interval has no width, however few they are.
 */
export function bootstrapInterval(values: readonly number[], seed: number): Interval {
  return percentileBootstrap(values.length, seed, (drawn) => {
    let sum = 0;
    for (let draw = 0; draw < values.length; draw++) sum += values[drawn()] ?? 0;
    return sum / values.length;
  });
}

/**
 * 95 % interval of Σ part ÷ Σ whole over items, by the same bootstrap. A resample whose whole is not above 0 has no
 * bound; null where the interval reaches into those.
 */
export function ratioInterval(
  items: readonly { part: number; whole: number }[],
  seed: number,
): Interval | null {
  const interval = percentileBootstrap(items.length, seed, (drawn) => {
    let [part, whole] = [0, 0];
    for (let draw = 0; draw < items.length; draw++) {
      const item = items[drawn()];
      part += item?.part ?? 0;
      whole += item?.whole ?? 0;
    }
    return whole > 0 ? part / whole : Infinity;
  });
  return Number.isFinite(interval.high) ? interval : null;
}

/**
 * p of Fisher's exact test, two-sided, of the counts [[a, b], [c, d]]: how often tables with the same sums are as
 * improbable as this one or more, if rows and columns have nothing to do with each other (Fisher, The Design of
 * Experiments, 1935). 1 where a row or a column is empty.
 */
export function fisherExact(a: number, b: number, c: number, d: number): number {
  const logFactorials = [0];
  for (let k = 1; k <= a + b + c + d; k++) logFactorials.push((logFactorials[k - 1] ?? 0) + Math.log(k));
  const logChoose = (n: number, k: number) =>
    (logFactorials[n] ?? 0) - (logFactorials[k] ?? 0) - (logFactorials[n - k] ?? 0);
  const logOf = (k: number) =>
    logChoose(a + b, k) + logChoose(c + d, a + c - k) - logChoose(a + b + c + d, a + c);
  // Tables that are as probable may come out a rounding apart.
  const own = logOf(a) + 1e-9;
  let p = 0;
  for (let k = Math.max(0, a - d); k <= Math.min(a + b, a + c); k++) {
    const one = logOf(k);
    if (one <= own) p += Math.exp(one);
  }
  return Math.min(1, p);
}

/** Length of the union of intervals [start, end]: how long at least one of them was open. */
export function unionLength(intervals: readonly (readonly [start: number, end: number])[]): number {
  let length = 0;
  let reached = -Infinity;
  for (const [start, end] of [...intervals].sort((a, b) => a[0] - b[0])) {
    length += Math.max(0, end - Math.max(start, reached));
    reached = Math.max(reached, end);
  }
  return length;
}
