import { draftRows } from "./model-needs.js";
import type { ResolvedFusionConfig } from "../protocol/protocol.js";

/**
 * What both processes take in main memory beside the models. Measured on Linux: two Node processes with libllama, what
 * libllama keeps per token of a vocabulary, and the kernel's rows, with those that the first mixture adds: one for the
 * base and one an expert. Then rows of experts that are kept until the base has been asked: one a sequence, and those of
 * guesses; and one to guess in.
 */
export function programBytes(
  configs: readonly ResolvedFusionConfig[],
  vocabularySizes: readonly number[],
): number {
  const numExperts = Math.max(...configs.map(({ config }) => config.experts.length));
  const numRows = 5 + 3 * numExperts + (numExperts > 0 ? numExperts + 1 : 0);
  const heldRows = configs.map(({ config: { experts, context } }) => experts.length * context.sequences);
  const numHeld = Math.max(...heldRows) + (numExperts > 0 ? draftRows : 0) + 1;
  const rowBytes = (numRows + numHeld) * Float32Array.BYTES_PER_ELEMENT * Math.max(0, ...vocabularySizes);
  const vocabularies = vocabularySizes.reduce((sum, size) => sum + size, 0);
  return 235e6 + 65 * vocabularies + rowBytes;
}
