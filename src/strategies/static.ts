import { z } from "zod";
import { fuseStep, fuseWithin } from "../fusion/budget.js";
import { objective } from "../fusion/objective.js";
import type { Fusion, FusionKernel, LogitsRows, Plausibility, Single } from "../fusion/types.js";
import { present } from "../errors.js";
import { constantRun } from "./constant-run.js";
import { hasShift } from "./has-shift.js";
import { idSchema, mostNamed, plausibilitySchema, tokensInWords, weightSchema } from "./fields.js";
import { recordOf } from "./record-of.js";
import type { Expert, StartOptions, Strategy } from "./strategy.js";

const schema = z
  .strictObject({
    type: z.literal("static"),
    weights: recordOf(idSchema, weightSchema, mostNamed).describe(
      "Weight of each expert, by id; an expert left out has weight 0.",
    ),
    plausibility: plausibilitySchema.nullable().default(null),
  })
  .describe("Fixed weights; one expert at weight 1 is proxy-tuning (arXiv 2401.08565).");

type StaticSettings = z.output<typeof schema>;

export const fixed = {
  schema,
  label: "Fixed weights",
  words: ({ plausibility }) => `Fixed weights, ${tokensInWords(plausibility)}.`,
  needsExperts: true,
  controls: ["weights", "budget"],
  choice: (experts, plausibility) => ({
    type: "static",
    weights: Object.fromEntries(experts.map(({ id }) => [id, 1])),
    plausibility,
  }),
  plausibilityOf: ({ plausibility }) => plausibility,
  namedExperts: ({ weights }) => Object.keys(weights).map((id) => ({ path: ["weights"], id })),
  problem: () => null,
  solvedExperts: () => [],
  readsCard: () => false,
  usesCard: () => false,
  withCard: (settings) => settings,
  start: <E extends Expert>({ weights, plausibility }: StaticSettings, { experts }: StartOptions<E>) => {
    const settings = { weights: experts.map(({ id }) => weights[id] ?? 0), plausibility };
    return constantRun<E>({
      experts,
      plausibility,
      fuse: (kernel, rows, budgets) => fuseStatic(kernel, rows, settings, budgets),
      axisOf: ({ bounds }) => ({ plausibility, bounds, isAlone: false, hasOwnTargets: false }),
    });
  },
} satisfies Strategy<StaticSettings>;

/**
 * Fixed weights: P̃ = softmax(b + Σ_t α_t d_t). One expert at weight 1 is proxy-tuning (arXiv 2401.08565).
 * `chosen` is the expert with the largest |α_t|, the first of equals. `budgets`: how far each may move the base
 * (KL(P̃‖P), nats); of experts added up the smallest binds them all. Where leaving tokens out costs more than that
 * alone, all take part.
 */
export function fuseStatic(
  kernel: FusionKernel,
  rows: LogitsRows,
  settings: { weights: readonly number[]; plausibility: Plausibility | null },
  budgets: readonly number[],
): Fusion {
  const { plausibility } = settings;
  kernel.load(rows, plausibility);
  const targets = kernel.targets();
  // One of several whose row is the reference's has no say here, not even about which tokens take part.
  const hasSay = rows.experts.map((row) => rows.experts.length === 1 || hasShift(row, rows.reference));
  const whole = hasSay.map((says, t) => (says ? (settings.weights[t] ?? 0) : 0));
  const singles = singlesOf(kernel, rows, { weights: whole, plausibility }, budgets);
  if (singles.length > 0) kernel.load(rows, plausibility);
  const fused = fuseWithin(kernel, whole, fuseStep(kernel, whole), { budgets, plausibility });
  if (!fused) return { ...fuseStatic(kernel, rows, { ...settings, plausibility: null }, budgets), singles };
  const { row, divergence, nats, step } = fused;
  const weights = whole.map((weight) => step * weight);
  return {
    row,
    weights,
    chosen: largest(weights),
    mixed: [],
    singles,
    divergence,
    targets,
    nats,
    objective: objective(divergence, targets),
    evaluations: 0,
    unknown: kernel.unknownShare(weights),
  };
}

/** What the base with each expert of a weight says; none where fewer than two have one. The kernel holds other rows then. */
function singlesOf(
  kernel: FusionKernel,
  { base, reference, experts }: LogitsRows,
  { weights, plausibility }: { weights: readonly number[]; plausibility: Plausibility | null },
  budgets: readonly number[],
): Single[] {
  const moving = experts.flatMap((row, expert) => {
    const weight = weights[expert] ?? 0;
    return weight === 0 ? [] : [{ expert, row, weight }];
  });
  if (moving.length < 2) return [];
  return moving.map(({ expert, row, weight }) => {
    const alone = { weights: [weight], plausibility };
    const fused = fuseStatic(kernel, { base, reference, experts: [row] }, alone, [
      budgets[expert] ?? Infinity,
    ]);
    return { expert, share: 1, best: present(fused.row.top(1)[0], "best token") };
  });
}

function largest(weights: readonly number[]): number | null {
  const most = Math.max(0, ...weights.map(Math.abs));
  return most === 0 ? null : weights.findIndex((weight) => Math.abs(weight) === most);
}
