import { meanTarget, objective } from "../objective.js";
import { solvers, type AxisSolution } from "../solvers/solver.js";
import type { Fusion, FusionKernel, LogitsRows, Strategy, WeightBounds } from "../types.js";

/** The paper's bounds, for an expert to which none are given. */
export const defaultBounds: WeightBounds = [0, 2];

/**
 * Weights solved for this row by the paper's rule: one expert at a time, all other weights 0; kept is the
 * (expert, α) with the least J, the first of equals. An expert that does not move keeps the weight nearest 0.
 * Source: arXiv 2406.15480, section 3.3.
 */
export function fuseDynamic(
  kernel: FusionKernel,
  rows: LogitsRows,
  { solver, bounds, plausibility }: Extract<Strategy, { type: "dynamic" }>,
): Fusion {
  kernel.load(rows, plausibility);
  const targets = kernel.targets();
  const mean = meanTarget(targets);
  let best: { expert: number; solution: AxisSolution; objective: number } | null = null;
  let evaluations = 0;
  for (const expert of targets.keys()) {
    const axisBounds = bounds[expert] ?? defaultBounds;
    kernel.focus(expert, axisBounds);
    const solution = solvers[solver]((alpha) => kernel.evaluate(expert, alpha), axisBounds, mean);
    evaluations += solution.evaluations;
    const candidate = { expert, solution, objective: objective(solution.point, targets) };
    if (best === null || candidate.objective < best.objective) best = candidate;
  }
  const weights = targets.map((_, t) => (t === best?.expert ? best.solution.alpha : 0));
  const { row, divergence } = kernel.fuse(weights);
  return {
    row,
    weights,
    chosen: best && best.solution.alpha !== 0 ? best.expert : null,
    divergence,
    targets,
    objective: objective(divergence, targets),
    evaluations,
  };
}
