import { ShouldersError } from "../errors.js";
import type { FusionKernel } from "../fusion/types.js";
import type { SamplerChain, SamplerOptions } from "../llama/types.js";
import type { Logger } from "../log.js";
import { whoYields } from "./admission.js";
import type { LoadedModels, ModelSlot } from "./loaded-models.js";
import type {
  BatchCurves,
  Choice,
  EngineQuery,
  EngineStats,
  FromEngine,
  GenerationRequest,
  RequestEvent,
  StepSample,
} from "../protocol/protocol.js";
import { type RemoteStats, statsSince } from "../rows/types.js";
import { Reception } from "./reception.js";
import { type QueueLimits, RequestQueue } from "./request-queue.js";
import { residentBytes } from "./resident-memory.js";
import { SequenceMemory } from "./sequence-memory.js";
import { Stepper } from "./stepper.js";
import type { Sequence } from "./sequence.js";

export interface EngineLimits extends QueueLimits {
  /** off: for every request, whatever it asks for. */
  speculation: "on" | "off";
  /** Finished sequences that stay in memory; 0: no prefix cache. */
  cacheSequences: number;
}

export interface FusionEngineParts {
  models: LoadedModels;
  kernel: FusionKernel;
  createSamplerChain: (options: SamplerOptions) => SamplerChain;
  /** Whether the models of a step are decoded at the same time: steps of one token a model, and others. */
  together: Readonly<{ single: boolean; batch: boolean }>;
  /** What batches take; it may become known only before the first request. */
  curves: Readonly<BatchCurves>;
  /** What work has to wait for, because something else uses the models' contexts; null: nothing, and nothing will. */
  untilFree: () => Promise<void> | null;
  limits: EngineLimits;
  emit: (message: FromEngine) => void;
  /** Called when decoding works no more, whatever is asked: a device that is gone does not come back by itself. */
  onBroken: () => void;
  log: Pick<Logger, "error">;
}

/** After so many steps in a row of which nothing could be decoded, nothing will be. */
const mostFailedSteps = 3;

/**
 * Requests in, tokens with their weights out. One loop of steps runs while there is something to do; requests
 * join and leave between steps.
 */
export class FusionEngine {
  readonly #parts: FusionEngineParts;
  readonly #slots: readonly ModelSlot[];
  readonly #memory: SequenceMemory;
  readonly #stepper: Stepper;
  readonly #queue: RequestQueue;
  readonly #reception: Reception;
  #running: Sequence[] = [];
  #numSteps = 0;
  #stepStartMs: number | null = null;
  #loop: Promise<void> | null = null;
  /** Something came since the loop last looked. */
  #isAwake = false;
  /** Wakes the loop when the first of those that wait has waited too long. */
  #alarm: NodeJS.Timeout | undefined;
  #numFailedSteps = 0;
  /** By the ids of models on other servers, as of the step before. */
  readonly #remoteStats = new Map<string, RemoteStats>();
  #isClosed = false;

