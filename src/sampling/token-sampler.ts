import type { SamplingSettings } from "../config/fusion-config.js";
import type { FusedRow } from "../fusion/types.js";
import type { SampledToken, SamplerChain, SamplerOptions } from "../llama/types.js";

export interface TokenSamplerOptions {
  sampling: SamplingSettings;
  logitBias: readonly { token: number; bias: number }[];
  /** 32-bit unsigned. */
  seed: number;
  /** How many tokens the penalties look back at: the whole answer. */
  contextTokens: number;
}

/**
 * Chooses one request's tokens from fused rows. When nothing changes the row and the choice is greedy, the
 * argmax is the answer and no chain is made; otherwise libllama's sampler chain decides.
 */
export class TokenSampler implements Disposable {
  readonly #chain: SamplerChain | null;

  constructor(options: TokenSamplerOptions, createChain: (options: SamplerOptions) => SamplerChain) {
    this.#chain = isPlainGreedy(options) ? null : createChain(chainOptions(options));
  }

  /**
   * @param argmax the fused row's most probable token.
   * @param numCandidates how many processed candidates to report.
   * @returns the token and log-probabilities (nats) of the processed distribution: after bias, penalties,
   * temperature and truncation. For plain greedy that distribution is the one token.
   */
  sample(row: FusedRow, argmax: number, numCandidates: number): SampledToken {
    if (this.#chain) return this.#chain.sample(row.logits, numCandidates);
    const candidates = numCandidates > 0 ? [{ token: argmax, logprob: 0 }] : [];
    return { token: argmax, processedLogprob: 0, candidates };
  }

  accept(token: number): void {
    this.#chain?.accept(token);
  }

  [Symbol.dispose](): void {
    this.#chain?.[Symbol.dispose]();
  }
}

function isPlainGreedy({ sampling, logitBias }: TokenSamplerOptions): boolean {
  return (
    sampling.temperature === 0 &&
    logitBias.length === 0 &&
    sampling.repeatPenalty === 1 &&
    sampling.presencePenalty === 0 &&
    sampling.frequencyPenalty === 0
  );
}

function chainOptions({ sampling, logitBias, seed, contextTokens }: TokenSamplerOptions): SamplerOptions {
  const { topK, topP, minP, typicalP, temperature, repeatPenalty, presencePenalty, frequencyPenalty } =
    sampling;
  return {
    logitBias,
    repeatPenalty,
    presencePenalty,
    frequencyPenalty,
    penaltyLastTokens: contextTokens,
    topK,
    topP,
    minP,
    typicalP,
    temperature,
    seed,
  };
}
