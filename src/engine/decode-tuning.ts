import { present } from "../errors.js";
import type { ModelSlot } from "./loaded-models.js";
import type { DecodeTimings, DecodeWay } from "../protocol/protocol.js";

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

interface Timed {
  way: Candidate;
  /** ms of each step. */
  times: number[];
}

/** The ways to decode one kind of step, with what each took. */
interface Contest {
  step: TimedStep;
  left: Timed[];
  /** In turn no model is in another's way: by the number of threads, ms of each slot's own decodes. */
  readonly alone: Map<number, number[][]>;
  numRounds: number;
}

export interface TuningOptions {
  /** Most sequences that run at once. */
  numSequences: number;
  numCores: number;
  /** What was set: only the mode is timed then. */
  fixedThreads: number | null;
  /** Told before each decode that is timed: one that never ends is nobody's but its watch's. */
  onStep?: () => void;
}

/** Every way that is left is timed once a round. */
const numRounds = 5;
/** Who was so many times slower than the fastest, each at its best, is not timed again. */
const slack = 1.5;
/** More threads have to be so much faster, for they are the first to wait for what else the machine does. */
const threadGain = 1.05;
/** Longest that timing holds a start up once every way has been timed, and as a share of what the start took before. */
const startPatience = { ms: 1_000, share: 0.25 };
/** The first round of each kind of step is given up after this: with small models, and with others. */
const firstRoundMs = { small: 500, large: 2_500 };
/** Models that take no more than this together need no thread but one for a step that takes a moment. */
const smallBytes = 1e9;
/** No more is timed after this, also while nobody waits. */
const totalPatienceMs = 20_000;
/** With steps longer than this, numbers of threads beyond one that was clearly worse than the one before are not tried. */
const longStepMs = 100;
const numPromptTokens = 32;
const mostSequences = 8;

/**
 * Finds out how the models of a step are decoded fastest here: all at once or in turn, with how many threads
 * each, for steps of one token and for batches. In turn each model has the threads that are best for it. More threads are
 * not always faster: libllama's spin while they wait, and on shared or few cores they wait for each other; a single token
 * waits for memory, a batch for cores.
 *
 * Ways are timed in rounds over all that are left, so that what else the machine does for a while hits all alike. A
 * start waits for the first round and a little longer; the others may follow until the first request comes. Contexts
 * must be empty, and are left empty.
 */
export class DecodeTuning {
  readonly #slots: readonly ModelSlot[];
  readonly #single: Contest;
  readonly #batch: Contest;
  readonly #firstRoundMs: number;
  readonly #onStep: () => void;
  #promptTokenMs = 0;
  #spentMs = 0;

  constructor(
    slots: readonly ModelSlot[],
    { numSequences, numCores, fixedThreads, onStep = () => undefined }: TuningOptions,
  ) {
    this.#slots = slots;
    this.#onStep = onStep;
    const isSmall = slots.reduce((bytes, { model }) => bytes + model.sizeBytes, 0) <= smallBytes;
    this.#firstRoundMs = firstRoundMs[isSmall ? "small" : "large"];
    const ways = candidates(slots, numCores, fixedThreads);
    // Where threads are in each other's way, many take seconds for what one does at once; with large models one takes
    // seconds.
    if (!isSmall) ways.reverse();
    const contest = (numTokens: number): Contest => ({
      step: { numTokens, areSequences: true },
      left: ways.map((way) => ({ way, times: [] })),
      alone: new Map(),
      numRounds: 0,
    });
    this.#single = contest(1);
    this.#batch = contest(Math.min(mostSequences, numSequences));
  }

  /** Whether nothing is left to be timed. */
  get isSettled(): boolean {
    return this.#spentMs > totalPatienceMs || (isSettled(this.#single) && isSettled(this.#batch));
  }

