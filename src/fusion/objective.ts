import type { Divergence } from "./types.js";

/** The empty case of every sum over divergences. */
export const noDivergence: Divergence = { forward: 0, reverse: 0 };

/**
 * J = Σ_t (F − F_t)² + (R − R_t)², nats². `achieved`: F and R of the fused row; `targets`: F_t and R_t of each
 * expert. Source: arXiv 2406.15480, section 3.2.
 */
export function objective(achieved: Divergence, targets: readonly Divergence[]): number {
  let sum = 0;
  for (const target of targets)
    sum += (achieved.forward - target.forward) ** 2 + (achieved.reverse - target.reverse) ** 2;
  return sum;
}

/**
 * F̄ = Σ_t F_t / T and R̄ = Σ_t R_t / T, nats. J = T·[(F − F̄)² + (R − R̄)²] + a constant, so the means are all
 * that a solver needs of the targets. Zero where there are no experts.
 */
export function meanTarget(targets: readonly Divergence[]): Divergence {
  if (targets.length === 0) return noDivergence;
  const sum = (of: keyof Divergence) => targets.reduce((total, target) => total + target[of], 0);
  return { forward: sum("forward") / targets.length, reverse: sum("reverse") / targets.length };
}
