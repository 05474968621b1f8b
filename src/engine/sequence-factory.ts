import { randomInt } from "node:crypto";
import { present, ShouldersError } from "../errors.js";
import type { SamplerChain, SamplerOptions } from "../llama/types.js";
import type { TokenMask } from "../grammar/grammar-mask.js";
import { LeastTokensMask } from "../grammar/least-tokens-mask.js";
import { TokenSampler } from "../sampling/token-sampler.js";
import { startStrategy } from "./fuse.js";
import { Grammars } from "./grammars.js";
import type { LoadedConfig, LoadedModels } from "./loaded-models.js";
import { buildPrompts, type ModelPrompts } from "./prompts.js";
import type { Choice, GenerationRequest } from "../protocol/protocol.js";
import { afterThought, thoughtRoot } from "./thought-grammar.js";
import { modelsOf, Sequence } from "./sequence.js";

export interface FactoryParts {
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

/** Makes requests sequences: strategy, prompts of all models, sampler. */
export class SequenceFactory {
  readonly #models: LoadedModels;
  readonly #createSamplerChain: FactoryParts["createSamplerChain"];
  readonly #grammars: Grammars;

  constructor({ models, createSamplerChain }: FactoryParts) {
    this.#models = models;
    this.#createSamplerChain = createSamplerChain;
    this.#grammars = new Grammars(models.slots);
  }

  /**
   * @returns a sequence for each choice that is wanted when the prompt has been read
   * @throws ShouldersError for what is wrong with the request
   */
  async create(arrived: Arrived, isWanted: (requestId: string) => boolean): Promise<Sequence[]> {
    const { request, choices } = arrived;
    const config = this.#models.configs.get(request.configId);
    if (!config)
      throw new ShouldersError("model_not_found", `Unknown model "${request.configId}".`, { param: "model" });
    // Told what is wrong before anything is read.
    const run = startStrategy(request, config);
    const wanted = () => choices.filter(({ requestId }) => isWanted(requestId));
    const models = this.#models.slots.map((slot) => slot.model);
    const prompts = await buildPrompts(
      { request, choices, config, models, isWanted: () => wanted().length > 0 },
      modelsOf(config, run),
    );
    if (prompts === null) return [];
    const makeMask = await this.#masks(request, prompts.thinking, config);
    return wanted().map((choice, index) => {
      const grammar = makeMask?.() ?? null;
      return new Sequence({
        request: { ...request, ...choice },
        config,
        run: startStrategy(request, config),
        prompts,
        forced: present(prompts.forced[choices.indexOf(choice)], "given answer"),
        sampler: this.#sampler(request, choice, { config, grammar }),
        arrival: arrived.arrival + choices.indexOf(choice),
        waitingSinceMs: arrived.arrivalMs,
        // They share the prompt.
        tokens: index === 0 ? numTokens(prompts, config.base.model) : 1,
      });
    });
  }

  /** An answer is held to its grammar after what is thought. */
  async #masks(
    { grammar, minTokens, stopTokens }: GenerationRequest,
    thinking: ModelPrompts["thinking"],
    config: LoadedConfig,
  ): Promise<(() => TokenMask) | null> {
    const makeGrammar =
      grammar === null
        ? null
        : thinking === null
          ? await this.#grammars.masksOf(grammar, config)
          : await this.#grammars.masksOf(afterThought(grammar, thinking), config, thoughtRoot);
    if (minTokens === 0) return makeGrammar;
    const table = this.#grammars.tableOf(config);
    return () =>
      new LeastTokensMask(minTokens, { grammar: makeGrammar?.() ?? null, stops: stopTokens, table });
  }

  #sampler(
    { sampling, logitBias }: GenerationRequest,
    { seed }: Choice,
    { config, grammar }: { config: LoadedConfig; grammar: TokenMask | null },
  ): TokenSampler {
    const contextTokens = config.resolved.config.context.tokens;
    return new TokenSampler(
      { sampling, logitBias, seed: seed ?? randomInt(2 ** 32), contextTokens, grammar },
      this.#createSamplerChain,
    );
  }
}

function numTokens({ tokensOf }: ModelPrompts, model: number): number {
  return tokensOf.get(model)?.length ?? 0;
}
