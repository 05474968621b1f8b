import { z } from "zod";
import { fuseStep, fuseWithin } from "../fusion/budget.js";
import { meanTarget, objective } from "../fusion/objective.js";
import { solvers } from "../fusion/solvers/solver.js";
import type {
  AxisSolution,
  Divergence,
  Fusion,
  FusionKernel,
  LogitsRows,
  Plausibility,
  SolverName,
  WeightBounds,
} from "../fusion/types.js";
import { constantRun } from "./constant-run.js";
import { plausibilitySchema, tokensInWords } from "./fields.js";
import type { Expert, StartOptions, Strategy } from "./strategy.js";

const schema = z
  .strictObject({
    type: z.literal("dynamic"),
    solver: z
      .enum(["exact", "grid"])
      .default("exact")
      .describe("exact: all minima; grid: the paper's, step 0.1."),
    plausibility: plausibilitySchema.nullable().default(null),
  })
  .describe(
    "Weights solved at each token (arXiv 2406.15480); several experts: the paper's one-at-a-time rule.",
  );

type DynamicSettings = z.output<typeof schema>;

export const dynamic = {
  schema,
  label: "Solved at each token",
  words: ({ plausibility }) => `Weights solved at each token, ${tokensInWords(plausibility)}.`,
  needsExperts: true,
  controls: ["bounds", "budget"],
  choice: (_experts, plausibility) => ({ type: "dynamic", solver: "exact", plausibility }),
  plausibilityOf: ({ plausibility }) => plausibility,
  namedExperts: () => [],
  problem: () => null,
  solvedExperts: (_settings, experts) => experts.map(({ id }) => id),
  readsCard: () => false,
  usesCard: () => false,
  withCard: (settings) => settings,
  start: <E extends Expert>({ solver, plausibility }: DynamicSettings, { experts }: StartOptions<E>) => {
    const settings = { solver, bounds: experts.map(({ bounds }) => bounds), plausibility };
    return constantRun<E>({
      experts,
      plausibility,
      fuse: (kernel, rows, budgets) => fuseDynamic(kernel, rows, settings, budgets),
      axisOf: ({ bounds }) => ({ plausibility, bounds, isAlone: false, hasOwnTargets: false }),
    });
  },
} satisfies Strategy<DynamicSettings>;

/** The paper's bounds, for an expert to which none are given. */
export const defaultBounds: WeightBounds = [0, 2];

/** Divergences of a focused kernel may be off by this (nats, and relative) before every token is made to count. */
const tolerance = 1e-5;

/** How a row is solved; bounds by the place of the expert's row. */
export interface DynamicRowSettings {
  solver: SolverName;
  bounds: readonly WeightBounds[];
  plausibility: Plausibility | null;
}

interface Choice extends AxisSolution {
  expert: number;
  objective: number;
}

/**
 * Weights solved for this row by the paper's rule: one expert at a time, all other weights 0; kept is the
 * (expert, α) with the least J, the first of equals. An expert that does not move keeps the weight nearest 0.
 * The numbers in the result are those of the fused row itself; where they show that leaving out the tail was too
 * coarse for this row, it is solved again over every token. A weight that would move the base further than the
 * expert's budget (KL(P̃‖P), nats) is cut to it; where leaving tokens out costs more than that alone, all take part.
 * Source: arXiv 2406.15480, section 3.3.
 */
export function fuseDynamic(
  kernel: FusionKernel,
  rows: LogitsRows,
  settings: DynamicRowSettings,
  budgets: readonly number[],
): Fusion {
  const { solver, bounds, plausibility } = settings;
  kernel.load(rows, plausibility);
  const targets = kernel.targets();
  const boundsOf = targets.map((_, t) => bounds[t] ?? defaultBounds);
  const weightsOf = (best: Choice | null) => targets.map((_, t) => (t === best?.expert ? best.alpha : 0));

  for (const [t, axisBounds] of boundsOf.entries()) kernel.focus(t, axisBounds);
  let [best, evaluations] = chooseAxis(kernel, solver, boundsOf, targets);
  let whole = fuseStep(kernel, weightsOf(best));
  if (best && !isNear(best.point, whole.divergence)) {
    for (const t of targets.keys()) kernel.focus(t, null);
    const [choice, more] = chooseAxis(kernel, solver, boundsOf, targets);
    best = choice;
    evaluations += more;
    whole = fuseStep(kernel, weightsOf(best));
  }
  const fused = fuseWithin(kernel, weightsOf(best), whole, { budgets, plausibility });
  if (!fused) return fuseDynamic(kernel, rows, { ...settings, plausibility: null }, budgets);
  const { row, divergence, nats, step } = fused;
  const weights = weightsOf(best).map((weight) => step * weight);
  return {
    row,
    divergence,
    weights,
    chosen: weights.some((weight) => weight !== 0) && best ? best.expert : null,
    mixed: [],
    singles: [],
    targets,
    objective: objective(divergence, targets),
    evaluations,
    nats,
    unknown: kernel.unknownShare(weights),
  };
}

/** The best (expert, α) and the number of passes it took; null without experts. */
function chooseAxis(
  kernel: FusionKernel,
  solver: SolverName,
  bounds: readonly WeightBounds[],
  targets: readonly Divergence[],
): [Choice | null, number] {
  const mean = meanTarget(targets);
  let best: Choice | null = null;
  let evaluations = 0;
  for (const [expert, axisBounds] of bounds.entries()) {
    const solution = solvers[solver]((alpha) => kernel.evaluate(expert, alpha), axisBounds, mean);
    evaluations += solution.evaluations;
    const candidate = { ...solution, expert, objective: objective(solution.point, targets) };
    if (best === null || candidate.objective < best.objective) best = candidate;
  }
  return [best, evaluations];
}

function isNear(approximate: Divergence, exact: Divergence): boolean {
  return (["forward", "reverse"] as const).every(
    (key) => Math.abs(approximate[key] - exact[key]) <= tolerance * (1 + exact[key]),
  );
}
