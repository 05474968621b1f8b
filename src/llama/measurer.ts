import { ShouldersError } from "../errors.js";
import type { Pointer } from "./abi.js";
import { type AdapterFacts, checkAdapterFile } from "./adapter-file.js";
import { addContextBuffers, addCountedWeights, MemorySum } from "./buffers.js";
import { checkModelFile, type GgufSummary } from "./gguf-file.js";
import type { NativeHandle } from "./native-handle.js";
import {
  bookkeepingBytes,
  contextParameters,
  contextSizes,
  loadEmpty,
  PlacedParameters,
} from "./parameters.js";
import { withoutTokenizer } from "./shared-tokenizer.js";
import type { Buffers, ContextOptions, Measured, Measurer, Placement } from "./types.js";

/** A model of which libllama knows everything but the weights. */
interface EmptyModel {
  pointer: Pointer;
  parameters: PlacedParameters;
  /** What libllama logged while it was made. */
  lines: string[];
}

/**
 * Most cells of a context that is made to be measured: it notes each of them. Buffers of more grow in proportion,
 * which two measured sizes give.
 */
const mostMeasuredCells = 2 ** 18;

/**
 * Measures with libllama's own arithmetic: a model loaded with `no_alloc` reads the file's header, places every
 * tensor and buffer, and allocates none of them.
 */
export class LlamaMeasurer implements Measurer {
  readonly #handle: NativeHandle;
  readonly #files = new Map<string, GgufSummary>();
  readonly #models = new Map<string, EmptyModel>();
  /** Digests of tokenizers that libllama has taken. */
  readonly #tokenizers = new Set<string>();
  readonly #results = new Map<string, Measured>();

  constructor(handle: NativeHandle) {
    this.#handle = handle;
  }

  measure(path: string, placement: Placement, options: ContextOptions): Measured {
    const key = JSON.stringify([path, placement, options]);
    const known = this.#results.get(key) ?? this.#measure(path, placement, options);
    this.#results.set(key, known);
    return known;
  }

  #measure(path: string, placement: Placement, options: ContextOptions): Measured {
    if (options.numCells <= mostMeasuredCells) return this.#measureHere(path, placement, options);
    const half = this.#measureHere(path, placement, { ...options, numCells: mostMeasuredCells / 2 });
    const whole = this.#measureHere(path, placement, { ...options, numCells: mostMeasuredCells });
    const times = (options.numCells - mostMeasuredCells) / (mostMeasuredCells / 2);
    const grown = [...whole.memory].map(([place, buffers]): [string, Buffers] => {
      const less = half.memory.get(place) ?? buffers;
      const grow = (kind: keyof Buffers) => buffers[kind] + times * (buffers[kind] - less[kind]);
      return [
        place,
        { weights: buffers.weights, rows: buffers.rows, cells: grow("cells"), compute: grow("compute") },
      ];
    });
    return { ...whole, memory: new Map(grown) };
  }

  #measureHere(path: string, placement: Placement, options: ContextOptions): Measured {
    const { native, log, flashAttention, devices } = this.#handle;
    const file = this.#file(path, placement);
    const model = this.#model(path, placement);
    const { result, lines } = log.capture(native, () =>
      native.llama_init_from_model(
        model.pointer,
        contextParameters(native.llama_context_default_params(), options, flashAttention),
      ),
    );
    if (result === null)
      throw new ShouldersError(
        "fusion_config_invalid",
        `Model ${path} cannot be used with such a context: ${reasonIn(lines)}. Change its cacheType, ` +
          `flashAttention or context.`,
      );
    native.llama_free(result);
    const sum = new MemorySum(placement.devices);
    const layers = addCountedWeights(sum, model.lines, file, placement, (tensor) =>
      devices.rearranges(tensor),
    );
    if (options.adapter !== undefined) {
      sum.places.clear();
      addAdapter(sum, checkAdapterFile(options.adapter.path, file), {
        options,
        placement,
        numLayers: layers.length,
      });
    }
    addContextBuffers(
      sum,
      lines.filter((line) => !/output buffer size/.test(line)).map((line) => devices.rename(line)),
    );
    const host = /: +(\S+) +output buffer size/.exec(lines.find((line) => /output buffer/.test(line)) ?? "");
    const rowBytes = file.vocabularySize * Float32Array.BYTES_PER_ELEMENT;
    sum.add(host?.[1] ?? "CPU", "rows", contextSizes(options).maxRows * rowBytes);
    sum.add("CPU", "cells", options.numCells * bookkeepingBytes);
    return {
      memory: sum.places,
      numLayers: layers.length,
      layersByDevice: countEach(layers.filter((device) => placement.devices.includes(device))),
      vocabulary: { size: file.vocabularySize, digest: file.tokenizerDigest, bytes: file.vocabularyBytes },
    };
  }

  #file(path: string, { metadata }: Placement): GgufSummary {
    const key = JSON.stringify([path, metadata]);
    const file = this.#files.get(key) ?? checkModelFile(path, metadata);
    this.#files.set(key, file);
    return file;
  }

  #model(path: string, placement: Placement): EmptyModel {
    const key = JSON.stringify([path, placement]);
    const known = this.#models.get(key);
    if (known) return known;
    const { native, log, devices } = this.#handle;
    const file = this.#file(path, placement);
    const bare = this.#tokenizers.has(file.tokenizerDigest) ? withoutTokenizer(file) : null;
    const parameters = new PlacedParameters(placement, devices, bare ?? file.overrides);
    const { result, lines } = log.capture(native, () => loadEmpty(native, path, parameters));
    if (result === null) {
      parameters.free();
      throw new ShouldersError(
        "model_file_invalid",
        `Model file ${path} cannot be loaded: ${reasonIn(lines)}.`,
      );
    }
    this.#tokenizers.add(file.tokenizerDigest);
    const model = { pointer: result, parameters, lines: lines.map((line) => devices.rename(line)) };
    this.#models.set(key, model);
    return model;
  }

  [Symbol.dispose](): void {
    for (const { pointer, parameters } of this.#models.values()) {
      this.#handle.native.llama_model_free(pointer);
      parameters.free();
    }
    this.#models.clear();
  }
}

/**
 * What an adapter takes beside its context: its weights, and in compute buffers what its widest pair makes of a
 * batch. Its pairs lie where the matrices do; here they are shared out by layers.
 */
function addAdapter(
  sum: MemorySum,
  { sizeBytes, widest }: AdapterFacts,
  { options, placement, numLayers }: { options: ContextOptions; placement: Placement; numLayers: number },
): void {
  const { devices, gpuLayers } = placement;
  const onDevices = devices.length === 0 ? 0 : Math.min(1, gpuLayers / numLayers);
  const computeBytes = contextSizes(options).microBatch * widest * Float32Array.BYTES_PER_ELEMENT;
  for (const [place, share] of [
    ["CPU", 1 - onDevices] as const,
    ...devices.map((device) => [device, onDevices / devices.length] as const),
  ]) {
    if (share === 0) continue;
    sum.add(place, "weights", share * sizeBytes);
    sum.add(place, "compute", computeBytes);
  }
}

function countEach(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** The last lines of a failure, on one line. */
function reasonIn(lines: readonly string[]): string {
  return lines.slice(-2).join("; ") || "libllama gave no reason";
}
