import { invariant } from "../errors.js";
import { NonFiniteRowError } from "../fusion/kernel/rows.js";
import { noDivergence } from "../fusion/objective.js";
import type {
  Fusion,
  FusionKernel,
  LogitsRows,
  Plausibility,
  Single,
  WeightBounds,
} from "../fusion/types.js";
import { fuseBase } from "./base.js";
import { fuseDynamic } from "./dynamic.js";
import { hasShift } from "./has-shift.js";
import { fuseStatic } from "./static.js";

/** How one expert takes part in a mixture: a complete model P_c, by the rule of a single expert. */
export interface Component {
  /** fused: the base with the expert's shift d = e − r; alone: the expert by itself, which is d = e − b at weight 1. */
  kind: "fused" | "alone";
  /** Weight of the shift (fused); solved: for this expert's own targets, within `bounds`. */
  weight: number | "solved";
  bounds: WeightBounds;
  plausibility: Plausibility | null;
}

/** One expert of a mixture at one token; its row is that of the same place in `LogitsRows.experts`. */
export interface MixturePart {
  component: Component;
  /** π_c, in proportion. */
  share: number;
  /** How far it may move the base at this token, as KL(P̃‖P) in nats. */
  budget: number;
}

/** What a part comes to: the base by itself, or the expert of one row. */
interface Law {
  /** Index of the expert's row; null: the base. */
  expert: number | null;
  share: number;
  /** It has something to say here: not an expert whose row is the reference's. */
  hasShift: boolean;
}

/**
 * M = Σ_c π_c P_c: the base alone, and each expert with it by the rule of a single expert, its weight fixed or solved
 * for its own targets. Every P_c is a complete model and π_c is taken as given, so M is the distribution of one of them
 * drawn by the shares; with `posterior` after each token this is exact Bayes over which of them answers, and for every
 * text x and every c −ln M(x) ≤ −ln P_c(x) + ln(1/π_c). KL is convex: KL(M‖P) is within the largest of the experts'
 * budgets.
 *
 * An expert whose row is the reference's has no shift and is left out, unless nobody else is there. Where one model is
 * left, the row is exactly its own, at its own cost.
 *
 * @param rows all of one length.
 * @param baseShare π of the base; not all shares are 0.
 * @returns weights and targets of every expert; `mixed` names the models that the row is made of.
 */
export function fuseMixture(
  kernel: FusionKernel,
  rows: LogitsRows,
  { baseShare, parts }: { baseShare: number; parts: readonly MixturePart[] },
): Fusion {
  const base: Law = { expert: null, share: baseShare, hasShift: true };
  const experts = parts.map(({ component, share }, expert): Law => {
    const isAlone = component.kind === "alone";
    return { expert, share, hasShift: isAlone || hasShift(rowOf(rows, expert), rows.reference) };
  });
  const present = [base, ...experts].filter(({ share }) => share > 0);
  const shifted = present.filter((law) => law.hasShift);
  const mixed = shifted.length > 0 ? shifted : present;
  const only = mixed.length === 1 ? mixed[0] : undefined;

  // The base comes last, so that the mixture is compared with all of it; a single model whose row is the answer too.
  const others = experts.filter((law) => law !== only && (mixed.includes(law) || law.hasShift));
  const order = [...others, only ?? base];
  const fusions = new Map<Law, Fusion>();
  const singles: Single[] = [];
  if (only === undefined) kernel.mixStart(mixed.length);
  for (const law of order) {
    const fusion = fuseLaw(kernel, rows, law, parts);
    fusions.set(law, fusion);
    if (only !== undefined || !mixed.includes(law)) continue;
    const [best] = fusion.row.top(1);
    invariant(best !== undefined, "a component says some token");
    singles.push({ expert: law.expert, share: law.share, best });
    kernel.mixAdd(law.share);
  }
  const whole = only === undefined ? undefined : fusions.get(only);
  const { row, divergence } = whole ?? kernel.mixFinish();

  const total = mixed.reduce((sum, { share }) => sum + share, 0);
  const meanOf = (key: "nats" | "objective" | "unknown") =>
    mixed.reduce((sum, law) => sum + (law.share / total) * (fusions.get(law)?.[key] ?? 0), 0);
  const effects = experts.map((law) => (mixed.includes(law) ? law.share * (fusions.get(law)?.nats ?? 0) : 0));
  const most = Math.max(0, ...effects);
  return {
    row,
    divergence,
    // Convexity: what is above the components' mean is rounding. Over a set, the divergence is not from all of P.
    nats: only === undefined ? Math.min(divergence.forward, meanOf("nats")) : meanOf("nats"),
    weights: experts.map((law) => fusions.get(law)?.weights[0] ?? 0),
    targets: experts.map((law) => fusions.get(law)?.targets[0] ?? noDivergence),
    chosen: most === 0 ? null : effects.indexOf(most),
    mixed: singles.map(({ expert }) => expert),
    singles,
    objective: meanOf("objective"),
    unknown: meanOf("unknown"),
    evaluations: [...fusions.values()].reduce((sum, { evaluations }) => sum + evaluations, 0),
  };
}

function rowOf({ experts }: LogitsRows, expert: number): Float32Array {
  return experts[expert] as Float32Array;
}

/** P_c, as the single expert's strategy makes it: the kernel then holds that expert's rows alone. */
function fuseLaw(
  kernel: FusionKernel,
  { base, rest = null, reference, experts }: LogitsRows,
  { expert }: Law,
  parts: readonly MixturePart[],
): Fusion {
  if (expert === null) return fuseBase(kernel, { base, rest, reference, experts });
  const { component, budget } = parts[expert] as MixturePart;
  const { kind, weight, bounds, plausibility } = component;
  const row = rowOf({ base, reference, experts }, expert);
  const rows: LogitsRows = { base, rest, reference: kind === "alone" ? base : reference, experts: [row] };
  return namingExpert(expert, () => {
    if (kind === "fused" && weight === "solved")
      return fuseDynamic(kernel, rows, { solver: "exact", bounds: [bounds], plausibility }, [budget]);
    const weights = [kind === "alone" || weight === "solved" ? 1 : weight];
    const fusion = fuseStatic(kernel, rows, { weights, plausibility }, [budget]);
    if (kind === "fused") return fusion;
    // At its whole weight the base has no say in it, but for which tokens take part.
    const isWhole = plausibility === null && fusion.weights[0] === 1;
    return { ...fusion, unknown: isWhole || fusion.unknown === 0 ? 0 : 1 };
  });
}

/** Gives an expert its place back: among the rows of it alone the kernel calls it the first. */
function namingExpert(expert: number, fuse: () => Fusion): Fusion {
  try {
    return fuse();
  } catch (error) {
    if (!(error instanceof NonFiniteRowError) || error.owner === null || typeof error.owner === "string")
      throw error;
    throw new NonFiniteRowError({ expert }, error.fault);
  }
}
