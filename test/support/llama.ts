import { fileURLToPath } from "node:url";

import {
  inMainMemory,
  type LoadedModel,
  type ModelContext,
  type NativeLibrary,
  type SamplerOptions,
  type Token,
} from "../../src/llama/types.js";

/** Helpers of the tests that run on the starter models. */

export function starterModel(name: "giant" | "dwarf" | "dwarf-trivia" | "dwarf-sums"): string {
  return fileURLToPath(new URL(`../data/starter/${name}.gguf`, import.meta.url));
}

export function load(library: NativeLibrary, path: string): Promise<LoadedModel> {
  return library.loadModel(path, {
    placement: inMainMemory,
    onProgress: () => undefined,
  });
}

export const contextOptions = { numCells: 2048, numSequences: 4, batchTokens: 512, maxRows: 8, threads: 1 };

export const neutralSampling: SamplerOptions = {
  logitBias: [],
  repeatPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  penaltyLastTokens: -1,
  topK: 0,
  typicalP: 1,
  topP: 1,
  minP: 0,
  temperature: 1,
  seed: 1,
};

/** A prompt of the starter models, BOS first. */
export async function questionTokens(model: LoadedModel, question: string): Promise<Token[]> {
  return (await model.renderChat([{ role: "user", content: question }])).tokens;
}

/** Adds tokens at positions from `start` on; @returns the row of the last one. */
export function addTokens(
  context: ModelContext,
  tokens: readonly Token[],
  options: { sequenceId?: number; start?: number } = {},
): number {
  const { sequenceId = 0, start = 0 } = options;
  let row = -1;
  tokens.forEach((token, index) => {
    row = context.batch.add(token, start + index, sequenceId, index === tokens.length - 1);
  });
  return row;
}

/** Decodes tokens alone in a batch; @returns a copy of the last one's row. */
export async function decodeRow(
  context: ModelContext,
  tokens: readonly Token[],
  options: { sequenceId?: number; start?: number } = {},
): Promise<Float32Array> {
  context.batch.clear();
  const row = addTokens(context, tokens, options);
  await context.decode();
  return context.logits(row).slice();
}

/** Largest difference of two rows. */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  let largest = a.length === b.length ? 0 : Infinity;
  a.forEach((value, index) => (largest = Math.max(largest, Math.abs(value - (b[index] as number)))));
  return largest;
}

export function argmax(row: Float32Array): number {
  let best = 0;
  row.forEach((value, index) => {
    if (value > (row[best] as number)) best = index;
  });
  return best;
}
