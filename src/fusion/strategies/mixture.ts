import { ShouldersError } from "../../errors.js";
import { noDivergence } from "../objective.js";
import type { Component, Fusion, FusionKernel, LogitsRows, RowSettings, Strategy } from "../types.js";
import { fuseBase } from "./base.js";
import { fuseDynamic } from "./dynamic.js";
import { isIdle } from "./idle.js";
import { fuseStatic } from "./static.js";

/**
 * M = Σ_c π_c P_c: the base alone, and each expert with it by the rule of a single expert, its weight fixed or solved
 * for its own targets. Every P_c is a complete model and π_c is taken as given, so M is the law of one of them drawn
 * by the shares; with `posterior` after each token this is exact Bayes over which of them answers, and for every text
 * x and every c −ln M(x) ≤ −ln P_c(x) + ln(1/π_c). KL is convex: KL(M‖P) is within the largest of the experts' budgets.
 *
 * An expert whose row is the reference's has no opinion and is left out, unless nobody else is there. Where one model is
 * left, the row is exactly its own, at its own cost. Source: FUSION.md, last section.
 *
 * @param rows all of one length.
 * @returns weights and targets of every expert; `mixed` names the components that the row is made of.
 */
export function fuseMixture(
  kernel: FusionKernel,
  rows: LogitsRows,
  { components }: Extract<Strategy, { type: "mixture" }>,
  { shares, budgets }: RowSettings,
): Fusion {
  // Components by their place in `shares`: 0 is the base, t + 1 expert t.
  const shareOf = (c: number) => shares[c] ?? 0;
  const isSilent = (c: number) =>
    components[c - 1]?.kind === "fused" && isIdle(rows.experts[c - 1] as Float32Array, rows.reference);
  const present = [...shares.keys()].filter((c) => shareOf(c) > 0);
  const speaking = present.filter((c) => !isSilent(c));
  const mixed = speaking.length > 0 ? speaking : present;
  const only = mixed.length === 1 ? mixed[0] : undefined;

  // The base comes last, so that the mixture is compared with all of it; a single model whose row is the answer too.
  const isPart = (c: number) => mixed.includes(c) || !isSilent(c);
  const others = rows.experts.map((_, t) => t + 1).filter((c) => c !== only && isPart(c));
  const order = [...others, only ?? 0];
  const parts = new Map<number, Fusion>();
  if (only === undefined) kernel.mixStart(mixed.length);
  for (const c of order) {
    const budget = budgets[c - 1] ?? Infinity;
    parts.set(
      c,
      c === 0 ? fuseBase(kernel, rows) : fuseComponent(kernel, rows, c - 1, { components, budget }),
    );
    if (only === undefined && mixed.includes(c)) kernel.mixAdd(shareOf(c));
  }
  const { row, divergence } = only === undefined ? kernel.mixFinish() : (parts.get(only) as Fusion);

  const total = mixed.reduce((sum, c) => sum + shareOf(c), 0);
  const meanOf = (key: "nats" | "objective") =>
    mixed.reduce((sum, c) => sum + (shareOf(c) / total) * (parts.get(c)?.[key] ?? 0), 0);
  const effectOf = (c: number) => (mixed.includes(c) ? shareOf(c) * (parts.get(c)?.nats ?? 0) : 0);
  const effects = rows.experts.map((_, t) => effectOf(t + 1));
  const most = Math.max(0, ...effects);
  return {
    row,
    divergence,
    // Convexity: what is above the components' mean is rounding. Over a set, the divergence is not from all of P.
    nats: only === undefined ? Math.min(divergence.forward, meanOf("nats")) : meanOf("nats"),
    weights: rows.experts.map((_, t) => parts.get(t + 1)?.weights[0] ?? 0),
    targets: rows.experts.map((_, t) => parts.get(t + 1)?.targets[0] ?? noDivergence),
    chosen: most === 0 ? null : effects.indexOf(most),
    mixed: only === undefined ? order.filter((c) => mixed.includes(c)) : [],
    objective: meanOf("objective"),
    evaluations: [...parts.values()].reduce((sum, { evaluations }) => sum + evaluations, 0),
  };
}

/** P_c, as the single expert's strategy makes it: the kernel then holds that expert's rows alone. */
function fuseComponent(
  kernel: FusionKernel,
  { base, reference, experts }: LogitsRows,
  expert: number,
  { components, budget }: { components: readonly Component[]; budget: number },
): Fusion {
  const { kind, weight, bounds, plausibility } = components[expert] as Component;
  const row = experts[expert] as Float32Array;
  const rows: LogitsRows = { base, reference: kind === "alone" ? base : reference, experts: [row] };
  try {
    if (kind === "fused" && weight === "solved") {
      const strategy = { type: "dynamic", solver: "exact", bounds: [bounds], plausibility } as const;
      return fuseDynamic(kernel, rows, strategy, [budget]);
    }
    const weights = [kind === "alone" || weight === "solved" ? 1 : weight];
    return fuseStatic(kernel, rows, { type: "static", weights, plausibility }, [budget]);
  } catch (thrown) {
    const error = ShouldersError.from(thrown);
    // The kernel knows of one expert only.
    const message = error.message.replace("expert 0", `expert ${expert}`);
    throw new ShouldersError(error.code, message, { cause: error });
  }
}

/**
 * Shares after a token: π_c ← π_c·P_c(x) / M(x), for the components that the row was mixed of; together they keep
 * what they had, and the others keep theirs. Where none of them can say x (a token that was forced, or allowed by a
 * grammar alone) nothing is learned.
 *
 * @param mixed indices into `shares`, as `Fusion.mixed`.
 * @param logprobs ln P_c(x) of each of them.
 */
export function posterior(
  shares: readonly number[],
  mixed: readonly number[],
  logprobs: readonly number[],
): number[] {
  const best = Math.max(...logprobs);
  if (mixed.length < 2 || best === -Infinity) return [...shares];
  const had = mixed.map((index) => shares[index] ?? 0);
  const joint = had.map((share, c) => share * Math.exp((logprobs[c] as number) - best));
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const [before, after] = [sum(had), sum(joint)];
  const next = [...shares];
  mixed.forEach((index, c) => (next[index] = before * ((joint[c] as number) / after)));
  return next;
}
