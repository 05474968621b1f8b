import type { CacheType } from "../config/model-source.js";
import type { Pointer, StructValue } from "./abi.js";
import { cacheTypeNumbers, flashAttentionTypes, loadModes, ropeScalingTypes, splitModes } from "./abi.js";
import { NativeMemory } from "./bindings.js";
import type { Devices } from "./devices.js";
import { type MetadataOverride, overrideBytes, writeOverrides } from "./metadata-overrides.js";
import type { ContextOptions, Placement } from "./types.js";

/** Placements and options as libllama's structs. */

const pointerBytes = 8;
/** More than `llama_max_devices` of any build. */
const mostDevices = 256;

/** What makes a row out of a hidden state; the table of embeddings too, where it is that matrix. */
const outputTensors = ["^output\\.(weight|bias)$", "^token_embd\\.weight$"];

/** Shares that give each device its part of the layers, where the last has the output too, which takes nothing there. */
function withOutput(shares: readonly number[], gpuLayers: number): number[] {
  const whole = shares.reduce((sum, share) => sum + share, 0);
  let [sum, before] = [0, 0];
  const counts = shares.map((share) => {
    sum += share;
    const until = Math.round((sum / whole) * (gpuLayers - 1));
    const count = until - before;
    before = until;
    return count;
  });
  return counts.map((count, index) => (index === counts.length - 1 ? count + 1 : count));
}

/** The fields of `llama_model_params` that say where a model goes, and the arrays behind them. */
export class PlacedParameters {
  readonly values: Pick<
    StructValue<"modelParams">,
    | "devices"
    | "tensor_buft_overrides"
    | "tensor_split"
    | "n_gpu_layers"
    | "split_mode"
    | "main_gpu"
    | "load_mode"
    | "kv_overrides"
  >;
  readonly #arrays: NativeMemory[] = [];

  /** @param overrides of the file's header. */
  constructor(placement: Placement, devices: Devices, overrides: readonly MetadataOverride[] = []) {
    // The list ends with a null pointer: an empty one is main memory alone.
    const list = this.#allocate(pointerBytes * (placement.devices.length + 1));
    placement.devices.forEach((name, index) => {
      new BigUint64Array(list.buffer)[index] = devices.pointerOf(name);
    });
    let split: NativeMemory | null = null;
    if (placement.split !== null) {
      split = this.#allocate(Float32Array.BYTES_PER_ELEMENT * mostDevices);
      const { keepsOutput, gpuLayers } = placement;
      new Float32Array(split.buffer).set(
        keepsOutput ? withOutput(placement.split, gpuLayers) : placement.split,
      );
    }
    this.values = {
      devices: list.pointer,
      tensor_buft_overrides: placement.keepsOutput ? this.#keepOutput(devices.mainMemory) : null,
      tensor_split: split?.pointer ?? null,
      n_gpu_layers: placement.gpuLayers,
      split_mode: splitModes[placement.splitMode],
      main_gpu: placement.mainGpu,
      load_mode: loadModeOf(placement),
      kv_overrides: this.#override(overrides),
    };
  }

  /** An array of pattern and buffer type, which two null pointers end. */
  #keepOutput(buffer: Pointer): Pointer {
    const patterns = outputTensors.map((pattern) => {
      const text = new TextEncoder().encode(pattern);
      const memory = this.#allocate(text.length + 1);
      new Uint8Array(memory.buffer).set(text);
      return memory.pointer;
    });
    const list = this.#allocate(pointerBytes * 2 * (patterns.length + 1));
    new BigUint64Array(list.buffer).set(patterns.flatMap((pattern) => [pattern, buffer]));
    return list.pointer;
  }

  #override(overrides: readonly MetadataOverride[]): Pointer | null {
    if (overrides.length === 0) return null;
    const list = this.#allocate(overrideBytes(overrides));
    writeOverrides(list, overrides);
    return list.pointer;
  }

  /** Must be called after the model is freed: it reads the shares as long as it lives. */
  free(): void {
    for (const array of this.#arrays) array.free();
  }

  #allocate(bytes: number): NativeMemory {
    const memory = new NativeMemory(bytes);
    this.#arrays.push(memory);
    return memory;
  }
}

