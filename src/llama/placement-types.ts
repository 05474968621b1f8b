/** Where models lie, and what they take there. */

/** A device that computes beside the processor, as its backend describes it. */
export interface Device {
  /** The backend's name: `CUDA0`, `Vulkan1`. */
  name: string;
  /** What it is: `NVIDIA RTX 4090`. */
  description: string;
  freeBytes: number;
  totalBytes: number;
  /** Its memory is main memory. */
  isUnified: boolean;
  /** Its backend can split the rows of a matrix over devices. */
  splitsRows: boolean;
  /** The RPC server that it is of, host:port; left out: it is of this machine. */
  server?: string;
}

/** Where a model's layers are and how its file is read. */
export interface Placement {
  /** Names of the devices that hold layers; none: main memory alone. */
  devices: readonly string[];
  /** The last so many layers lie there, the output counted as one. */
  gpuLayers: number;
  splitMode: "layer" | "row" | "none";
  /** Each device's share, in the order of `devices`; null: equal ones. */
  split: readonly number[] | null;
  /** Index into `devices`. */
  mainGpu: number;
  usesMmap: boolean;
  usesMlock: boolean;
  /** The output matrix stays in main memory, though its layer lies on a device. */
  keepsOutput: boolean;
  /** Entries of the file's header that are replaced, by key. */
  metadata: Readonly<Record<string, string | number | boolean>>;
}

export const inMainMemory: Placement = {
  devices: [],
  gpuLayers: 0,
  splitMode: "layer",
  split: null,
  mainGpu: 0,
  usesMmap: true,
  usesMlock: false,
  keepsOutput: false,
  metadata: {},
};

/** Bytes that a model and its context take in one place. */
export interface Buffers {
  weights: number;
  /** Keys and values, and recurrent states. */
  cells: number;
  /** What a decode computes in. */
  compute: number;
  /** Logits. */
  rows: number;
}

export const bufferKinds = ["weights", "cells", "compute", "rows"] as const;

/** Name of a device, or `mainMemory`, to what lies there. */
export type MemoryByPlace = ReadonlyMap<string, Buffers>;

export const mainMemory = "main memory";
