import type { StrategyConfig } from "../../strategies/registry.js";
import type { PriorRequest } from "../../strategies/strategy.js";
import type { Task } from "../tasks/task.js";

/** Who answers an item, and how: a loaded config (or a model of a server), and what replaces its own settings. */
export interface Plan {
  configId: string;
  /** null: the config's own. */
  strategy: StrategyConfig | null;
  /** The shares that a mixture begins with; null: the strategy's. */
  prior: PriorRequest | null;
}

/** What a method is, for the colours of the charts. */
export type MethodKind =
  "alone" | "static" | "dynamic" | "several" | "mixture" | "merged" | "examples" | "tuned" | "configured";

export interface Method {
  name: string;
  kind: MethodKind;
  description: string;
  /** null: the method does not apply to the task (no expert was tuned for it, no examples, …). */
  planFor(task: Task): Plan | null;
}

export const plan = (
  configId: string,
  strategy: StrategyConfig | null,
  prior: Plan["prior"] = null,
): Plan => ({
  configId,
  strategy,
  prior,
});

export type Plausibility = Extract<StrategyConfig, { type: "dynamic" }>["plausibility"];

/** Suffix of a method's name to the tokens that take part. */
export const plausibleSets: { suffix: string; words: string; plausibility: Plausibility }[] = [
  { suffix: "", words: "", plausibility: null },
  {
    suffix: "+joint",
    words: ", tokens plausible to base or expert",
    plausibility: { ratio: 0.1, of: "joint" },
  },
  {
    suffix: "+expert",
    words: ", tokens plausible to the expert",
    plausibility: { ratio: 0.1, of: "expert" },
  },
  {
    suffix: "+gated",
    words: ", tokens plausible to the expert where it is sure, else to base or expert",
    plausibility: { ratio: 0.1, of: "gated" },
  },
];
export const noneOrJoint = plausibleSets.slice(0, 2);

export const base: StrategyConfig = { type: "base" };

export const dynamic = (plausibility: Plausibility, solver: "exact" | "grid" = "exact"): StrategyConfig => ({
  type: "dynamic",
  solver,
  plausibility,
});

export const weighted = (weights: Record<string, number>, plausibility: Plausibility): StrategyConfig => ({
  type: "static",
  weights,
  plausibility,
});
