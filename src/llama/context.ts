import koffi from "koffi";

import { invariant, present, ShouldersError } from "../errors.js";
import type { NativeFunctions, Pointer } from "./abi.js";
import { LlamaBatch } from "./batch.js";
import { callAsync } from "./bindings.js";
import { addContextBuffers, MemorySum, totalOf } from "./buffers.js";
import type { NativeLog } from "./native-log.js";
import { logLinesArrived } from "./native-log.js";
import { availableMemory, gibibytes } from "./memory.js";
import { bookkeepingBytes, contextParameters, contextSizes } from "./parameters.js";
import type { ContextOptions, MemoryByPlace, ModelContext } from "./types.js";

/** What a context needs of its model. */
export interface ContextOwner {
  native: NativeFunctions;
  log: NativeLog;
  model: Pointer;
  /** The path of the model's file or of the adapter's, which messages name. */
  path: string;
  vocabularySize: number;
  /** What it computes with, beside the model. */
  adapter: { pointer: Pointer; scale: number } | null;
  usesGpu: boolean;
  /** What `auto` means here. */
  flashAttention: "auto" | "off";
  /** Names of the devices that its layers may be on. */
  devices: readonly string[];
  onRelease: (context: LlamaContext) => void;
}

export class LlamaContext implements ModelContext {
  readonly batch: LlamaBatch;
  readonly numCells: number;
  /** What libllama allocated, by place. */
  readonly memory: MemoryByPlace;
  readonly #keepsThreads: boolean;
  readonly #owner: ContextOwner;
  readonly #native: NativeFunctions;
  readonly #maxRows: number;
  readonly #numSequences: number;
  #pointer: Pointer | null;
  readonly #memory: Pointer;
  #decoding: Promise<void> | null = null;
  #release: Promise<void> | null = null;
  /** Rows of the last decode that can be asked for, by their numbers: [first, end). */
  #rows = { first: 0, end: 0 };
  /** Where the rows of the last decode begin; null until the first one is asked for. */
  #rowsAddress: Pointer | null = null;
  /** Views [vocabularySize] of the rows of a decode, in their order; all of one address. */
  #views: Float32Array[] = [];
  #viewsAddress: Pointer | null = null;
  #viewsBuffer: ArrayBuffer | null = null;

  /** @throws ShouldersError `out_of_memory` with libllama's own words. */
  constructor(owner: ContextOwner, options: ContextOptions) {
    const { native } = owner;
    this.#owner = owner;
    this.#native = native;
    const { numCells, numSequences } = options;
    const mostSequences = Number(native.llama_max_parallel_sequences());
    invariant(numSequences >= 1 && numSequences <= mostSequences, `1 to ${mostSequences} sequences`);
    const tooLarge = (reason: string) =>
      new ShouldersError(
        "out_of_memory",
        `No context of ${numCells} tokens for ${owner.path}: ${reason}. ` +
          `Lower context.tokens or context.sequences.`,
      );
    // libllama would write to each of them before it fails.
    const [needed, available] = [numCells * bookkeepingBytes, availableMemory()];
    if (needed > available)
      throw tooLarge(`its cells alone take ${gibibytes(needed)}, and ${gibibytes(available)} are free`);
    const { capacity, maxRows } = contextSizes(options);
    this.batch = new LlamaBatch({ capacity, maxRows, numSequences, vocabularySize: owner.vocabularySize });
    const { result, lines } = owner.log.capture(native, () =>
      native.llama_init_from_model(
        owner.model,
        contextParameters(native.llama_context_default_params(), options, owner.flashAttention),
      ),
    );
    if (result === null) {
      this.batch.free();
      throw tooLarge(lines.slice(-3).join("; ") || "libllama gave no reason");
    }
    this.#pointer = result;
    this.#adapt(owner, result);
    this.#memory = present(native.llama_get_memory(result), "memory of a context");
    this.numCells = native.llama_n_ctx(result);
    const sum = new MemorySum(owner.devices);
    addContextBuffers(sum, lines);
    this.memory = sum.places;
    this.#keepsThreads = options.keepsThreads ?? false;
    this.#maxRows = maxRows;
    this.#numSequences = numSequences;
  }

