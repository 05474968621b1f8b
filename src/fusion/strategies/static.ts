import { objective } from "../objective.js";
import type { Fusion, FusionKernel, LogitsRows, Strategy } from "../types.js";

/**
 * Fixed weights: P̃ = softmax(b + Σ_t α_t d_t). One expert at weight 1 is proxy-tuning (arXiv 2401.08565).
 * `chosen` is the expert with the largest |α_t|, the first of equals.
 */
export function fuseStatic(
  kernel: FusionKernel,
  rows: LogitsRows,
  { weights: fixed, plausibility }: Extract<Strategy, { type: "static" }>,
): Fusion {
  kernel.load(rows, plausibility);
  const targets = kernel.targets();
  const weights = targets.map((_, t) => fixed[t] ?? 0);
  const { row, divergence } = kernel.fuse(weights);
  return {
    row,
    weights,
    chosen: largest(weights),
    divergence,
    targets,
    objective: objective(divergence, targets),
    evaluations: 0,
  };
}

function largest(weights: readonly number[]): number | null {
  const most = Math.max(0, ...weights.map(Math.abs));
  return most === 0 ? null : weights.findIndex((weight) => Math.abs(weight) === most);
}
