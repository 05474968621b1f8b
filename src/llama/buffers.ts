import type { GgufSummary } from "./gguf-file.js";
import type { GgufTensor } from "./gguf-tensors.js";
import type { Buffers, MemoryByPlace, Placement } from "./types.js";
import { bufferKinds, mainMemory } from "./types.js";

/** Reads what libllama says of its buffers: only its log tells their sizes, one line a buffer. */

const mebibyte = 2 ** 20;
const embeddingsName = "token_embd.weight";

export function noBuffers(): Buffers {
  return { weights: 0, cells: 0, compute: 0, rows: 0 };
}

/** Adds up what lies in one place. */
export function totalOf(buffers: Buffers): number {
  return bufferKinds.reduce((sum, kind) => sum + buffers[kind], 0);
}

/** A sum by place that is being made. */
export class MemorySum {
  readonly places = new Map<string, Buffers>();
  readonly #devices: readonly string[];

  /** @param devices names of the devices; every other buffer lies in main memory. */
  constructor(devices: readonly string[]) {
    this.#devices = devices;
  }

  /** @param buffer name of a buffer: that of a device, perhaps with more behind, or `CPU`, `CUDA_Host`, … */
  add(buffer: string, kind: keyof Buffers, bytes: number): void {
    const place =
      this.#devices.find((device) => buffer === device || buffer.startsWith(`${device}_`)) ?? mainMemory;
    const buffers = this.places.get(place) ?? noBuffers();
    buffers[kind] += bytes;
    this.places.set(place, buffers);
  }
}

/**
 * Adds the buffers of a context, from the lines that libllama logged while it was made: "CPU KV buffer size =
 * 1.50 MiB". A context that allocates nothing says 0 of its keys and values; their sum stands in a line of its
 * own then, after one a layer with its device, and is shared out by layers.
 */
