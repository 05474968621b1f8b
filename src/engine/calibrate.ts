import type { ModelSlot } from "./loaded-models.js";
import type { DecodePlan } from "./protocol.js";

/** A way to decode a step: mode, and threads of each slot's model. */
interface Candidate {
  mode: DecodePlan["mode"];
  threads: number[];
}

const numWarmUps = 1;
const numRepeats = 5;
/** Once this much has gone into measuring, the candidates that are left are not tried. */
const patienceMs = 8_000;
/** Prompt tokens of the batch that is timed. */
const promptTokens = 32;

/**
 * Finds out how the models of a step are decoded fastest here: all at once or in turn, with how many threads
 * each. More threads are not always faster: libllama's spin while they wait, and on shared or few cores they
 * wait for each other.
 *
 * @param fixedThreads what was set: only the mode is measured then.
 */
export async function calibrate(
  slots: readonly ModelSlot[],
  numCores: number,
  fixedThreads: number | null,
): Promise<DecodePlan> {
  let best: { candidate: Candidate; ms: number } | null = null;
  const startMs = performance.now();
  for (const candidate of candidates(slots, numCores, fixedThreads)) {
    if (best !== null && performance.now() - startMs > patienceMs) break;
    const ms = await timeStep(slots, candidate, 1);
    if (best === null || ms < best.ms) best = { candidate, ms };
  }
  const { candidate, ms } = best as { candidate: Candidate; ms: number };
  slots.forEach(({ context }, index) => context.setThreads(candidate.threads[index] as number));
  const promptMs = await timeStep(slots, candidate, promptTokens);
  return {
    mode: candidate.mode,
    threads: Object.fromEntries(slots.map(({ id }, index) => [id, candidate.threads[index] as number])),
    stepMs: ms,
    promptTokenMs: promptMs / promptTokens,
    isMeasured: fixedThreads === null,
  };
}

function candidates(slots: readonly ModelSlot[], numCores: number, fixed: number | null): Candidate[] {
  const modes: DecodePlan["mode"][] = slots.length > 1 ? ["together", "in-turn"] : ["in-turn"];
  const equal = (threads: number) => slots.map(() => threads);
  if (fixed !== null) return modes.map((mode) => ({ mode, threads: equal(fixed) }));
  const counts = [1];
  while ((counts.at(-1) as number) * 2 <= numCores) counts.push((counts.at(-1) as number) * 2);
  if (!counts.includes(numCores)) counts.push(numCores);
  const even = counts.flatMap((threads) => modes.map((mode) => ({ mode, threads: equal(threads) })));
  const spare = numCores - (slots.length - 1);
  if (slots.length < 2 || spare < 2) return even;
  // The largest model gets the cores that the others leave.
  const largest = slots.reduce((a, b) => (b.model.sizeBytes > a.model.sizeBytes ? b : a));
  return [...even, { mode: "together", threads: slots.map((slot) => (slot === largest ? spare : 1)) }];
}

/** Median ms of a step in which every model decodes `numTokens` tokens of one sequence. */
async function timeStep(
  slots: readonly ModelSlot[],
  { mode, threads }: Candidate,
  numTokens: number,
): Promise<number> {
  slots.forEach(({ context }, index) => context.setThreads(threads[index] as number));
  const times: number[] = [];
  for (let repeat = 0; repeat < numWarmUps + numRepeats; repeat++) {
    for (const { context, model } of slots) {
      const token = model.vocabulary.bos ?? 0;
      context.removePositions(0, 0, null);
      context.batch.clear();
      const count = Math.min(numTokens, context.batch.capacity);
      for (let position = 0; position < count; position++)
        context.batch.add(token, position, 0, position === count - 1);
    }
    const startMs = performance.now();
    if (mode === "together") await Promise.all(slots.map(({ context }) => context.decode()));
    else for (const { context } of slots) await context.decode();
    const ms = performance.now() - startMs;
    if (repeat >= numWarmUps) times.push(ms);
    // A slow model needs no five repeats to be told from another.
    if (times.length > 0 && ms > 1_000) break;
  }
  for (const { context } of slots) context.removePositions(0, 0, null);
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] as number;
}