  constructor(parts: FusionEngineParts) {
    this.#parts = parts;
    this.#slots = parts.models.slots;
    this.#memory = new SequenceMemory(this.#slots, parts.models.numSequences, parts.limits.cacheSequences);
    this.#queue = new RequestQueue(parts.limits.queueTimeoutMs);
    this.#reception = new Reception(parts, {
      queue: this.#queue,
      numRunning: () => this.#running.length,
      emit: (events) => this.#emit(events, null),
      end: (sequence, error) => this.#end(sequence, error),
      fail: (requestId, error) => this.#fail(requestId, error),
      wake: () => this.#wake(),
    });
    this.#stepper = new Stepper({
      ...{ slots: this.#slots, kernel: parts.kernel, together: parts.together, curves: parts.curves },
      spare: {
        borrow: (claims) => this.#memory.borrow(claims),
        giveBack: (lease) => this.#memory.giveBack(lease),
      },
      emit: (events) => this.#emit(events, null),
      end: (sequence, error) => this.#end(sequence, error),
    });
  }

  get stats(): EngineStats {
    const usage = this.#memory.usage();
    return {
      steps: this.#numSteps,
      running: this.#running.length,
      waiting: this.#reception.numPlaces + this.#queue.waiting.length,
      cached: this.#memory.numCached,
      residentBytes: residentBytes(),
      cells: Object.fromEntries(
        this.#slots.map(({ id }, index) => [id, usage[index] ?? { used: 0, total: 0 }]),
      ),
    };
  }

  /** How long the step in flight has been running, ms; null between steps. */
  get stepAgeMs(): number | null {
    return this.#stepStartMs === null ? null : performance.now() - this.#stepStartMs;
  }

  /** Takes a request in, or emits why not. Its prompt is read, once for all choices, before they wait. */
  submit(request: GenerationRequest, choices?: readonly Choice[]): void {
    const { requestId, seed, forced } = request;
    const { speculation } = this.#parts.limits;
    this.#reception.submit(
      speculation === "off" ? { ...request, speculation } : request,
      choices ?? [{ requestId, seed, forced }],
    );
  }

  /** Answers a question, in its turn, or emits why not. */
  ask(queryId: string, party: string, query: EngineQuery): void {
    this.#reception.ask(queryId, party, query);
  }

  /** The request's sequence is released at the next step boundary; no more of its events are emitted. */
  cancel(requestId: string): void {
    this.#reception.cancel(requestId);
    for (const sequence of this.#all)
      if (sequence.request.requestId === requestId) sequence.isCancelled = true;
    this.#wake();
  }

  /** A paused sequence keeps its place and takes no part in steps. */
  pause(requestId: string, isPaused: boolean): void {
    for (const sequence of this.#all)
      if (sequence.request.requestId === requestId) sequence.isPaused = isPaused;
    this.#wake();
  }

  /** Lets the step in flight end, then drops every request and stops the loop. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#alarm);
    this.#reception.clear();
    await this.#loop;
    for (const sequence of this.#all) this.#end(sequence, null);
    this.#memory.clear();
  }

  /** Copies: ending a sequence changes both lists. */
  get #all(): Sequence[] {
    return [...this.#queue.waiting, ...this.#running];
  }

  #wake(): void {
    this.#isAwake = true;
    this.#loop ??= this.#run()
      .catch((error: unknown) => this.#failAll(ShouldersError.from(error)))
      .finally(() => {
        this.#loop = null;
        if (this.#isAwake && !this.#isClosed) this.#wake();
      });
  }

  /** Steps until there is nothing left to do, or only what is paused. */
  async #run(): Promise<void> {
    clearTimeout(this.#alarm);
    const busy = this.#parts.untilFree();
    if (busy) {
      this.#stepStartMs = performance.now();
      await busy;
      this.#stepStartMs = null;
    }
    while (!this.#isClosed) {
      this.#isAwake = false;
      this.#dropCancelled();
      this.#admit();
      for (const { sequence, error } of this.#queue.overdue()) this.#end(sequence, error);
      if (this.#running.every((sequence) => sequence.isPaused)) break;
      await this.#step();
    }
    const waitMs = this.#queue.msToDeadline;
    if (waitMs !== null && !this.#isClosed) this.#alarm = setTimeout(() => this.#wake(), waitMs).unref();
    // Cancellations change the gauges without bringing an event.
    this.#emit([], null);
  }

  async #step(): Promise<void> {
    this.#stepStartMs = performance.now();
    const { events, sample, isAllFailed } = await this.#stepper.step(() => this.#running);
    this.#numFailedSteps = isAllFailed ? this.#numFailedSteps + 1 : 0;
    if (this.#numFailedSteps === mostFailedSteps) this.#parts.onBroken();
    this.#numSteps++;
    this.#stepStartMs = null;
    this.#emit(events, { ...sample, ...this.#remoteNews() });
  }

  /** What bases on other servers were sent, and sent, since the step before. */
  #remoteNews(): Pick<StepSample, "remote"> {
    const news = this.#slots.flatMap(({ id, remote }) => {
      if (remote === null) return [];
      const now = { ...remote.context.server.stats };
      const before = this.#remoteStats.get(id);
      this.#remoteStats.set(id, now);
      return [[id, before ? statsSince(now, before) : now] as const];
    });
    return news.length === 0 ? {} : { remote: Object.fromEntries(news) };
  }

  #admit(): void {
    for (const sequence of this.#queue.inOrder(this.#running)) {
      const { config } = sequence;
      const ofConfig = this.#running.filter((other) => other.config === config);
      const isFull = this.#running.length >= this.#parts.models.numSequences;
      const isConfigFull = ofConfig.length >= config.resolved.config.context.sequences;
      const yielding = whoYields(sequence.party, this.#running, isConfigFull ? ofConfig : this.#running);
      if (isFull && !yielding) break;
      // A config at its own limit lets others pass; a sequence that waits for cells does not, or it might wait for ever.
      if (isConfigFull && !yielding) continue;
      // What another is reading right now will soon be there to share.
      if (this.#memory.shouldAwaitPrefix(sequence, this.#running)) continue;
      if (yielding && (isFull || isConfigFull)) this.#suspend(yielding);
      if (!this.#makeRoom(sequence)) break;
      this.#queue.start(sequence);
      sequence.queueMs += performance.now() - sequence.waitingSinceMs;
      sequence.hasStarted = true;
      this.#running.push(sequence);
    }
  }

  /** Gives it its cells, if need be those of parties that have more. */
  #makeRoom(sequence: Sequence): boolean {
    while (!this.#memory.admit(sequence, this.#running)) {
      const yielding = whoYields(sequence.party, this.#running);
      if (!yielding) return false;
      this.#suspend(yielding);
    }
    return true;
  }

  /** It waits again, before those of its party that have not begun. */
  #suspend(sequence: Sequence): void {
    this.#memory.retire(sequence);
    this.#running = this.#running.filter((other) => other !== sequence);
    sequence.suspend();
    this.#queue.push(sequence);
  }

  #dropCancelled(): void {
    for (const sequence of this.#all) if (sequence.isCancelled) this.#end(sequence, null);
  }

  /** Takes the sequence out of every list; its memory is kept for others to begin with, unless it failed. */
  #end(sequence: Sequence, error: ShouldersError | null): void {
    sequence.release();
    if (error) this.#memory.drop(sequence);
    else this.#memory.retire(sequence);
    this.#queue.remove(sequence);
    this.#running = this.#running.filter((other) => other !== sequence);
    if (error && !sequence.isCancelled) this.#fail(sequence.request.requestId, error);
  }

  #failAll(error: ShouldersError): void {
    for (const sequence of this.#all) this.#end(sequence, error);
  }

  #emit(events: RequestEvent[], step: StepSample | null): void {
    this.#parts.emit({ type: "events", events, step, stats: this.stats });
  }

  #fail(requestId: string, error: ShouldersError): void {
    if (error.code === "internal") this.#parts.log.error({ err: error }, "a request failed");
    this.#parts.emit({ type: "failed", requestId, error: error.toData() });
  }
}
