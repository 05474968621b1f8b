import type { SamplingSettings } from "../config/fusion-config.js";
import type { FusedRow } from "../fusion/types.js";
import type { SampledToken, SamplerChain, SamplerOptions } from "../llama/types.js";
import { ShouldersError } from "../errors.js";
import type { TokenMask } from "../grammar/grammar-mask.js";

export interface TokenSamplerOptions {
  sampling: SamplingSettings;
  logitBias: readonly { token: number; bias: number }[];
  /** 32-bit unsigned. */
  seed: number;
  /** How many tokens the penalties look back at: the whole answer. */
  contextTokens: number;
  /** What the answer must be: its grammar, and how long it is at least; null: anything. */
  grammar: TokenMask | null;
}

export interface SampleOptions {
  /** The fused row's most probable token. */
  argmax: number;
  /** The base's row: where a grammar allows none of the tokens that the fusion left, the base decides. */
  baseRow: Float32Array;
  /** Processed candidates to report; null: nothing of the processed distribution is. */
  numCandidates: number | null;
  /** Tokens that may still be drawn, this one included: a grammar ends the text before they run out. */
  room: number;
}

/** A token, and whether it is so for the grammar's sake: it did not allow the row's most probable one. */
export interface Sample extends SampledToken {
  isByGrammar: boolean;
}

/**
 * Chooses one request's tokens from fused rows. When nothing changes the row and the choice is greedy, the
 * argmax is the answer and no chain is made; otherwise libllama's sampler chain decides.
 */
export class TokenSampler implements Disposable {
  readonly #chain: SamplerChain | null;
  readonly #grammar: TokenMask | null;
  /** Tokens that were accepted: the position of the next one in the answer. */
  #position = 0;

  constructor(options: TokenSamplerOptions, createChain: (options: SamplerOptions) => SamplerChain) {
    this.#chain = isPlainGreedy(options) ? null : createChain(chainOptions(options));
    this.#grammar = options.grammar;
  }

  /** Every token is the row's best one. */
  get isGreedy(): boolean {
    return this.#chain === null && this.#grammar === null;
  }

  /** The grammar allows no more: the answer has ended. */
  get isComplete(): boolean {
    return this.#grammar?.isComplete ?? false;
  }

  /** @param room tokens that may still be drawn, this one included. */
  allows(token: number, room: number): boolean {
    return this.#grammar?.allows(token, room) ?? true;
  }

  /** All tokens that the grammar allows, of a vocabulary of this size. */
  allowed(vocabularySize: number, room: number): number[] {
    const allowed: number[] = [];
    this.#grammar?.apply(new Float32Array(vocabularySize), room)?.forEach((value, token) => {
      if (value === 0) allowed.push(token);
    });
    return allowed;
  }

  /**
   * A grammar is asked about the one token that was drawn; only when it refuses is the whole row masked, and
   * drawn from again by the same noise: what has most of it among all, and is allowed, has most among what is allowed.
   *
   * @returns the token and log-probabilities (nats) of the processed distribution: after grammar, bias, penalties,
   * temperature and truncation. For plain greedy that distribution is the one token.
   */
  sample(row: FusedRow, { argmax, baseRow, numCandidates, room }: SampleOptions): Sample {
    const grammar = this.#grammar;
    if (grammar === null) return { ...this.#draw(row.logits, argmax, numCandidates), isByGrammar: false };
    if (numCandidates === null) {
      const drawn = this.#draw(row.logits, argmax, null);
      if (grammar.allows(drawn.token, room)) return { ...drawn, isByGrammar: false };
    }
    const masked = grammar.apply(row.logits, room) ?? grammar.apply(baseRow, room);
    if (masked === null)
      throw new ShouldersError(
        "invalid_request",
        "The models have no token with which the grammar could go on.",
        {
          param: "grammar",
        },
      );
    const allowed = argmaxOf(masked);
    return { ...this.#draw(masked, allowed, numCandidates), isByGrammar: allowed !== argmax };
  }

  /**
   * The token that would be drawn so many tokens ahead if this were the row, by the noise of that place: a guess at the
   * draw from the fused row, which changes nothing.
   *
   * @param ratio tokens below this share of the best one's probability are left out.
   * @param scratch at least as long as the row; written over.
   */
  guess(
    row: Float32Array,
    ahead: number,
    { ratio, scratch }: { ratio: number; scratch: Float32Array },
  ): number {
    const best = argmaxOf(row);
    if (this.#chain === null) return best;
    const least = (row[best] ?? -Infinity) + Math.log(ratio);
    const likely = scratch.subarray(0, row.length);
    for (let token = 0; token < row.length; token++) {
      const logit = row[token] ?? -Infinity;
      likely[token] = logit >= least ? logit : -Infinity;
    }
    return this.#chain.sample(likely, { position: this.#position + ahead, numCandidates: null }).token;
  }

  accept(token: number): void {
    this.#position++;
    this.#chain?.accept(token);
    this.#grammar?.accept(token);
  }

  #draw(logits: Float32Array, argmax: number, numCandidates: number | null): SampledToken {
    if (this.#chain) return this.#chain.sample(logits, { position: this.#position, numCandidates });
    if (numCandidates === null) return { token: argmax, processed: null };
    const candidates = numCandidates > 0 ? [{ token: argmax, logprob: 0 }] : [];
    return { token: argmax, processed: { logprob: 0, candidates } };
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

function argmaxOf(logits: Float32Array): number {
  let [best, most] = [0, -Infinity];
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] ?? -Infinity;
    if (logit > most) [best, most] = [token, logit];
  }
  return best;
}

const chainOptions = ({ sampling, logitBias, seed, contextTokens }: TokenSamplerOptions): SamplerOptions => ({
  ...sampling,
  logitBias,
  penaltyLastTokens: contextTokens,
  seed,
});
