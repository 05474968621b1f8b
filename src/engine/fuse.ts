import type { StrategyConfig } from "../config/fusion-config.js";
import { ShouldersError } from "../errors.js";
import { fuseRows } from "../fusion/fuse-rows.js";
import type { Fusion, FusionKernel, LogitsRows, Strategy } from "../fusion/types.js";
import type { ReadySequence } from "./decode.js";
import type { LoadedConfig, ModelSlot } from "./loaded-models.js";
import type { GenerationRequest } from "./protocol.js";

/** The strategy of a request over a config's experts, in their order: the request's own, or else the config's. */
export function strategyOf(request: GenerationRequest, config: LoadedConfig): Strategy {
  const { experts, strategy: configured } = config.resolved.config;
  const strategy: StrategyConfig = request.strategy ?? configured;
  switch (strategy.type) {
    case "base":
      return strategy;
    case "static":
      return { ...strategy, weights: experts.map((expert) => strategy.weights[expert.id] ?? 0) };
    case "dynamic":
      return { ...strategy, bounds: experts.map((expert) => request.bounds?.[expert.id] ?? expert.bounds) };
  }
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
): Fusion {
  const { config, strategy } = sequence;
  const rowFor = (model: number) => (slots[model] as ModelSlot).context.logits(rowOf.get(model) as number);
  const usesExperts = strategy.type !== "base" && config.reference !== null;
  const rows: LogitsRows = {
    base: rowFor(config.base),
    reference: usesExperts ? rowFor(config.reference as number) : null,
    experts: usesExperts ? config.experts.map(rowFor) : [],
  };
  try {
    return fuseRows(kernel, rows, strategy);
  } catch (thrown) {
    const error = ShouldersError.from(thrown);
    if (error.code !== "non_finite_logits") throw error;
    const { id, experts } = config.resolved.config;
    const ids = experts.map((expert) => expert.id).join(", ");
    throw new ShouldersError(
      error.code,
      `${error.message} Config "${id}"${ids ? ` (experts in order: ${ids})` : ""}, position ${sequence.base.numDecoded}.`,
      { cause: error },
    );
  }
}
