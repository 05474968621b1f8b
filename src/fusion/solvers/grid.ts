import { objective } from "../objective.js";
import type { AxisPoint, AxisSolution, Divergence, WeightBounds } from "../types.js";

const step = 0.1;

/**
 * The paper's search: α = low, low + 0.1, …, high (which is looked at also where it is no multiple of the step).
 * Source: arXiv 2406.15480, section 3.2 and the pseudo code of its appendix.
 */
export function solveGrid(
  axis: (alpha: number) => AxisPoint,
  [low, high]: WeightBounds,
  target: Divergence,
): AxisSolution {
  const numSteps = Math.ceil((high - low) / step - 1e-9);
  let best = { alpha: low, point: axis(low) };
  for (let k = 1; k <= numSteps; k++) {
    const alpha = Math.min(low + k * step, high);
    const candidate = { alpha, point: axis(alpha) };
    const gain = objective(best.point, [target]) - objective(candidate.point, [target]);
    if (gain > 0 || (gain === 0 && Math.abs(alpha) < Math.abs(best.alpha))) best = candidate;
  }
  return { ...best, evaluations: numSteps + 1 };
}
