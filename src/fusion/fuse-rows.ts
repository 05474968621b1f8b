import { fuseBase } from "./strategies/base.js";
import { fuseDynamic } from "./strategies/dynamic.js";
import { fuseStatic } from "./strategies/static.js";
import type { Fusion, FusionKernel, LogitsRows, Strategy } from "./types.js";

/**
 * Weighs the experts of one row [V] by a strategy and adds them up. The fused row lives in the kernel, until
 * its next `load`.
 *
 * @throws ShouldersError `non_finite_logits` or `rows_invalid`.
 */
export function fuseRows(kernel: FusionKernel, rows: LogitsRows, strategy: Strategy): Fusion {
  switch (strategy.type) {
    case "base":
      return fuseBase(kernel, rows);
    case "static":
      return fuseStatic(kernel, rows, strategy);
    case "dynamic":
      return fuseDynamic(kernel, rows, strategy);
  }
}