  #adapt({ native, adapter, path }: ContextOwner, context: Pointer): void {
    if (adapter === null) return;
    const pointers = new BigUint64Array([adapter.pointer]);
    const status = native.llama_set_adapters_lora(context, pointers, 1, new Float32Array([adapter.scale]));
    invariant(status === 0, `adapter ${path} was not taken: ${status}`);
  }

  get memoryBytes(): number {
    return [...this.memory.values()].reduce((sum, buffers) => sum + totalOf(buffers), 0);
  }

  async decode(): Promise<void> {
    const pointer = this.#ready();
    invariant(this.batch.numTokens > 0, "decode of an empty batch");
    this.#rowsAddress = null;
    const { firstRow: first, numRows } = this.batch;
    this.#rows = { first, end: first };
    this.#decoding = this.#owner.log.whileBusy(() => this.#decodeBatch(pointer, first + numRows));
    try {
      await this.#decoding;
    } finally {
      this.#decoding = null;
    }
  }

  async #decodeBatch(pointer: Pointer, endRow: number): Promise<void> {
    const { numTokens } = this.batch;
    const mark = this.#owner.log.mark();
    const status = await callAsync(this.#native.llama_decode, pointer, this.batch.value);
    if (status !== 0) throw await this.#decodeError(status, numTokens, mark);
    // A GPU goes on after llama_decode returns; asking for rows would then hold the event loop up.
    if (this.#owner.usesGpu) await callAsync(this.#native.llama_synchronize, pointer);
    this.#rows.end = endRow;
  }

  async #decodeError(status: number, numTokens: number, mark: number): Promise<ShouldersError> {
    await logLinesArrived();
    const reasons: Record<number, string> = {
      1: `no room for ${numTokens} more tokens in its ${this.numCells} cells`,
      2: "the decode was aborted",
      [-1]: `the batch is not valid: ${this.#owner.log.reasonSince(mark)}`,
    };
    const reason = reasons[status] ?? `libllama failed with ${status}: ${this.#owner.log.reasonSince(mark)}`;
    return new ShouldersError("decode_failed", `Decoding with ${this.#owner.path} failed: ${reason}.`);
  }

  setThreads(single: number, batch: number): void {
    if (!this.#keepsThreads) this.#native.llama_set_n_threads(this.#ready(), single, batch);
  }

  logits(row: number): Float32Array {
    const pointer = this.#ready();
    const { first, end } = this.#rows;
    invariant(row >= first, `row ${row} was read after the next decode of ${this.#owner.path} wrote over it`);
    invariant(row < end, `row ${row} of ${this.#owner.path} has not been decoded`);
    this.#rowsAddress ??= this.#native.llama_get_logits(pointer);
    invariant(this.#rowsAddress !== null, "libllama has no logits");
    if (this.#viewsAddress !== this.#rowsAddress) {
      // Rows lie one after the other, in batch order. A view costs 2 us and its memory waits for the garbage
      // collector, so they are kept until libllama moves its buffer.
      const bytes = this.#maxRows * this.#owner.vocabularySize * Float32Array.BYTES_PER_ELEMENT;
      this.#viewsBuffer = koffi.view(this.#rowsAddress, bytes);
      this.#viewsAddress = this.#rowsAddress;
      this.#views = [];
    }
    const { vocabularySize } = this.#owner;
    const index = row - first;
    return (this.#views[index] ??= new Float32Array(
      present(this.#viewsBuffer, "buffer of rows"),
      index * vocabularySize * Float32Array.BYTES_PER_ELEMENT,
      vocabularySize,
    ));
  }

  removePositions(sequenceId: number, from: number, to: number | null): void {
    this.#ready();
    this.#checkSequence(sequenceId);
    const isRemoved = this.#native.llama_memory_seq_rm(this.#memory, sequenceId, from, to ?? -1);
    invariant(isRemoved, `positions of sequence ${sequenceId} of ${this.#owner.path} cannot be removed`);
  }

  takeBack(sequenceId: number, from: number): boolean {
    this.#ready();
    this.#checkSequence(sequenceId);
    return this.#native.llama_memory_seq_rm(this.#memory, sequenceId, from, -1);
  }

  copyPrefix(from: number, to: number, length: number): void {
    this.#ready();
    this.#checkSequence(from);
    this.#checkSequence(to);
    invariant(
      this.#native.llama_memory_seq_pos_max(this.#memory, to) < 0,
      `sequence ${to} must be empty before it gets a prefix`,
    );
    if (length > 0) this.#native.llama_memory_seq_cp(this.#memory, from, to, 0, length);
  }

  /** Waits for a decode in flight. */
  [Symbol.asyncDispose](): Promise<void> {
    return (this.#release ??= this.#releaseOnce());
  }

  async #releaseOnce(): Promise<void> {
    const pointer = present(this.#pointer, "context");
    this.#pointer = null;
    await this.#decoding?.catch(() => undefined);
    this.#views = [];
    this.#viewsBuffer = null;
    this.batch.free();
    this.#native.llama_free(pointer);
    this.#owner.onRelease(this);
  }

  /** @returns the context, when it is there and no decode is in flight. */
  #ready(): Pointer {
    invariant(this.#pointer !== null, `context of ${this.#owner.path} used after it was released`);
    invariant(this.#decoding === null, `context of ${this.#owner.path} used while it decodes`);
    return this.#pointer;
  }

  #checkSequence(sequenceId: number): void {
    invariant(sequenceId >= 0 && sequenceId < this.#numSequences, `sequence ${sequenceId}`);
  }
}
