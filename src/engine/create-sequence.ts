import { randomInt } from "node:crypto";
import { ShouldersError } from "../errors.js";
import type { SamplerChain, SamplerOptions } from "../llama/types.js";
import { TokenSampler } from "../sampling/token-sampler.js";
import { startStrategy } from "./fuse.js";
import { Grammars } from "./grammars.js";
import type { LoadedModels } from "./loaded-models.js";
import { buildPrompts, type ModelPrompts } from "./prompts.js";
import type { Choice, GenerationRequest } from "../protocol/protocol.js";
import { modelsOf, Sequence } from "./sequence.js";

export interface CreatorParts {
  models: LoadedModels;
  createSamplerChain: (options: SamplerOptions) => SamplerChain;
}

/** A request for one answer or several, which has come. */
export interface Arrived {
  request: GenerationRequest;
  choices: readonly Choice[];
  /** Place of the first choice in the order of arrival. */
  arrival: number;
  arrivalMs: number;
}

/**
 * What makes requests sequences: strategy, prompts of all models, sampler.
 *
 * @returns a function that gives a sequence for each choice that is wanted when the prompt has been read, and fails
 * with ShouldersErrors for what is wrong with the request.
 */
export function sequenceCreator({ models, createSamplerChain }: CreatorParts) {
  const grammars = new Grammars(models.slots);
  const loaded = models.slots.map((slot) => slot.model);
  return async (
    { request, choices, arrival, arrivalMs }: Arrived,
    isWanted: (requestId: string) => boolean,
  ): Promise<Sequence[]> => {
    const config = models.configs.get(request.configId);
    if (!config)
      throw new ShouldersError("model_not_found", `Unknown model "${request.configId}".`, { param: "model" });
    // Told what is wrong before anything is read.
    const run = startStrategy(request, config);
    const wanted = () => choices.filter(({ requestId }) => isWanted(requestId));
    const prompts = await buildPrompts(
      { request, config, models: loaded, isWanted: () => wanted().length > 0 },
      modelsOf(config, run),
    );
    if (prompts === null) return [];
    const makeMask = request.grammar === null ? null : await grammars.masksOf(request.grammar, config);
    return wanted().map((choice, index) => {
      const sampler = new TokenSampler(
        {
          sampling: request.sampling,
          logitBias: request.logitBias,
          seed: choice.seed ?? randomInt(2 ** 32),
          contextTokens: config.resolved.config.context.tokens,
          grammar: makeMask?.() ?? null,
        },
        createSamplerChain,
      );
      return new Sequence({
        request: { ...request, ...choice },
        config,
        run: startStrategy(request, config),
        prompts,
        sampler,
        arrival: arrival + choices.indexOf(choice),
        waitingSinceMs: arrivalMs,
        // They share the prompt.
        tokens: index === 0 ? numTokens(prompts, config.base.model) : 1,
      });
    });
  };
}

function numTokens({ tokensOf }: ModelPrompts, model: number): number {
  return tokensOf.get(model)?.length ?? 0;
}
