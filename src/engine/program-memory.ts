import type { ResolvedFusionConfig } from "../protocol/protocol.js";

/**
 * What both processes take in main memory beside the models. Measured on Linux: two Node processes with libllama, what
 * libllama keeps per token of a vocabulary, and the kernel's rows, with those that the first mixture adds: one for the
 * base and one an expert.
 */
export function programBytes(
  configs: readonly ResolvedFusionConfig[],
  vocabularySizes: readonly number[],
): number {
  const numExperts = Math.max(...configs.map(({ config }) => config.experts.length));
  const numRows = 5 + 3 * numExperts + (numExperts > 0 ? numExperts + 1 : 0);
  const kernelBytes = numRows * Float32Array.BYTES_PER_ELEMENT * Math.max(...vocabularySizes);
  const vocabularies = vocabularySizes.reduce((sum, size) => sum + size, 0);
  return 235e6 + 65 * vocabularies + kernelBytes;
}
