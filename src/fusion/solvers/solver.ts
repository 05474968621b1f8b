import type { AxisPoint, AxisSolution, Divergence, SolverName, WeightBounds } from "../types.js";
import { solveExact } from "./exact.js";
import { solveGrid } from "./grid.js";

/**
 * Finds the weight in `bounds` whose divergences come nearest to `target` (the experts' mean, fact 1):
 * argmin_α (F(α) − F̄)² + (R(α) − R̄)². `axis` gives a point of the axis; equal minima: the smallest |α|.
 */
export type Solver = (
  axis: (alpha: number) => AxisPoint,
  bounds: WeightBounds,
  target: Divergence,
) => AxisSolution;

export const solvers = { exact: solveExact, grid: solveGrid } satisfies Record<SolverName, Solver>;
