import { invariant, present, ShouldersError } from "../errors.js";
import type { NativeFunctions, Pointer } from "./abi.js";
import { tokenData, tokenDataArray } from "./abi.js";
import { NativeMemory } from "./bindings.js";
import { drawByGumbel } from "./gumbel.js";
import type { Processed, SampledToken, SampleRequest, SamplerChain, SamplerOptions } from "./types.js";

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
      const logit = logits[token] ?? -Infinity;
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

  /** Draws one of the candidates that a chain has left. @returns its index. */
  draw(seed: number, position: number): number {
    const { ids, floats: logits, size: count } = this;
    return drawByGumbel({ ids, logits, stride, offset: 1, count }, { seed, position });
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
 * top-p, min-p, temperature; then a draw of our own (`gumbel.ts`), which has no state. At temperature 0 the draw is the
 * best token after bias and penalties, and the processed distribution is that token alone.
 */
export class LlamaSamplerChain implements SamplerChain {
  readonly #native: NativeFunctions;
  readonly #candidates: CandidateBuffer;
  readonly #vocabularySize: number;
  readonly #isGreedy: boolean;
  readonly #seed: number;
  /** Nothing changes a row before the draw. */
  readonly #isEmpty: boolean;
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
    this.#seed = options.seed >>> 0;
    for (const { token } of options.logitBias)
      invariant(token >= 0 && token < vocabularySize, `logit bias for token ${token} of ${vocabularySize}`);
    candidates.reserve(vocabularySize);
    this.#pointer = native.llama_sampler_chain_init({ no_perf: true });
    invariant(this.#pointer !== null, "libllama made no sampler chain");
    const samplers = createSamplers(native, options, vocabularySize);
    this.#isEmpty = samplers.length === 0;
    for (const sampler of samplers) native.llama_sampler_chain_add(this.#pointer, sampler);
  }

  sample(logits: Float32Array, { position, numCandidates }: SampleRequest): SampledToken {
    invariant(this.#pointer !== null, "sampler chain used after it was released");
    invariant(logits.length <= this.#vocabularySize, `a row of ${logits.length} for ${this.#vocabularySize}`);
    if (this.#isEmpty && numCandidates === null) {
      const row = { ids: null, logits, stride: 1, offset: 0, count: logits.length };
      return { token: drawnOf(drawByGumbel(row, { seed: this.#seed, position })), processed: null };
    }
    const candidates = this.#candidates;
    const count = candidates.fill(logits);
    if (count > 0) this.#native.llama_sampler_apply(this.#pointer, candidates.pointer);
    const drawn = this.#isGreedy ? candidates.selected : candidates.draw(this.#seed, position);
    const selected = drawnOf(count > 0 ? drawn : -1);
    const token = present(candidates.ids[selected * stride], "candidate");
    return { token, processed: numCandidates === null ? null : this.#processed(selected, numCandidates) };
  }

  #processed(selected: number, numCandidates: number): Processed {
    const { ids, floats, size } = this.#candidates;
    if (this.#isGreedy) {
      const token = present(ids[selected * stride], "candidate");
      return { logprob: 0, candidates: numCandidates > 0 ? [{ token, logprob: 0 }] : [] };
    }
    const logitOf = (index: number) => floats[index * stride + 1] ?? -Infinity;
    let best = -Infinity;
    for (let index = 0; index < size; index++) best = Math.max(best, logitOf(index));
    let sum = 0;
    for (let index = 0; index < size; index++) sum += Math.exp(logitOf(index) - best);
    const logprobOf = (index: number) => logitOf(index) - best - Math.log(sum);
    const chosen = this.#best(numCandidates, logitOf);
    return {
      logprob: logprobOf(selected),
      candidates: chosen.map((index) => ({
        token: present(ids[index * stride], "candidate"),
        logprob: logprobOf(index),
      })),
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

  /** Indices of the best `count` of the remaining candidates, best first; ties in libllama's order. */
  #best(count: number, logitOf: (index: number) => number): number[] {
    const { size } = this.#candidates;
    const best: number[] = [];
    if (count === 0) return [];
    let least = -Infinity;
    for (let index = 0; index < size; index++) {
      const logit = logitOf(index);
      if (best.length === count && logit <= least) continue;
      const place = best.findIndex((other) => logitOf(other) < logit);
      best.splice(place < 0 ? best.length : place, 0, index);
      if (best.length > count) best.pop();
      least = logitOf(best.at(-1) ?? index);
    }
    return best;
  }
}

/** @throws ShouldersError where nothing could be drawn. */
function drawnOf(index: number): number {
  if (index >= 0) return index;
  throw new ShouldersError("non_finite_logits", "No token can be drawn: all are excluded or not numbers.");
}

/** libllama's samplers for a request, but for the draw at other temperatures than 0; what would change nothing is left out. */
function createSamplers(
  native: NativeFunctions,
  options: SamplerOptions,
  vocabularySize: number,
): (Pointer | null)[] {
  const { repeatPenalty, frequencyPenalty, presencePenalty, temperature } = options;
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
  return samplers;
}
