import { randomInt } from "node:crypto";
import { ShouldersError } from "../errors.js";
import type { SamplerChain, SamplerOptions } from "../llama/types.js";
import { TokenSampler } from "../sampling/token-sampler.js";
import { startStrategy } from "./fuse.js";
import { Grammars } from "./grammars.js";
import type { LoadedModels } from "./loaded-models.js";
import { buildPrompts } from "./prompts.js";
import type { GenerationRequest } from "./protocol.js";
import { modelsOf, Sequence } from "./sequence.js";

interface CreatorParts {
  models: LoadedModels;
  createSamplerChain: (options: SamplerOptions) => SamplerChain;
}

/**
 * What makes requests sequences: strategy, prompts of all models, sampler.
 *
 * @returns a function of the request and its arrival, which fails with ShouldersErrors for what is wrong with the
 * request, and gives null for one that is found to be wanted no longer.
 */
export function sequenceCreator({ models, createSamplerChain }: CreatorParts) {
  const grammars = new Grammars(models.slots);
  const loaded = models.slots.map((slot) => slot.model);
  return async (
    request: GenerationRequest,
    arrived: Pick<Sequence, "arrival" | "arrivalMs">,
    isWanted: () => boolean,
  ): Promise<Sequence | null> => {
    const config = models.configs.get(request.configId);
    if (!config)
      throw new ShouldersError("model_not_found", `Unknown model "${request.configId}".`, { param: "model" });
    const run = startStrategy(request, config);
    const prompts = await buildPrompts({ request, config, models: loaded, isWanted }, modelsOf(config, run));
    if (prompts === null) return null;
    const sampler = new TokenSampler(
      {
        sampling: request.sampling,
        logitBias: request.logitBias,
        seed: request.seed ?? randomInt(2 ** 32),
        contextTokens: config.resolved.config.context.tokens,
        grammar: request.grammar === null ? null : grammars.mask(request.grammar, config),
      },
      createSamplerChain,
    );
    return new Sequence({ request, config, run, prompts, sampler, ...arrived });
  };
}
