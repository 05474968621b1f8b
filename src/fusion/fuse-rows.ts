import { fuseBase } from "./strategies/base.js";
import { fuseDynamic } from "./strategies/dynamic.js";
import { fuseMixture } from "./strategies/mixture.js";
import { fuseStatic } from "./strategies/static.js";
import type { Fusion, FusionKernel, LogitsRows, RowSettings, Strategy } from "./types.js";

/**
 * Weighs the experts of one row [V] by a strategy and adds them up. The fused row lives in the kernel, until
 * its next `load`.
 *
 * @param settings of this row; without them shares are uniform and budgets infinite.
 * @throws ShouldersError `non_finite_logits` or `rows_invalid`.
 */
export function fuseRows(
  kernel: FusionKernel,
  rows: LogitsRows,
  strategy: Strategy,
  settings: RowSettings = freely(rows),
): Fusion {
  switch (strategy.type) {
    case "base":
      return fuseBase(kernel, rows);
    case "static":
      return fuseStatic(kernel, rows, strategy, settings.budgets);
    case "dynamic":
      return fuseDynamic(kernel, rows, strategy, settings.budgets);
    case "mixture":
      return fuseMixture(kernel, rows, strategy, settings);
  }
}

function freely({ experts }: LogitsRows): RowSettings {
  return { shares: [1, ...experts.map(() => 1)], budgets: experts.map(() => Infinity) };
}
