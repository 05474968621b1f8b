import { z } from "zod";
import { noDivergence } from "../fusion/objective.js";
import type { Fusion, FusionKernel, LogitsRows } from "../fusion/types.js";
import { constantRun } from "./constant-run.js";
import type { Expert, Strategy } from "./strategy.js";

const schema = z.strictObject({ type: z.literal("base") }).describe("The base alone; experts are not used.");

type BaseSettings = z.output<typeof schema>;

export const base = {
  schema,
  label: "Base alone",
  words: () => "The base alone.",
  needsExperts: false,
  controls: [],
  choice: () => ({ type: "base" }),
  plausibilityOf: () => null,
  namedExperts: () => [],
  problem: () => null,
  solvedExperts: () => [],
  readsCard: () => false,
  usesCard: () => false,
  withCard: (settings) => settings,
  start: <E extends Expert>() =>
    constantRun<E>({
      experts: [],
      plausibility: null,
      fuse: fuseBase,
      axisOf: ({ bounds }) => ({ plausibility: null, bounds, isAlone: false, hasOwnTargets: false }),
    }),
} satisfies Strategy<BaseSettings>;

/** The base alone: P̃ = P. Other rows are not looked at; an expert's mask does not bind. */
export function fuseBase(kernel: FusionKernel, rows: LogitsRows): Fusion {
  kernel.load({ base: rows.base, rest: rows.rest ?? null, reference: null, experts: [] }, null);
  return {
    row: kernel.fuse(null).row,
    weights: rows.experts.map(() => 0),
    chosen: null,
    mixed: [],
    singles: [],
    divergence: noDivergence,
    targets: [],
    objective: 0,
    evaluations: 0,
    nats: 0,
    unknown: kernel.unknownShare(null),
  };
}
