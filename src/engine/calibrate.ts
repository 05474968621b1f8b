import type { ModelSlot } from "./loaded-models.js";
import type { DecodePlan, DecodeWay } from "./protocol.js";

/** A way to decode a step, with the threads of each slot's model. */
interface Candidate {
  mode: DecodeWay["mode"];
  threads: number[];
}

/** What a step that is timed decodes in every model. */
interface TimedStep {
  numTokens: number;
  /** Each token of a sequence of its own, with its row: what decoding several requests looks like. */
  areSequences: boolean;
}

const numWarmUps = 1;
const numRepeats = 5;
/** Once this much has gone into measuring, the candidates that are left are not tried. */
const patienceMs = 5_000;
const numPromptTokens = 32;
const mostSequences = 8;

/**
 * Finds out how the models of a step are decoded fastest here: all at once or in turn, with how many threads
 * each, for steps of one token and for batches. More threads are not always faster: libllama's spin while they
 * wait, and on shared or few cores they wait for each other; a single token waits for memory, a batch for cores.
 *
 * @param numSequences most sequences that run at once.
 * @param fixedThreads what was set: only the mode is measured then.
 */
export async function calibrate(
  slots: readonly ModelSlot[],
  numSequences: number,
  numCores: number,
  fixedThreads: number | null,
): Promise<DecodePlan> {
  const ways = candidates(slots, numCores, fixedThreads);
  const batchTokens = Math.min(mostSequences, numSequences);
  const single = await fastest(slots, ways, { numTokens: 1, areSequences: true });
  const batch = await fastest(slots, ways, { numTokens: batchTokens, areSequences: true });
  const promptMs = await timeStep(slots, batch.way, { numTokens: numPromptTokens, areSequences: false });
  slots.forEach(({ context }, index) =>
    context.setThreads(single.way.threads[index] as number, batch.way.threads[index] as number),
  );
  return {
    ...describe(slots, single),
    batch: describe(slots, batch),
    promptTokenMs: promptMs / numPromptTokens,
    isMeasured: fixedThreads === null,
  };
}

interface Timed {
  way: Candidate;
  ms: number;
}

function describe(slots: readonly ModelSlot[], { way, ms }: Timed): DecodeWay {
  const threads = slots.map(({ id }, index) => [id, way.threads[index] as number] as const);
  return { mode: way.mode, threads: Object.fromEntries(threads), stepMs: ms };
}

async function fastest(
  slots: readonly ModelSlot[],
  ways: readonly Candidate[],
  step: TimedStep,
): Promise<Timed> {
  const startMs = performance.now();
  let best: Timed | null = null;
  for (const way of ways) {
    if (best !== null && performance.now() - startMs > patienceMs) break;
    const ms = await timeStep(slots, way, step);
    if (best === null || ms < best.ms) best = { way, ms };
  }
  return best as Timed;
}

function candidates(slots: readonly ModelSlot[], numCores: number, fixed: number | null): Candidate[] {
  const modes: DecodeWay["mode"][] = slots.length > 1 ? ["together", "in-turn"] : ["in-turn"];
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

/** Median ms of a step. */
async function timeStep(
  slots: readonly ModelSlot[],
  { mode, threads }: Candidate,
  step: TimedStep,
): Promise<number> {
  slots.forEach(({ context }, index) =>
    context.setThreads(threads[index] as number, threads[index] as number),
  );
  const times: number[] = [];
  for (let repeat = 0; repeat < numWarmUps + numRepeats; repeat++) {
    for (const slot of slots) fillBatch(slot, step);
    const startMs = performance.now();
    if (mode === "together") await Promise.all(slots.map(({ context }) => context.decode()));
    else for (const { context } of slots) await context.decode();
    const ms = performance.now() - startMs;
    forget(slots, step);
    if (repeat >= numWarmUps) times.push(ms);
    // A slow model needs no five repeats to be told from another.
    if (times.length > 0 && ms > 1_000) break;
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] as number;
}

function fillBatch({ context, model }: ModelSlot, { numTokens, areSequences }: TimedStep): void {
  const token = model.vocabulary.bos ?? 0;
  context.batch.clear();
  for (let index = 0; index < Math.min(numTokens, context.batch.capacity); index++) {
    if (areSequences) context.batch.add(token, 0, index, true);
    else context.batch.add(token, index, 0, false);
  }
}

function forget(slots: readonly ModelSlot[], { numTokens, areSequences }: TimedStep): void {
  for (const { context } of slots)
    for (let id = 0; id < (areSequences ? numTokens : 1); id++) context.removePositions(id, 0, null);
}
