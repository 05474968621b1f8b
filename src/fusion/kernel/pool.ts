import type { FusionKernel } from "../types.js";
import { createKernel, type KernelName } from "./kernel.js";

/** A kernel that has room for such rows. */
export type KernelFor = (vocabularySize: number, numExperts: number) => FusionKernel;

/** One kernel for rows of any size, replaced by a larger one when rows do not fit into it. */
export function makeKernelPool(name: KernelName): KernelFor {
  let kernel: FusionKernel | null = null;
  let capacity = { vocabularySize: 0, numExperts: 0 };
  return (vocabularySize, numExperts) => {
    if (kernel && vocabularySize <= capacity.vocabularySize && numExperts <= capacity.numExperts)
      return kernel;
    capacity = {
      vocabularySize: Math.max(vocabularySize, capacity.vocabularySize),
      numExperts: Math.max(numExperts, capacity.numExperts),
    };
    return (kernel = createKernel(name, capacity));
  };
}
