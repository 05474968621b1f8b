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

/** Every way that is left is timed once a round; the first round also warms up. */
const numRounds = 6;
/** Who was so many times slower than the fastest, each at its best of two rounds or more, is not timed again. */
const slack = 1.5;
/** Once a round ends after this, no other begins; the first is given up after `firstPatienceMs`. */
const patienceMs = 5_000;
const firstPatienceMs = 15_000;
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
  const prompt = await fastest(slots, [batch.way], { numTokens: numPromptTokens, areSequences: false });
  slots.forEach(({ context }, index) =>
    context.setThreads(single.way.threads[index] as number, batch.way.threads[index] as number),
  );
  return {
    ...describe(slots, single),
    batch: describe(slots, batch),
    promptTokenMs: prompt.ms / numPromptTokens,
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

/** In rounds over all ways, so that what else the machine does for a while hits all of them alike. */
async function fastest(
  slots: readonly ModelSlot[],
  ways: readonly Candidate[],
  step: TimedStep,
): Promise<Timed> {
  const startMs = performance.now();
  const elapsedMs = () => performance.now() - startMs;
  let left = ways.map((way) => ({ way, times: [] as number[] }));
  const best = () => left.reduce((a, b) => (typicalMs(b.times) < typicalMs(a.times) ? b : a));
  for (let round = 0; round < numRounds && (round === 0 || elapsedMs() < patienceMs); round++) {
    for (const { way, times } of left) {
      if (round === 0 && elapsedMs() > firstPatienceMs) break;
      times.push(await timeStep(slots, way, step));
    }
    const leastMs = Math.min(...left.flatMap(({ times }) => times));
    if (round > 0) left = left.filter(({ times }) => Math.min(...times) <= slack * leastMs);
  }
  const { way, times } = best();
  return { way, ms: typicalMs(times) };
}

/** The median, without the first where there are others. */
function typicalMs(times: readonly number[]): number {
  const warm = (times.length > 1 ? times.slice(1) : [...times]).sort((a, b) => a - b);
  return warm[Math.floor(warm.length / 2)] ?? Infinity;
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

/** ms of one step. */
async function timeStep(
  slots: readonly ModelSlot[],
  { mode, threads }: Candidate,
  step: TimedStep,
): Promise<number> {
  slots.forEach(({ context }, index) =>
    context.setThreads(threads[index] as number, threads[index] as number),
  );
  for (const slot of slots) fillBatch(slot, step);
  const startMs = performance.now();
  if (mode === "together") await Promise.all(slots.map(({ context }) => context.decode()));
  else for (const { context } of slots) await context.decode();
  const ms = performance.now() - startMs;
  forget(slots, step);
  return ms;
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
