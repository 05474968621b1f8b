import { invariant } from "../errors.js";
import type { StructValue } from "./abi.js";
import { NativeMemory } from "./bindings.js";
import type { Batch, Token } from "./types.js";

export interface BatchLimits {
  /** Most tokens. */
  capacity: number;
  /** Most rows of logits. */
  maxRows: number;
  numSequences: number;
  vocabularySize: number;
}

/** A batch in native memory of its own, made once: filling it allocates nothing. Each token has one sequence. */
export class LlamaBatch implements Batch {
  readonly capacity: number;
  readonly maxRows: number;
  readonly #limits: BatchLimits;
  readonly #memory: NativeMemory;
  /** Each of shape [capacity]. */
  readonly #tokens: Int32Array;
  readonly #positions: Int32Array;
  readonly #sequenceIds: Int32Array;
  readonly #wantsRow: Int8Array;
  /** The struct that `llama_decode` takes; only `n_tokens` changes. */
  readonly #value: StructValue<"batch">;
  #numTokens = 0;
  #numRows = 0;
  /** Number of the first row of this filling. */
  #firstRow = 0;

  constructor(limits: BatchLimits) {
    const n = limits.capacity;
    this.capacity = n;
    this.maxRows = limits.maxRows;
    this.#limits = limits;
    // Pointers first, so that each array is aligned: seq_id [n] x 8, then token, pos, n_seq_id, the sequence ids
    // that seq_id points to, each [n] x 4, then logits [n] x 1.
    const at = { seqId: 0, token: 8 * n, pos: 12 * n, numSeqId: 16 * n, ids: 20 * n, logits: 24 * n };
    this.#memory = new NativeMemory(25 * n);
    const { buffer, pointer } = this.#memory;
    this.#tokens = new Int32Array(buffer, at.token, n);
    this.#positions = new Int32Array(buffer, at.pos, n);
    this.#sequenceIds = new Int32Array(buffer, at.ids, n);
    this.#wantsRow = new Int8Array(buffer, at.logits, n);
    new Int32Array(buffer, at.numSeqId, n).fill(1);
    const addresses = new BigUint64Array(buffer, at.seqId, n);
    for (let index = 0; index < n; index++) addresses[index] = pointer + BigInt(at.ids + 4 * index);
    this.#value = {
      n_tokens: 0,
      token: pointer + BigInt(at.token),
      embd: null,
      pos: pointer + BigInt(at.pos),
      n_seq_id: pointer + BigInt(at.numSeqId),
      seq_id: pointer,
      logits: pointer + BigInt(at.logits),
    };
  }

  get numTokens(): number {
    return this.#numTokens;
  }

  get numRows(): number {
    return this.#numRows;
  }

  get firstRow(): number {
    return this.#firstRow;
  }

  get value(): StructValue<"batch"> {
    this.#value.n_tokens = this.#numTokens;
    return this.#value;
  }

  clear(): void {
    this.#numTokens = 0;
    this.#firstRow += this.#numRows;
    this.#numRows = 0;
  }

  /** Rows count from 0 in the order in which they are asked for, through all fillings: no number comes twice. */
  add(token: Token, position: number, sequenceId: number, wantsRow: boolean): number {
    const { capacity, maxRows, numSequences, vocabularySize } = this.#limits;
    const index = this.#numTokens;
    // libllama ends the process on some of these.
    invariant(index < capacity, `the batch holds ${capacity} tokens`);
    invariant(token >= 0 && token < vocabularySize, `token ${token} is outside the vocabulary`);
    invariant(sequenceId >= 0 && sequenceId < numSequences, `sequence ${sequenceId} of ${numSequences}`);
    invariant(position >= 0, `position ${position}`);
    invariant(!wantsRow || this.#numRows < maxRows, `the batch gives ${maxRows} rows`);
    this.#tokens[index] = token;
    this.#positions[index] = position;
    this.#sequenceIds[index] = sequenceId;
    this.#wantsRow[index] = wantsRow ? 1 : 0;
    this.#numTokens++;
    return wantsRow ? this.#firstRow + this.#numRows++ : -1;
  }

  free(): void {
    this.#memory.free();
  }
}
