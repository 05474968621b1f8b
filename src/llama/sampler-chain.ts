import { invariant, ShouldersError } from "../errors.js";
import type { NativeFunctions, Pointer } from "./abi.js";
import { tokenData, tokenDataArray } from "./abi.js";
import { NativeMemory } from "./bindings.js";
import type { SampledToken, SamplerChain, SamplerOptions } from "./types.js";

/** libllama reads this seed as "a random one". */
const randomSeed = 0xffffffff;

/** Penalties that look at all tokens look at this many: the longest context that a config may have. */
const mostPenaltyTokens = 1_048_576;

/**
 * Before typical sampling: drops tokens below this share of the best one's probability. They cannot be drawn, but
 * a probability that underflows to 0 makes libllama's entropy NaN.
 */
const typicalFloor = 1e-30;

/** llama_token_data in units of 4 bytes. */
const stride = tokenData.bytes / 4;

/**
 * The array of candidates that chains work on, in native memory, made once for the largest vocabulary and used by
 * all chains of the process in turn: filled, sampled and read within one synchronous call.
 */
export class CandidateBuffer {
  #numTokens = 0;
  #data: NativeMemory | null = null;
  #array: NativeMemory | null = null;
  /** Views of the data, each candidate `stride` long: its id, logit and p. */
  ids = new Int32Array(0);
  floats = new Float32Array(0);
  #header = new DataView(new ArrayBuffer(tokenDataArray.bytes));

