import { createRandom } from "./random.js";

export interface Interval {
  low: number;
  high: number;
}

const numResamples = 2000;

export const mean = (values: readonly number[]): number =>
  values.length === 0 ? NaN : values.reduce((sum, value) => sum + value, 0) / values.length;

/** The q-quantile of ascending values, linear between neighbours; q in [0, 1]. */
export function quantile(ascending: readonly number[], q: number): number {
  const place = q * (ascending.length - 1);
  const below = ascending[Math.floor(place)] ?? NaN;
  const above = ascending[Math.ceil(place)] ?? NaN;
  return below + (above - below) * (place - Math.floor(place));
}

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
  return { low: quantile(ascending, 0.025), high: quantile(ascending, 0.975) };
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
