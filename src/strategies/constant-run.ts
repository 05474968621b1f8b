import type { Fusion, FusionKernel, LogitsRows } from "../fusion/types.js";
import type { Expert, ExpertAxis, StrategyRun } from "./strategy.js";

export interface ConstantRunOptions<E extends Expert> {
  /** All of them are decoded at every token. */
  experts: readonly E[];
  fuse: (kernel: FusionKernel, rows: LogitsRows, budgets: readonly number[]) => Fusion;
  axisOf: (expert: E) => ExpertAxis;
}

/** The run of a strategy that weighs every token alike: nothing about it changes during an answer. */
export function constantRun<E extends Expert>({
  experts,
  fuse,
  axisOf,
}: ConstantRunOptions<E>): StrategyRun<E> {
  return {
    asksPrompt: false,
    begin: () => undefined,
    experts,
    active: experts,
    needsReference: experts.length > 0,
    fuse,
    learn: () => undefined,
    shares: null,
    skippedShare: 0,
    axisOf,
  };
}
