import type { StrategyConfig } from "../config/fusion-config.js";
import { ShouldersError } from "../errors.js";
import { fuseRows } from "../fusion/fuse-rows.js";
import type { Fusion, FusionKernel, LogitsRows, Strategy } from "../fusion/types.js";
import type { ReadySequence } from "./decode.js";
import { componentOf, type LoadedConfig, type ModelSlot } from "./loaded-models.js";
import type { GenerationRequest } from "./protocol.js";
import type { MixtureStart, Sequence } from "./sequence.js";
import { priorSource } from "./shares.js";

/** The strategy of a request over a config's experts, in their order: the request's own, or else the config's. */
export function strategyOf(request: GenerationRequest, config: LoadedConfig): Strategy {
  const { experts } = config.resolved.config;
  const strategy = wantedStrategy(request, config);
  const boundsOf = ({ id, bounds }: (typeof experts)[number]) => request.bounds?.[id] ?? bounds;
  switch (strategy.type) {
    case "base":
      return strategy;
    case "static":
      return { ...strategy, weights: experts.map((expert) => strategy.weights[expert.id] ?? 0) };
    case "dynamic":
      return { ...strategy, bounds: experts.map(boundsOf) };
    case "mixture":
      return {
        type: "mixture",
        components: experts.map((expert, index) => ({
          ...(strategy.components[expert.id] ?? componentOf(config.resolved, index)),
          bounds: boundsOf(expert),
        })),
      };
  }
}

/** How a mixture's shares begin; null for other strategies. @throws ShouldersError `invalid_request` */
export function mixtureOf(request: GenerationRequest, config: LoadedConfig): MixtureStart | null {
  const strategy = wantedStrategy(request, config);
  if (strategy.type !== "mixture") return null;
  const ids = config.resolved.config.experts.map(({ id }) => id);
  const { prior } = request;
  return {
    prior: priorSource(ids, strategy, prior, config.resolved.card !== null),
    floor: strategy.floor,
    bias: ["base", ...ids].map((id) => prior?.bias[id] ?? 0),
    isPinned: prior?.isPinned ?? false,
  };
}

function wantedStrategy(request: GenerationRequest, config: LoadedConfig): StrategyConfig {
  return request.strategy ?? config.resolved.config.strategy;
}

/** One sequence's rows and what was made of them. */
export interface Fused {
  fusion: Fusion;
  rows: LogitsRows;
  /** The strategy over the experts that ran. */
  strategy: Strategy;
  /** Their indices in the config; weights, targets and rows are in this order. */
  ran: number[];
}

/**
 * Weighs and adds up the rows of one sequence. The fused row lives in the kernel: sample from it before the
 * next call.
 *
 * @throws ShouldersError `non_finite_logits`, naming model file and position.
 */
export function fuse(
  { sequence, rowOf }: ReadySequence,
  slots: readonly ModelSlot[],
  kernel: FusionKernel,
): Fused {
  const { config } = sequence;
  const ran = sequence.runningExperts;
  // Of padded vocabularies only the part that all models know.
  const rowFor = (model: number) =>
    (slots[model] as ModelSlot).context.logits(rowOf.get(model) as number).subarray(0, config.vocabularySize);
  const hasReference = config.reference !== null && ran.length > 0 && rowOf.has(config.reference);
  const rows: LogitsRows = {
    base: rowFor(config.base),
    reference: hasReference ? rowFor(config.reference as number) : null,
    experts: ran.map((expert) => rowFor(config.experts[expert] as number)),
  };
  const strategy = amongRunning(sequence.strategy, ran);
  const shares = [-1, ...ran].map((expert) => sequence.shares?.values[expert + 1] ?? 1);
  try {
    const fusion = fuseRows(kernel, rows, strategy, { shares, budgets: budgetsOf(sequence, ran) });
    return { fusion, rows, strategy, ran };
  } catch (thrown) {
    const error = ShouldersError.from(thrown);
    if (error.code !== "non_finite_logits") throw error;
    const { id, experts } = config.resolved.config;
    const ids = ran.map((expert) => experts[expert]?.id).join(", ");
    throw new ShouldersError(
      error.code,
      `${error.message} Config "${id}"${ids ? ` (experts in order: ${ids})` : ""}, position ${sequence.base.numDecoded}.`,
      { cause: error },
    );
  }
}

function amongRunning(strategy: Strategy, ran: readonly number[]): Strategy {
  if (strategy.type !== "mixture") return strategy;
  const { components } = strategy;
  return { type: "mixture", components: components.filter((_, expert) => ran.includes(expert)) };
}

/** How far each expert may move the base at this token, nats. */
function budgetsOf({ config, request, fusionUsage }: Sequence, ran: readonly number[]): number[] {
  const { tokenNats, replyNats } = request.budget ?? { tokenNats: null, replyNats: null };
  const left = Math.max(0, (replyNats ?? Infinity) - fusionUsage.nats);
  const budgetOf = (expert: number) => config.resolved.config.experts[expert]?.budget ?? Infinity;
  return ran.map((expert) => Math.min(budgetOf(expert), tokenNats ?? Infinity, left));
}
