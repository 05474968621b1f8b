import { quantileSorted } from "simple-statistics";
import { createRandom } from "./random.js";

export interface Interval {
  low: number;
  high: number;
}

const numResamples = 2000;

/**
 * 95 % interval of the mean by the percentile bootstrap: the 2.5 % and 97.5 % quantiles of the means of 2,000
 * resamples of n values with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13).
 * Where all values are equal the interval has no width, however few they are.
 */
export function bootstrapInterval(values: readonly number[], seed: number): Interval {
  const random = createRandom(seed);
  const means = new Float64Array(numResamples);
  for (let resample = 0; resample < numResamples; resample++) {
    let sum = 0;
    for (let draw = 0; draw < values.length; draw++) sum += values[Math.floor(random() * values.length)] ?? 0;
    means[resample] = sum / values.length;
  }
  const ascending = [...means.sort()];
  return { low: quantileSorted(ascending, 0.025), high: quantileSorted(ascending, 0.975) };
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
