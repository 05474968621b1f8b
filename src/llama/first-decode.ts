import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { ShouldersError } from "../errors.js";
import { tinyModel } from "./tiny-model.js";
import {
  inMainMemory,
  type LoadedModel,
  type ModelContext,
  type NativeLibrary,
  type Placement,
} from "./types.js";

/** How many sequences a step has, one after the other: one token, then two at once, which take other shaders. */
const steps = [1, 2, 1] as const;

/** Logits of the tiny model lie between −4 and 4; float16 on a device moves them by hundredths. */
const largestDifference = 0.25;

/**
 * Decodes a few tokens of a tiny model on the library's devices and on the processor, and compares. A driver that does
 * not hold may end the process or hang: call this where that may happen, before large models are loaded.
 *
 * @throws ShouldersError `decode_failed`: the device computes something else.
 */
export async function checkFirstDecode(library: NativeLibrary): Promise<void> {
  const models = await loadTinyTwice(library);
  try {
    const [expected, found] = [await decodeSteps(models.processor), await decodeSteps(models.device)];
    const difference = Math.max(...found.map((value, index) => Math.abs(value - (expected[index] ?? NaN))));
    // NaN is no number that is small enough.
    if (!(difference <= largestDifference))
      throw new ShouldersError(
        "decode_failed",
        `Logits on ${library.backend} differ by ${difference.toPrecision(2)} from those of the processor: the driver ` +
          `is at fault; update it, or use another backend.`,
      );
  } finally {
    await models.processor[Symbol.asyncDispose]();
    await models.device[Symbol.asyncDispose]();
  }
}

async function loadTinyTwice(
  library: NativeLibrary,
): Promise<{ processor: LoadedModel; device: LoadedModel }> {
  const directory = mkdtempSync(path.join(tmpdir(), "shoulders-"));
  try {
    const file = path.join(directory, "tiny.gguf");
    writeFileSync(file, tinyModel());
    const devices = library.listDevices().map(({ name }) => name);
    const load = (placement: Placement) =>
      library.loadModel(file, { placement, onProgress: () => undefined });
    return {
      processor: await load(inMainMemory),
      device: await load({ ...inMainMemory, devices, gpuLayers: 99 }),
    };
  } finally {
    // Before anything is decoded: what ends this process must not leave the file.
    rmSync(directory, { recursive: true, force: true });
  }
}

async function decodeSteps(model: LoadedModel): Promise<number[]> {
  const context = model.createContext({
    numCells: 256,
    numSequences: 2,
    batchTokens: 16,
    maxRows: 2,
    threads: 1,
  });
  const rows: number[] = [];
  for (const [position, numSequences] of steps.entries())
    rows.push(...(await decodeStep(context, position, numSequences)));
  return rows;
}

async function decodeStep(context: ModelContext, position: number, numSequences: number): Promise<number[]> {
  const token = 7 + position;
  context.batch.clear();
  // A sequence that joins begins at 0.
  const rows = Array.from({ length: numSequences }, (_, id) =>
    context.batch.add(token, id === 0 ? position : 0, id, true),
  );
  await context.decode();
  return rows.flatMap((row) => [...context.logits(row)]);
}
