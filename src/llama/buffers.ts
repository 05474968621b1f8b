import type { GgufSummary } from "./gguf-file.js";
import type { Buffers, MemoryByPlace, Placement } from "./types.js";
import { bufferKinds, mainMemory } from "./types.js";

/** Reads what libllama says of its buffers: only its log tells their sizes, one line a buffer. */

const mebibyte = 2 ** 20;

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
 * @returns how many layers there are, the output counted as one.
 */
export function addCountedWeights(
  sum: MemorySum,
  lines: readonly string[],
  file: GgufSummary,
  placement: Placement,
): number {
  const layers: string[] = [];
  const unused = new Set<string>();
  for (const line of lines) {
    const [, layer, device = ""] = /layer +(\d+) assigned to device (\S+?),/.exec(line) ?? [];
    if (layer !== undefined) layers[Number(layer)] = device;
    const skipped = /unused tensor (\S+) \(size/.exec(line)?.[1];
    if (skipped !== undefined) unused.add(skipped);
  }
  const output = layers.length - 1;
  const refused = refusedType(lines, file, placement);
  const add = (layer: number | null, { bytes, type }: { bytes: number; type: number }) => {
    const device = layer === null || type === refused ? "CPU" : (layers[layer] ?? "CPU");
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
  // does a processor that has it rearranged for its matrix unit (AMX).
  const embeddings = file.tensors.find(({ name }) => name === "token_embd.weight");
  const isTied = !file.tensors.some(({ name }) => name === "output.weight");
  const outputDevice = layers[output] ?? "";
  if (isTied && embeddings && (placement.devices.includes(outputDevice) || isRearranged(lines, placement)))
    add(output, embeddings);
  return layers.length;
}

/** Whether weights lie in a buffer of the processor's that is not as in the file. */
function isRearranged(lines: readonly string[], { devices }: Placement): boolean {
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

/** A device that cannot compute with a type leaves tensors of it to the processor; libllama names the first. */
function refusedType(
  lines: readonly string[],
  { tensors }: GgufSummary,
  { devices }: Placement,
): number | null {
  for (const line of lines) {
    const [, name, preferred = ""] =
      /tensor '(\S+)' .* cannot be used with preferred buffer type (\S+),/.exec(line) ?? [];
    if (name !== undefined && devices.includes(preferred))
      return tensors.find((tensor) => tensor.name === name)?.type ?? null;
  }
  return null;
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
