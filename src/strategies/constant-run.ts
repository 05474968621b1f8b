import type { Fusion, FusionKernel, LogitsRows, Plausibility } from "../fusion/types.js";
import type { Expert, ExpertAxis, StrategyRun } from "./strategy.js";

export interface ConstantRunOptions<E extends Expert> {
  /** All of them are decoded at every token. */
  experts: readonly E[];
  /** Of every expert; null: all tokens take part, or there are no experts. */
  plausibility: Plausibility | null;
  fuse: (kernel: FusionKernel, rows: LogitsRows, budgets: readonly number[]) => Fusion;
  axisOf: (expert: E) => ExpertAxis;
}

/** The run of a strategy that weighs every token alike: nothing about it changes during an answer. */
export function constantRun<E extends Expert>({
  experts,
  plausibility,
  fuse,
  axisOf,
}: ConstantRunOptions<E>): StrategyRun<E> {
  const settling = plausibility && experts.map(() => plausibility);
  return {
    asksPrompt: false,
    begin: () => undefined,
    experts,
    active: experts,
    needsReference: experts.length > 0,
    fuse,
    unrestricted: (kernel, rows, _budgets, { weights }) => {
      kernel.load(rows, null);
      return kernel.fuse(weights).row;
    },
    settling: settling && isByExpertsAlone(settling) ? settling : null,
    baseShare: experts.length === 0 ? 1 : 0,
    learn: () => undefined,
    learnOfBase: () => undefined,
    shares: null,
    skippedShare: 0,
    lost: 0,
    axisOf,
  };
}

/** Whether rows of experts can fix these sets without the base's. */
export function isByExpertsAlone(sets: readonly (Plausibility | null)[]): sets is readonly Plausibility[] {
  return sets.length > 0 && sets.every((set) => set !== null && set.of !== "joint");
}
