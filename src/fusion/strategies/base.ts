import { noDivergence } from "../objective.js";
import type { Fusion, FusionKernel, LogitsRows } from "../types.js";

/** The base alone: P̃ = P. Other rows are not looked at; an expert's mask does not bind. */
export function fuseBase(kernel: FusionKernel, rows: LogitsRows): Fusion {
  kernel.load({ base: rows.base, reference: null, experts: [] }, null);
  return {
    row: kernel.fuse(null).row,
    weights: rows.experts.map(() => 0),
    chosen: null,
    mixed: [],
    divergence: noDivergence,
    targets: [],
    objective: 0,
    evaluations: 0,
    nats: 0,
  };
}
