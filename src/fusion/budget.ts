import type { FusedRow } from "./fused-row.js";
import type { Divergence, FusionKernel, Plausibility } from "./types.js";

/** A fused row with what it costs. */
export interface Step {
  row: FusedRow;
  divergence: Divergence;
  /** KL(P̃‖P), P over every token that no row masks. */
  nats: number;
  /** Share of the weights that was taken. */
  step: number;
}

/** A cut step spends at least this share of the budget … */
const leastSpent = 0.999;
/** … and aims between that and the whole. */
const aim = 0.9995;
const mostTries = 40;

/** Fuses b + s·Σ_t α_t d_t: KL(P̃‖P) = F(s) − ln P(S), S the tokens that take part. */
export function fuseStep(kernel: FusionKernel, weights: readonly number[], step = 1): Step {
  const fused = kernel.fuse(weights.map((weight) => step * weight));
  return { ...fused, step, nats: fused.divergence.forward - fused.row.mass };
}

/**
 * The largest step s ∈ [0, 1] whose KL(P̃‖P) is within the budgets (nats) of the experts that have a weight, or of
 * all where none has; to a thousandth below. `whole`: the step s = 1, fused last.
 *
 * @returns null where −ln P(S) alone is above: no weight over S will do, and all tokens have to take part.
 */
export function fuseWithin(
  kernel: FusionKernel,
  weights: readonly number[],
  whole: Step,
  { budgets, plausibility }: { budgets: readonly number[]; plausibility: Plausibility | null },
): Step | null {
  const isMoving = weights.some((weight) => weight !== 0);
  const budget = Math.min(...budgets.filter((_, t) => !isMoving || weights[t] !== 0));
  if (whole.nats <= budget) return whole;
  const cut = cutStep(kernel, weights, whole, budget);
  return cut ?? (plausibility ? null : { ...kernel.fuse(null), step: 0, nats: 0 });
}

/**
 * The one root of F(s) − ln P(S) = budget; null where it is not above 0. F grows with s (docs/fusion.md, fact 3), and its
 * square root is almost a straight line, so the secant through √F finds it.
 */
function cutStep(kernel: FusionKernel, weights: readonly number[], whole: Step, budget: number): Step | null {
  const room = budget - (whole.nats - whole.divergence.forward);
  if (room <= 0) return null;
  const target = Math.sqrt(aim * room);
  const rootOf = ({ divergence }: Step) => Math.sqrt(divergence.forward);
  let high = { step: 1, root: rootOf(whole) };
  let low = { step: 0, root: 0 };
  let last: Step = whole;
  for (let tries = 0; tries < mostTries; tries++) {
    const secant = low.step + ((high.step - low.step) * (target - low.root)) / (high.root - low.root);
    // Now and then the middle, lest one end stay where it is.
    last = fuseStep(kernel, weights, tries % 3 === 2 ? (low.step + high.step) / 2 : secant);
    const end = { step: last.step, root: rootOf(last) };
    if (last.nats > budget) high = end;
    else if (last.divergence.forward >= leastSpent * room) return last;
    else low = end;
  }
  return fuseStep(kernel, weights, low.step);
}