export function addContextBuffers(sum: MemorySum, lines: readonly string[]): void {
  let layers: string[] = [];
  let numAllocated = 0;
  for (const line of lines) {
    const [, buffer, kind, size] = /: +(\S+) +(?:(\S.*) )?buffer size = +([\d.]+) MiB/.exec(line) ?? [];
    if (buffer !== undefined && kind !== "model") {
      const bytes = Number(size) * mebibyte;
      sum.add(buffer, kind === "compute" ? "compute" : kind === "output" ? "rows" : "cells", bytes);
      if (kind !== "compute" && kind !== "output") numAllocated += bytes;
      continue;
    }
    const device = /layer +\d+: dev = (\S+)/.exec(line)?.[1];
    if (device !== undefined) layers.push(device);
    const all = /: size = +([\d.]+) MiB \(/.exec(line)?.[1];
    if (all === undefined) continue;
    if (numAllocated === 0)
      for (const layer of layers) sum.add(layer, "cells", (Number(all) * mebibyte) / layers.length);
    layers = [];
    numAllocated = 0;
  }
}

/** Adds the weights of a loaded model: "CUDA0 model buffer size = 5.49 MiB". */
export function addLoadedWeights(sum: MemorySum, lines: readonly string[]): void {
  for (const line of lines) {
    const [, buffer, size] = /: +(\S+) +model buffer size = +([\d.]+) MiB/.exec(line) ?? [];
    if (buffer !== undefined) sum.add(buffer, "weights", Number(size) * mebibyte);
  }
}

/**
 * Adds the weights of a model that was only counted: each layer's to the device that libllama gave it, the rest
 * to main memory.
 *
 * @param rearranges whether the processor would have weights rearranged to multiply by them.
 * @returns the device of each layer, the output counted as one.
 */
export function addCountedWeights(
  sum: MemorySum,
  lines: readonly string[],
  file: GgufSummary,
  placement: Placement,
  rearranges: (tensor: GgufTensor) => boolean,
): string[] {
  const layers: string[] = [];
  const unused = new Set<string>();
  for (const line of lines) {
    const [, layer, device = ""] = /layer +(\d+) assigned to device (\S+?),/.exec(line) ?? [];
    if (layer !== undefined) layers[Number(layer)] = device;
    const skipped = /unused tensor (\S+) \(size/.exec(line)?.[1];
    if (skipped !== undefined) unused.add(skipped);
  }
  const output = layers.length - 1;
  // Its norm alone lies elsewhere then.
  if (placement.keepsOutput && layers.length > 0) layers[output] = "CPU";
  const refused = refusedTensors(lines, file, placement);
  const add = (layer: number | null, { bytes, name, type }: GgufTensor) => {
    const isRefused = refused.type === type || (refused.name === name && layer !== null);
    const device = layer === null || isRefused ? "CPU" : (layers[layer] ?? "CPU");
    if (placement.splitMode !== "row" || !placement.devices.includes(device)) {
      sum.add(device, "weights", bytes);
      return;
    }
    const shares = placement.split ?? placement.devices.map(() => 1);
    const whole = shares.reduce((total, share) => total + share, 0);
    placement.devices.forEach((each, index) =>
      sum.add(each, "weights", (bytes * (shares[index] ?? 0)) / whole),
    );
  };
  for (const tensor of file.tensors) if (!unused.has(tensor.name)) add(layerOf(tensor.name, output), tensor);
  // Without an output matrix the table of embeddings is that too: a device that has the output gets a copy, and so
  // does a processor that has it rearranged. A device that refuses it leaves it to the
  // processor, where one is enough, unless the table is in memory of the device's driver.
  const embeddings = file.tensors.find(({ name }) => name === embeddingsName);
  const isTied = !file.tensors.some(({ name }) => name === "output.weight");
  const isOnDevice = placement.devices.includes(layers[output] ?? "");
  const isLeft = refused.name === embeddingsName || refused.type === embeddings?.type;
  const isCopied = (table: GgufTensor) =>
    isOnDevice ? !isLeft || refused.isCopied : areRearranged(lines, placement) && rearranges(table);
  if (isTied && embeddings && isCopied(embeddings)) add(output, embeddings);
  return layers;
}

/** Whether weights lie in a buffer of the processor's that is not as in the file. */
function areRearranged(lines: readonly string[], { devices }: Placement): boolean {
  const buffers = lines.map((line) => /: +(\S+) +model buffer size/.exec(line)?.[1] ?? "CPU");
  return buffers.some(
    (buffer) =>
      !/^CPU(?:_Mapped)?$/.test(buffer) &&
      !devices.some((device) => buffer.startsWith(device)) &&
      !/_Host$/.test(buffer),
  );
}

/** @returns the layer that a tensor belongs to; null: the input. */
function layerOf(name: string, output: number): number | null {
  const block = /^blk\.(\d+)\./.exec(name)?.[1];
  if (block !== undefined) return Number(block);
  return name.startsWith("output") ? output : null;
}

/** Tensors that a device leaves to the processor. */
interface Refused {
  /** A single one: it is too large for the device. */
  name: string | null;
  /** All of a type: the device cannot compute with it. */
  type: number | null;
  /** Whether what the processor then has of an output is another copy than its table of embeddings. */
  isCopied: boolean;
}

/**
 * libllama names the first tensor that is not where it prefers it, and says how many more there are. The first two are
 * the table of embeddings, which it prefers in memory of a device's driver, and the output, which may be the same table.
 */
function refusedTensors(
  lines: readonly string[],
  { tensors }: GgufSummary,
  { devices, usesMmap }: Placement,
): Refused {
  // Of a mapped file nothing is in memory of a driver.
  const isCopied = !usesMmap && lines.some((line) => /: +\S+_Host model buffer size/.test(line));
  for (const line of lines) {
    const [, name, others, preferred = ""] =
      /tensor '(\S+)' .*\(and (\d+) others\) cannot be used with preferred buffer type (\S+),/.exec(line) ??
      [];
    if (name === undefined) continue;
    const isDevice = devices.includes(preferred);
    const ofDriver = devices.length > 0 && preferred.endsWith("_Host") && name === embeddingsName;
    // Neither the table nor, as the one other, the output, and both in one place then.
    if (ofDriver && others === "1") return { name, type: null, isCopied: false };
    if (isDevice && others === "0") return { name, type: null, isCopied };
    const type = tensors.find((tensor) => tensor.name === name)?.type ?? null;
    if (isDevice) return { name: null, type, isCopied };
  }
  return { name: null, type: null, isCopied };
}

/** The sum of several models' memory. */
export function sumMemory(parts: readonly MemoryByPlace[]): Map<string, Buffers> {
  const places = new Map<string, Buffers>();
  for (const part of parts)
    for (const [place, buffers] of part) {
      const known = places.get(place) ?? noBuffers();
      for (const kind of bufferKinds) known[kind] += buffers[kind];
      places.set(place, known);
    }
  return places;
}
