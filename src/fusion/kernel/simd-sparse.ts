import type { TokenLogprob } from "../types.js";
import { deepestLogit, padded, type KernelCapacity } from "./rows.js";
import type { Row } from "./simd-axis.js";
import { topOf } from "./top.js";
import type { Arena, KernelExports } from "./wasm.js";

/** Larger sets are not gathered: passes over whole rows are quick enough then. */
const mostTokens = 2048;
/** Tokens this much below a floor (relative, and nats) are gathered too: the axis draws the line. */
const margin = 1e-5;

/** Loaded rows, and how many logits they have. */
export interface Rows {
  base: Row;
  reference: Row;
  experts: readonly Row[];
  /** Padded. */
  length: number;
}

/**
 * Of rows the logits of a few tokens alone, where experts' rows fix which tokens take part: all that is done with them
 * costs the set, not the vocabulary.
 */
export class SparseRows {
  readonly #wasm: KernelExports;
  /** Of base and reference, and of each expert. */
  readonly #places: number[];
  /** In order. */
  #tokens: number[] = [];
  /** The row that was fused last. */
  #fused = new Float32Array(0);

  constructor(wasm: KernelExports, arena: Arena, { vocabularySize, numExperts }: KernelCapacity) {
    this.#wasm = wasm;
    const numBytes = 4 * padded(Math.min(vocabularySize, mostTokens));
    this.#places = Array.from({ length: 2 + numExperts }, () => arena.reserve(numBytes));
  }

  /**
   * The logits of tokens to which an expert gives at least `ratio` times the probability of its best one.
   *
   * @param isMoved reference and experts are moved so that their best logits are 0.
   * @returns null: there are too many.
   */
  gather({ base, reference, experts, length }: Rows, ratio: number, isMoved: boolean): Rows | null {
    const found = new Set<number>();
    for (const { at, best } of experts) {
      const floor = best + Math.log(ratio);
      const least = floor - margin * (1 + Math.abs(floor));
      for (
        let token = this.#wasm.nextAbove(at, 0, length, least);
        token < length && found.size <= mostTokens;
        token = this.#wasm.nextAbove(at, token + 1, length, least)
      )
        found.add(token);
    }
    if (found.size > mostTokens) return null;
    this.#tokens = [...found].sort((a, b) => a - b);
    const offsetOf = (row: Row) => (isMoved ? row.best : 0);
    const [first, second, ...others] = this.#places as [number, number, ...number[]];
    return {
      base: this.#copy(base, first, { offset: 0, padding: -Infinity }),
      reference: this.#copy(reference, second, { offset: offsetOf(reference) }),
      experts: experts.map((row, t) => this.#copy(row, others[t] as number, { offset: offsetOf(row) })),
      length: padded(this.#tokens.length),
    };
  }

  /** The row that was fused of gathered rows becomes one of `length` logits, −Infinity elsewhere. */
  scatter(fused: number, length: number): void {
    this.#fused = this.#view(fused, this.#tokens.length).slice();
    const whole = this.#view(fused, length);
    whole.fill(-Infinity);
    this.#tokens.forEach((token, index) => (whole[token] = this.#fused[index] as number));
  }

  /** Of the row that was fused last. */
  top(k: number, logNormalizer: number): TokenLogprob[] {
    const best = topOf(this.#fused, k, logNormalizer);
    return best.map(({ token, logprob }) => ({ token: this.#tokens[token] as number, logprob }));
  }

  #copy(row: Row, at: number, { offset, padding }: { offset: number; padding?: number }): Row {
    const best = row.best - offset;
    const from = new Float32Array(this.#wasm.memory.buffer, row.at);
    const to = this.#view(at, padded(this.#tokens.length)).fill(padding ?? best + deepestLogit);
    this.#tokens.forEach((token, index) => (to[index] = (from[token] as number) - offset));
    return { at, best, magnitude: row.magnitude };
  }

  #view(at: number, length: number): Float32Array {
    return new Float32Array(this.#wasm.memory.buffer, at, length);
  }
}
