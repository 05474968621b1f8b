import type { FusionKernel } from "../types.js";
import { ReferenceKernel } from "./reference.js";
import type { KernelCapacity } from "./rows.js";
import { SimdKernel } from "./simd.js";

export type KernelName = FusionKernel["name"];

const kernels = {
  reference: (capacity) => new ReferenceKernel(capacity),
  simd: (capacity) => new SimdKernel(capacity),
} satisfies Record<KernelName, (capacity: KernelCapacity) => FusionKernel>;

export const kernelNames = Object.keys(kernels) as KernelName[];

/** A kernel with all its memory, for rows of at most `vocabularySize` logits and at most `numExperts` experts. */
export function createKernel(name: KernelName, capacity: KernelCapacity): FusionKernel {
  return kernels[name](capacity);
}