/** `auto` maps the file where all devices can read from a mapping. */
function loadModeOf({ usesMmap, usesMlock }: Placement): number {
  if (usesMlock) return usesMmap ? loadModes.mmapMlock : loadModes.mlock;
  return usesMmap ? loadModes.auto : loadModes.none;
}

/** What libllama notes about each cell, at least: its position and the sequences that share it. */
export const bookkeepingBytes = 48;

/** Larger batches are computed in parts of this many tokens, so that compute buffers stay small. */
const largestMicroBatch = 512;

/** How many cells, tokens and rows a context of these options has. */
export function contextSizes({ numCells, numSequences, batchTokens, maxRows, microBatch }: ContextOptions) {
  const capacity = Math.min(batchTokens, numCells);
  return {
    capacity,
    microBatch: Math.min(capacity, microBatch ?? largestMicroBatch),
    // libllama keeps a row for every sequence and asserts that they fit.
    maxRows: Math.max(Math.min(maxRows, capacity), numSequences),
  };
}

/**
 * Writes a config's wishes over the defaults, which say "as the file does" of what is left out.
 *
 * @param automatic what flash attention `auto` means here.
 */
export function contextParameters(
  defaults: StructValue<"contextParams">,
  options: ContextOptions,
  automatic: "auto" | "off",
): StructValue<"contextParams"> {
  const { numCells, numSequences, threads, rope = {} } = options;
  const flashAttention =
    (options.flashAttention ?? "auto") === "auto" ? automatic : (options.flashAttention ?? automatic);
  const cacheTypes: { keys: CacheType; values: CacheType } = options.cacheTypes ?? {
    keys: "f16",
    values: "f16",
  };
  const { capacity, microBatch, maxRows } = contextSizes(options);
  return {
    ...defaults,
    n_ctx: numCells,
    n_batch: capacity,
    n_ubatch: microBatch,
    n_seq_max: numSequences,
    n_outputs_max: maxRows,
    n_threads: threads,
    n_threads_batch: threads,
    flash_attn_type: flashAttentionTypes[flashAttention],
    type_k: cacheTypeNumbers[cacheTypes.keys],
    type_v: cacheTypeNumbers[cacheTypes.values],
    rope_scaling_type:
      rope.scaling === undefined ? defaults.rope_scaling_type : ropeScalingTypes[rope.scaling],
    rope_freq_base: rope.freqBase ?? defaults.rope_freq_base,
    rope_freq_scale: rope.scale === undefined ? defaults.rope_freq_scale : 1 / rope.scale,
    yarn_orig_ctx: rope.yarn?.origCtx ?? defaults.yarn_orig_ctx,
    yarn_ext_factor: rope.yarn?.extFactor ?? defaults.yarn_ext_factor,
    yarn_attn_factor: rope.yarn?.attnFactor ?? defaults.yarn_attn_factor,
    yarn_beta_fast: rope.yarn?.betaFast ?? defaults.yarn_beta_fast,
    yarn_beta_slow: rope.yarn?.betaSlow ?? defaults.yarn_beta_slow,
    swa_full: !(options.windowCells ?? false),
    kv_unified: true,
  };
}

/** A model whose weights libllama only counts. */
export function loadEmpty(
  native: {
    llama_model_default_params(): StructValue<"modelParams">;
    llama_model_load_from_file(path: string, parameters: StructValue<"modelParams">): Pointer | null;
  },
  path: string,
  { values }: PlacedParameters,
): Pointer | null {
  return native.llama_model_load_from_file(path, {
    ...native.llama_model_default_params(),
    ...values,
    load_mode: loadModes.none,
    no_alloc: true,
  });
}
