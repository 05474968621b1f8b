import { noDivergence } from "../objective.js";
import type { Fusion, FusionKernel, LogitsRows } from "../types.js";

/** The base alone: P̃ = P. Other rows are not looked at; an expert's mask does not bind. */
export function fuseBase(kernel: FusionKernel, rows: LogitsRows): Fusion {
  kernel.load({ base: rows.base, reference: null, experts: [] }, null);
  const { row } = kernel.fuse([]);
  const weights = rows.experts.map(() => 0);
  return { row, weights, chosen: null, divergence: noDivergence, targets: [], objective: 0, evaluations: 0 };
}
