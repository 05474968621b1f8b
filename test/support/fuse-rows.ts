import { fuseBase } from "../../src/strategies/base.js";
import { fuseDynamic } from "../../src/strategies/dynamic.js";
import { type Component, fuseMixture } from "../../src/strategies/mixture-row.js";
import { fuseStatic } from "../../src/strategies/static.js";
import type {
  Fusion,
  FusionKernel,
  LogitsRows,
  Plausibility,
  SolverName,
  WeightBounds,
} from "../../src/fusion/types.js";

/** How rows without models are to be weighed: values by the place of the expert's row. */
export type RowStrategy =
  | { type: "base" }
  | { type: "static"; weights: readonly number[]; plausibility: Plausibility | null }
  | {
      type: "dynamic";
      solver: SolverName;
      bounds: readonly WeightBounds[];
      plausibility: Plausibility | null;
    }
  | { type: "mixture"; components: readonly Component[] };

/** What a strategy makes of one row; `shares`: of the base, then of each expert. */
export function fuseRows(
  kernel: FusionKernel,
  rows: LogitsRows,
  strategy: RowStrategy,
  { shares, budgets }: { shares?: readonly number[]; budgets?: readonly number[] } = {},
): Fusion {
  const within = budgets ?? rows.experts.map(() => Infinity);
  switch (strategy.type) {
    case "base":
      return fuseBase(kernel, rows);
    case "static":
      return fuseStatic(kernel, rows, strategy, within);
    case "dynamic":
      return fuseDynamic(kernel, rows, strategy, within);
    case "mixture": {
      const parts = rows.experts.map((_, t) => ({
        component: strategy.components[t]!,
        share: shares?.[t + 1] ?? (shares ? 0 : 1),
        budget: within[t]!,
      }));
      return fuseMixture(kernel, rows, { baseShare: shares?.[0] ?? (shares ? 0 : 1), parts });
    }
  }
}
