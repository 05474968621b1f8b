import { tokenEntryBytes } from "../llama/shared-tokenizer.js";
import type { MeasuredVocabulary } from "../llama/types.js";
import { draftRows } from "./model-needs.js";
import type { ResolvedFusionConfig } from "../protocol/protocol.js";

/**
 * Two Node processes with all code, and libllama in one of them; measured on Linux. At rest they have 231 MB, and some 60
 * more right after loading, until V8 gives back what room it took for new objects.
 */
const processBytes = 245e6;
/** Of a token for each model: where its text is kept once it was asked for. */
const textBytes = 8;

/**
 * What both processes take in main memory beside the models: themselves, tokenizers, one for each family of files, and
 * the kernel's rows, with those that the first mixture adds: one for the base and one an expert. Then rows of experts
 * that are kept until the base has been asked: one a sequence, and those of guesses; and one to guess in.
 */
export function programBytes(
  configs: readonly ResolvedFusionConfig[],
  vocabularies: readonly MeasuredVocabulary[],
): number {
  const numExperts = Math.max(...configs.map(({ config }) => config.experts.length));
  const numRows = 5 + 3 * numExperts + (numExperts > 0 ? numExperts + 1 : 0);
  const heldRows = configs.map(({ config: { experts, context } }) => experts.length * context.sequences);
  const numHeld = Math.max(...heldRows) + (numExperts > 0 ? draftRows : 0) + 1;
  const longest = Math.max(0, ...vocabularies.map(({ size }) => size));
  const rowBytes = (numRows + numHeld) * Float32Array.BYTES_PER_ELEMENT * longest;
  const known = new Set<string>();
  const vocabularyBytes = vocabularies.reduce((sum, { digest, size, bytes }) => {
    const isShared = known.has(digest);
    known.add(digest);
    return sum + size * textBytes + (isShared ? size * tokenEntryBytes : bytes);
  }, 0);
  return processBytes + rowBytes + vocabularyBytes;
}