  /** What is known by now; `start` must have been run. */
  get timings(): DecodeTimings {
    return {
      ...describe(this.#slots, best(this.#single)),
      batch: describe(this.#slots, best(this.#batch)),
      promptTokenMs: this.#promptTokenMs,
    };
  }

  get hasStarted(): boolean {
    return this.#spentMs > 0;
  }

  /** Times every way once, and more often as long as that does not hold a start up noticeably. */
  async start(isStopped: () => boolean = () => false): Promise<void> {
    const beforeMs = performance.now();
    for (const contest of [this.#single, this.#batch]) {
      // A batch, which computes more and waits less for memory, never gains from fewer threads than a single token.
      if (contest === this.#batch) {
        const fewest = Math.min(...best(this.#single).way.threads);
        contest.left = contest.left.filter(({ way }) => Math.min(...way.threads) >= fewest);
      }
      // The first decode of a kind of step makes room for it.
      await this.#time(present(contest.left[0], "way to decode").way, contest.step);
      const roundMs = performance.now();
      await this.#round(contest, () => isStopped() || performance.now() - roundMs > this.#firstRoundMs);
      if (isStopped()) return;
    }
    const prompt = { numTokens: numPromptTokens, areSequences: false };
    this.#promptTokenMs = (await this.#time(best(this.#batch).way, prompt)).ms / numPromptTokens;
    const untilMs = beforeMs + Math.min(startPatience.ms, startPatience.share * beforeMs);
    await this.refine(() => isStopped() || performance.now() > untilMs);
  }

  /** Goes on with what `start` had no time for, until `isOver`; that is asked before each timed step. */
  async refine(isOver: () => boolean): Promise<void> {
    while (!this.isSettled && !isOver())
      for (const contest of [this.#single, this.#batch])
        if (!isSettled(contest)) await this.#round(contest, isOver);
  }

  async #round(contest: Contest, isOver: () => boolean): Promise<void> {
    const lastMs = new Map<DecodeWay["mode"], number>();
    for (const timed of [...contest.left]) {
      if (!contest.left.includes(timed)) continue;
      // One way at least is always known.
      if (isOver() && contest.left.some(({ times }) => times.length > 0)) return;
      const { way, times } = timed;
      const leastMs = Math.min(...contest.left.flatMap((other) => other.times));
      const { ms, each } = await this.#time(way, contest.step, Math.max(longStepMs, slack * leastMs));
      times.push(ms);
      if (!isEven(way)) continue;
      if (way.mode === "in-turn") note(contest, present(way.threads[0], "number of threads"), each);
      if (ms > longStepMs && ms > slack * (lastMs.get(way.mode) ?? Infinity)) {
        const index = contest.left.indexOf(timed);
        const isBeyond = (other: Candidate) => other.mode === way.mode && isEven(other);
        contest.left = contest.left.filter((other, at) => at <= index || !isBeyond(other.way));
      }
      lastMs.set(way.mode, ms);
    }
    contest.numRounds++;
    const leastMs = Math.min(...contest.left.flatMap(({ times }) => times));
    contest.left = contest.left.filter(({ times }) => Math.min(...times) <= slack * leastMs);
  }

  async #time(way: Candidate, step: TimedStep, giveUpMs = Infinity): Promise<StepTime> {
    this.#onStep();
    const time = await timeStep(this.#slots, way, step, giveUpMs);
    this.#spentMs += time.ms;
    return time;
  }
}

/** Decodes one step by these timings: the first on a device makes ready what later ones use, and shows that it works. */
export async function warmUp(slots: readonly ModelSlot[], { batch }: DecodeTimings): Promise<void> {
  const threads = slots.map(({ id }) => batch.threads[id] ?? 1);
  await timeStep(slots, { mode: batch.mode, threads }, { numTokens: 2, areSequences: false });
}

/** Sets every context's threads. */
export function applyThreads(slots: readonly ModelSlot[], { threads, batch }: DecodeTimings): void {
  for (const { id, context } of slots) context.setThreads(threads[id] ?? 1, batch.threads[id] ?? 1);
}

function isSettled({ numRounds: done, left }: Contest): boolean {
  return done >= numRounds || (done > 0 && left.length === 1);
}

interface Ranked {
  way: Candidate;
  stepMs: number;
}

function best({ left, alone }: Contest): Ranked {
  const ranked = left.map(({ way, times }) => ({ way, stepMs: typicalMs(times) }));
  const mixed = eachAtItsBest(alone);
  return [...ranked, ...(mixed ? [mixed] : [])].reduce((a, b) => (b.stepMs < a.stepMs ? b : a));
}

/** In turn, each model with the threads that are best for it; null: some were never timed. */
function eachAtItsBest(alone: Contest["alone"]): Ranked | null {
  const [first = []] = alone.values();
  const counts = [...alone.keys()].sort((a, b) => a - b);
  const bests = first.map((_, slot) =>
    counts
      .map((threads) => ({ threads, ms: typicalMs(alone.get(threads)?.[slot] ?? []) }))
      .reduce((few, more) => (threadGain * more.ms < few.ms ? more : few)),
  );
  const stepMs = bests.reduce((sum, { ms }) => sum + ms, 0);
  if (bests.length === 0 || stepMs === Infinity) return null;
  return { way: { mode: "in-turn", threads: bests.map(({ threads }) => threads) }, stepMs };
}

/** Keeps what each model's own decode took with so many threads. */
function note({ alone }: Contest, threads: number, each: readonly (number | null)[]): void {
  const known = alone.get(threads) ?? each.map(() => []);
  alone.set(threads, known);
  each.forEach((ms, slot) => ms !== null && known[slot]?.push(ms));
}

function describe(slots: readonly ModelSlot[], { way, stepMs }: Ranked): DecodeWay {
  const threads = slots.map(
    ({ id }, index) => [id, present(way.threads[index], "number of threads")] as const,
  );
  return { mode: way.mode, threads: Object.fromEntries(threads), stepMs };
}

/** The median; never timed: infinite. */
function typicalMs(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Infinity;
}

function isEven({ threads }: Candidate): boolean {
  return new Set(threads).size === 1;
}

/** Ways to time: from one thread to most, each at the same time and in turn. */
function candidates(slots: readonly ModelSlot[], numCores: number, fixed: number | null): Candidate[] {
  const modes: DecodeWay["mode"][] = slots.length > 1 ? ["together", "in-turn"] : ["in-turn"];
  const equal = (threads: number) => slots.map(() => threads);
  if (fixed !== null) return modes.map((mode) => ({ mode, threads: equal(fixed) }));
  const counts: number[] = [];
  for (let count = 1; count <= numCores; count *= 2) counts.push(count);
  if (!counts.includes(numCores)) counts.push(numCores);
  // At the same time, threads far beyond the cores only wait for each other.
  const isTooMany = (mode: DecodeWay["mode"], threads: number) =>
    mode === "together" && threads > 1 && threads * slots.length > 2 * numCores;
  const even = counts.flatMap((threads) =>
    modes.filter((mode) => !isTooMany(mode, threads)).map((mode) => ({ mode, threads: equal(threads) })),
  );
  const spare = numCores - (slots.length - 1);
  if (slots.length < 2 || spare < 2) return even;
  // The largest model gets the cores that the others leave.
  const largest = slots.reduce((a, b) => (b.model.sizeBytes > a.model.sizeBytes ? b : a));
  return [...even, { mode: "together", threads: slots.map((slot) => (slot === largest ? spare : 1)) }];
}

interface StepTime {
  ms: number;
  /** In turn, ms of each slot's decode; null: it was not begun. */
  each: (number | null)[];
}

/** Times one step; in turn the smallest model begins, and none after `giveUpMs`. */
async function timeStep(
  slots: readonly ModelSlot[],
  { mode, threads }: Candidate,
  step: TimedStep,
  giveUpMs = Infinity,
): Promise<StepTime> {
  for (const [index, { context }] of slots.entries()) {
    const count = present(threads[index], "number of threads");
    context.setThreads(count, count);
  }
  for (const slot of slots) fillBatch(slot, step);
  const each: StepTime["each"] = slots.map(() => null);
  const startMs = performance.now();
  const outcomes: PromiseSettledResult<void>[] = [];
  if (mode === "together")
    outcomes.push(...(await Promise.allSettled(slots.map(({ context }) => context.decode()))));
  else
    for (const [index, { context }] of [...slots.entries()].sort(([, a], [, b]) => sizeOf(a) - sizeOf(b))) {
      const beginMs = performance.now();
      if (beginMs - startMs > giveUpMs) break;
      outcomes.push(...(await Promise.allSettled([context.decode()])));
      each[index] = performance.now() - beginMs;
    }
  const ms = performance.now() - startMs;
  forget(slots, step);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  return { ms, each };
}

function sizeOf({ model }: ModelSlot): number {
  return model.sizeBytes;
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