  /** Makes room for `numTokens` candidates. */
  reserve(numTokens: number): void {
    if (numTokens <= this.#numTokens) return;
    this.free();
    this.#data = new NativeMemory(numTokens * tokenData.bytes);
    this.#array = new NativeMemory(tokenDataArray.bytes);
    this.ids = new Int32Array(this.#data.buffer);
    this.floats = new Float32Array(this.#data.buffer);
    this.#header = new DataView(this.#array.buffer);
    this.#numTokens = numTokens;
  }

  /** Address of the llama_token_data_array. */
  get pointer(): Pointer {
    invariant(this.#array !== null, "no candidate buffer");
    return this.#array.pointer;
  }

  /**
   * Takes the tokens of a row that are not excluded (−Infinity, NaN), in order of their ids.
   * @returns how many there are.
   */
  fill(logits: Float32Array): number {
    this.reserve(logits.length);
    const { ids, floats } = this;
    let at = 0;
    for (let token = 0; token < logits.length; token++) {
      const logit = logits[token] as number;
      if (!(logit > -Infinity)) continue;
      ids[at] = token;
      floats[at + 1] = logit;
      floats[at + 2] = 0;
      at += stride;
    }
    const count = at / stride;
    const header = this.#header;
    invariant(this.#data !== null, "no candidate buffer");
    header.setBigUint64(tokenDataArray.data, this.#data.pointer, true);
    header.setBigUint64(tokenDataArray.size, BigInt(count), true);
    header.setBigInt64(tokenDataArray.selected, -1n, true);
    header.setUint8(tokenDataArray.sorted, 0);
    return count;
  }

  /** How many candidates a chain has left. */
  get size(): number {
    return Number(this.#header.getBigUint64(tokenDataArray.size, true));
  }

  /** Index of the candidate that a chain has drawn. */
  get selected(): number {
    return Number(this.#header.getBigInt64(tokenDataArray.selected, true));
  }

  free(): void {
    this.#data?.free();
    this.#array?.free();
    this.#data = null;
    this.#array = null;
    this.ids = new Int32Array(0);
    this.floats = new Float32Array(0);
    this.#numTokens = 0;
  }
}

/**
 * One request's sampler chain over libllama's samplers, in this order: logit bias, penalties, top-k, typical,
 * top-p, min-p, temperature, and a draw. At temperature 0 the draw is the best token after bias and penalties,
 * and the processed distribution is that token alone.
 */
export class LlamaSamplerChain implements SamplerChain {
  readonly #native: NativeFunctions;
  readonly #candidates: CandidateBuffer;
  readonly #vocabularySize: number;
  readonly #isGreedy: boolean;
  #pointer: Pointer | null;

  constructor(
    native: NativeFunctions,
    candidates: CandidateBuffer,
    options: SamplerOptions,
    vocabularySize: number,
  ) {
    this.#native = native;
    this.#candidates = candidates;
    this.#vocabularySize = vocabularySize;
    this.#isGreedy = options.temperature === 0;
    for (const { token } of options.logitBias)
      invariant(token >= 0 && token < vocabularySize, `logit bias for token ${token} of ${vocabularySize}`);
    candidates.reserve(vocabularySize);
    this.#pointer = native.llama_sampler_chain_init({ no_perf: true });
    invariant(this.#pointer !== null, "libllama made no sampler chain");
    for (const sampler of createSamplers(native, options, vocabularySize))
      native.llama_sampler_chain_add(this.#pointer, sampler);
  }

  sample(logits: Float32Array, numCandidates: number): SampledToken {
    invariant(this.#pointer !== null, "sampler chain used after it was released");
    invariant(logits.length <= this.#vocabularySize, `a row of ${logits.length} for ${this.#vocabularySize}`);
    const candidates = this.#candidates;
    const count = candidates.fill(logits);
    if (count > 0) this.#native.llama_sampler_apply(this.#pointer, candidates.pointer);
    const selected = count > 0 ? candidates.selected : -1;
    if (selected < 0)
      throw new ShouldersError(
        "non_finite_logits",
        "No token can be drawn: all are excluded or not numbers.",
      );
    const token = candidates.ids[selected * stride] as number;
    if (this.#isGreedy)
      return { token, processedLogprob: 0, candidates: numCandidates > 0 ? [{ token, logprob: 0 }] : [] };
    return {
      token,
      processedLogprob: this.#logprob(selected),
      candidates: this.#best(numCandidates),
    };
  }

  accept(token: number): void {
    invariant(this.#pointer !== null, "sampler chain used after it was released");
    this.#native.llama_sampler_accept(this.#pointer, token);
  }

  [Symbol.dispose](): void {
    if (this.#pointer === null) return;
    this.#native.llama_sampler_free(this.#pointer);
    this.#pointer = null;
  }

  /** ln p, where the final draw has left p: a softmax over the candidates that remain. */
  #logprob(index: number): number {
    return Math.log(this.#candidates.floats[index * stride + 2] as number);
  }

  /** The best `count` of the remaining candidates, best first; ties in libllama's order. */
  #best(count: number): { token: number; logprob: number }[] {
    const { floats, ids, size } = this.#candidates;
    const best: number[] = [];
    if (count === 0) return [];
    const probability = (index: number) => floats[index * stride + 2] as number;
    let least = -1;
    for (let index = 0; index < size; index++) {
      const p = probability(index);
      if (p <= least) continue;
      let place = best.length;
      while (place > 0 && probability(best[place - 1] as number) < p) place--;
      best.splice(place, 0, index);
      if (best.length > count) best.pop();
      if (best.length === count) least = probability(best[count - 1] as number);
    }
    return best.map((index) => ({ token: ids[index * stride] as number, logprob: this.#logprob(index) }));
  }
}

/** libllama's samplers for a request; those that would change nothing are left out. */
function createSamplers(
  native: NativeFunctions,
  options: SamplerOptions,
  vocabularySize: number,
): (Pointer | null)[] {
  const { repeatPenalty, frequencyPenalty, presencePenalty, temperature, seed } = options;
  const samplers: (Pointer | null)[] = [];
  if (options.logitBias.length > 0) {
    const { length } = options.logitBias;
    const memory = new ArrayBuffer(8 * length);
    const [tokens, biases] = [new Int32Array(memory), new Float32Array(memory)];
    options.logitBias.forEach(({ token, bias }, index) => {
      tokens[2 * index] = token;
      biases[2 * index + 1] = bias;
    });
    samplers.push(native.llama_sampler_init_logit_bias(vocabularySize, length, tokens));
  }
  if (repeatPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0) {
    const last = options.penaltyLastTokens < 0 ? mostPenaltyTokens : options.penaltyLastTokens;
    samplers.push(
      native.llama_sampler_init_penalties(
        vocabularySize,
        last,
        repeatPenalty,
        frequencyPenalty,
        presencePenalty,
      ),
    );
  }
  if (temperature === 0) return [...samplers, native.llama_sampler_init_greedy()];
  if (options.topK > 0) samplers.push(native.llama_sampler_init_top_k(options.topK));
  if (options.typicalP < 1) {
    samplers.push(native.llama_sampler_init_min_p(typicalFloor, 1));
    samplers.push(native.llama_sampler_init_typical(options.typicalP, 1));
  }
  if (options.topP < 1) samplers.push(native.llama_sampler_init_top_p(options.topP, 1));
  if (options.minP > 0) samplers.push(native.llama_sampler_init_min_p(options.minP, 1));
  if (temperature !== 1) samplers.push(native.llama_sampler_init_temp(temperature));
  samplers.push(native.llama_sampler_init_dist(seed >>> 0 === randomSeed ? randomSeed - 1 : seed >>> 0));
  return samplers;
}
