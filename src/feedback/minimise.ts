import { setImmediate as nextTurn } from "node:timers/promises";

/** Writes the gradient at a point, and returns the value there. */
export type Objective = (point: Float64Array, gradient: Float64Array) => number;

const mostSteps = 60;
/** The largest part of a gradient at which a point counts as lowest. */
const flat = 1e-4;

/**
 * The lowest point of a smooth function near a start, by BFGS with halved steps (Nocedal and Wright, Numerical
 * Optimization, algorithm 6.1). Others have a turn of the event loop between two steps.
 */
export async function minimise(objective: Objective, start: Float64Array): Promise<Float64Array> {
  const size = start.length;
  let point = start.slice();
  let gradient = new Float64Array(size);
  let value = objective(point, gradient);
  const inverse = identity(size);
  for (let step = 0; step < mostSteps && gradient.some((part) => Math.abs(part) > flat); step++) {
    const direction = inverse.map((row) => -dot(row, gradient));
    let slope = dot(direction, gradient);
    if (slope >= 0) {
      reset(inverse);
      direction.forEach((_, i) => (direction[i] = -(gradient[i] ?? 0)));
      slope = dot(direction, gradient);
    }
    const found = walk(objective, { point, value, direction, slope });
    if (found === null) return point;
    const moved = found.point.map((part, i) => part - (point[i] ?? 0));
    const bent = found.gradient.map((part, i) => part - (gradient[i] ?? 0));
    update(inverse, moved, bent);
    ({ point, gradient, value } = found);
    await nextTurn();
  }
  return point;
}

interface Walk {
  point: Float64Array;
  value: number;
  direction: readonly number[];
  slope: number;
}

/** The first of ever shorter steps that leads down enough; null: none does. */
function walk(objective: Objective, { point, value, direction, slope }: Walk) {
  for (let length = 1; length > 1e-10; length /= 2) {
    const next = point.map((part, i) => part + length * (direction[i] ?? 0));
    const gradient = new Float64Array(point.length);
    const reached = objective(next, gradient);
    if (reached <= value + 1e-4 * length * slope) return { point: next, gradient, value: reached };
  }
  return null;
}

type Numbers = readonly number[] | Float64Array;

function dot(a: Numbers, b: Numbers): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

const identity = (size: number): number[][] =>
  Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => Number(i === j)));

function reset(matrix: number[][]): void {
  matrix.forEach((row, i) => row.forEach((_, j) => (row[j] = Number(i === j))));
}

/** H ← (I − ρsyᵀ)H(I − ρysᵀ) + ρssᵀ with ρ = 1/yᵀs, where the function is bent upwards along the step. */
function update(inverse: number[][], moved: Numbers, bent: Numbers): void {
  const curvature = dot(moved, bent);
  if (curvature <= 1e-12) return;
  const along = inverse.map((row) => dot(row, bent));
  const factor = (1 + dot(along, bent) / curvature) / curvature;
  inverse.forEach((row, i) => {
    const [mi, ai] = [moved[i] ?? 0, along[i] ?? 0];
    row.forEach((part, j) => {
      const [mj, aj] = [moved[j] ?? 0, along[j] ?? 0];
      row[j] = part + factor * mi * mj - (ai * mj + mi * aj) / curvature;
    });
  });
}
