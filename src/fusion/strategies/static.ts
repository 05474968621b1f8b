import { fuseStep, fuseWithin } from "../budget.js";
import { objective } from "../objective.js";
import type { Fusion, FusionKernel, LogitsRows, Strategy } from "../types.js";

/**
 * Fixed weights: P̃ = softmax(b + Σ_t α_t d_t). One expert at weight 1 is proxy-tuning (arXiv 2401.08565).
 * `chosen` is the expert with the largest |α_t|, the first of equals. `budgets`: how far each may move the base
 * (KL(P̃‖P), nats); of experts added up the smallest binds them all. Where leaving tokens out costs more than that
 * alone, all take part.
 */
export function fuseStatic(
  kernel: FusionKernel,
  rows: LogitsRows,
  strategy: Extract<Strategy, { type: "static" }>,
  budgets: readonly number[],
): Fusion {
  const { plausibility } = strategy;
  kernel.load(rows, plausibility);
  const targets = kernel.targets();
  const whole = targets.map((_, t) => strategy.weights[t] ?? 0);
  const fused = fuseWithin(kernel, whole, fuseStep(kernel, whole), { budgets, plausibility });
  if (!fused) return fuseStatic(kernel, rows, { ...strategy, plausibility: null }, budgets);
  const { row, divergence, nats, step } = fused;
  const weights = whole.map((weight) => step * weight);
  return {
    row,
    weights,
    chosen: largest(weights),
    mixed: [],
    divergence,
    targets,
    nats,
    objective: objective(divergence, targets),
    evaluations: 0,
  };
}

function largest(weights: readonly number[]): number | null {
  const most = Math.max(0, ...weights.map(Math.abs));
  return most === 0 ? null : weights.findIndex((weight) => Math.abs(weight) === most);
}
