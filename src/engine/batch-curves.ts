import { present } from "../errors.js";
import type { BatchCurves } from "../protocol/protocol.js";
import type { ModelSlot } from "./loaded-models.js";

const curveSizes = [1, 2, 4, 8, 16, 32];
/** Each size is timed so often; the median counts. */
const numTimes = 3;
/** Sizes beyond one that takes longer than this are left out: a request that comes waits for the decode in flight. */
const longestMs = 500;

/**
 * Times batches of one sequence's tokens, with a row each as far as contexts give them, and with a row of the last alone:
 * tokens that are certain need none. One model at a time. Contexts must be empty, and are left empty.
 *
 * @param mostRows of a batch.
 * @param isOver asked before each decode; what is not known by then is left out.
 */
export async function measureCurves(
  slots: readonly ModelSlot[],
  { mostRows, isOver, onStep }: { mostRows: number; isOver: () => boolean; onStep: () => void },
): Promise<BatchCurves> {
  const curves: BatchCurves = {};
  for (const slot of slots) {
    const points: BatchCurves[string] = [];
    for (const tokens of curveSizes.filter((size) => size <= slot.context.batch.capacity)) {
      if (Math.max(0, ...points.map(({ ms }) => ms)) > longestMs) break;
      for (const rows of new Set([Math.min(tokens, mostRows), 1])) {
        const times: number[] = [];
        // The first of a size makes room for it.
        for (let count = 0; count <= numTimes; count++) {
          if (isOver()) return curves;
          onStep();
          const ms = await timeBlock(slot, tokens, rows);
          if (count > 0) times.push(ms);
        }
        times.sort((a, b) => a - b);
        points.push({ tokens, rows, ms: present(times[Math.floor(times.length / 2)], "time") });
      }
    }
    curves[slot.id] = points;
  }
  return curves;
}

/** ms of a batch of so many tokens, the last of which give rows. */
async function timeBlock({ context, model }: ModelSlot, numTokens: number, numRows: number): Promise<number> {
  const token = model.vocabulary.bos ?? 0;
  context.batch.clear();
  for (let index = 0; index < numTokens; index++)
    context.batch.add(token, index, 0, index >= numTokens - numRows);
  const startMs = performance.now();
  await context.decode();
  const ms = performance.now() - startMs;
  context.removePositions(0, 0, null);
  return ms;
}
