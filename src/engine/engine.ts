import { randomInt } from "node:crypto";
import { ShouldersError } from "../errors.js";
import type { FusionKernel } from "../fusion/types.js";
import type { SamplerChain, SamplerOptions, Vocabulary } from "../llama/types.js";
import type { Logger } from "../log.js";
import { TokenSampler } from "../sampling/token-sampler.js";
import { commit, done } from "./commit.js";
import { decode, type Decoded, type ReadySequence } from "./decode.js";
import { fuse, strategyOf } from "./fuse.js";
import type { LoadedConfig, LoadedModels, ModelSlot } from "./loaded-models.js";
import { buildPrompts } from "./prompts.js";
import type { EngineStats, FromEngine, GenerationRequest, RequestEvent, StepSample } from "./protocol.js";
import { sample } from "./sample.js";
import { schedule } from "./scheduler.js";
import { SequencePool } from "./sequence-pool.js";
import { modelsOf, Sequence } from "./sequence.js";

export interface FusionEngineParts {
  models: LoadedModels;
  kernel: FusionKernel;
  createSamplerChain: (options: SamplerOptions) => SamplerChain;
  maxWaiting: number;
  emit: (message: FromEngine) => void;
  log: Pick<Logger, "error">;
}

/** Milliseconds of a step outside the decodes, summed over its rows. */
interface StepClock {
  fuseMs: number;
  sampleMs: number;
}

/**
 * Requests in, tokens with their weights out. One loop of steps runs while there is something to do; requests
 * join and leave between steps.
 */
export class FusionEngine {
  readonly #parts: FusionEngineParts;
  readonly #slots: readonly ModelSlot[];
  readonly #pool: SequencePool;
  #waiting: Sequence[] = [];
  #running: Sequence[] = [];
  #numSteps = 0;
  #loop: Promise<void> | null = null;
  #isClosed = false;

  constructor(parts: FusionEngineParts) {
    this.#parts = parts;
    this.#slots = parts.models.slots;
    this.#pool = new SequencePool(
      parts.models.numSequences,
      this.#slots.map(({ context }) => context.numCells),
    );
  }

  get stats(): EngineStats {
    const usage = this.#pool.usage();
    return {
      steps: this.#numSteps,
      running: this.#running.length,
      waiting: this.#waiting.length,
      cells: Object.fromEntries(
        this.#slots.map(({ id }, index) => [id, usage[index] ?? { used: 0, total: 0 }]),
      ),
    };
  }

  /** Takes a request in, or emits why not. Its prompt is tokenized and checked before it waits. */
  submit(request: GenerationRequest): void {
    try {
      const sequence = this.#createSequence(request);
      const accepted: RequestEvent = {
        requestId: request.requestId,
        event: { type: "accepted", promptTokens: sequence.promptTokens },
      };
      if (sequence.maxTokens === 0) {
        sequence.sampler[Symbol.dispose]();
        const end = { requestId: request.requestId, event: done(sequence, "length", []) };
        this.#emit([accepted, end], null);
        return;
      }
      this.#waiting.push(sequence);
      this.#emit([accepted], null);
      this.#wake();
    } catch (error) {
      this.#fail(request.requestId, ShouldersError.from(error));
    }
  }

  /** The request's sequence is released at the next step boundary; no more of its events are emitted. */
  cancel(requestId: string): void {
    for (const sequence of [...this.#waiting, ...this.#running])
      if (sequence.request.requestId === requestId) sequence.isCancelled = true;
    this.#wake();
  }

  /** Lets the step in flight end, then drops every request and stops the loop. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#loop;
    for (const sequence of [...this.#waiting, ...this.#running]) this.#release(sequence);
    this.#waiting = [];
    this.#running = [];
  }

  #createSequence(request: GenerationRequest): Sequence {
    const { models, maxWaiting } = this.#parts;
    const config = models.configs.get(request.configId);
    if (!config)
      throw new ShouldersError("model_not_found", `Unknown model "${request.configId}".`, { param: "model" });
    if (this.#waiting.length >= maxWaiting)
      throw new ShouldersError(
        "queue_full",
        `${maxWaiting} requests are waiting already: try again later, or raise the setting max-waiting.`,
      );
    const strategy = strategyOf(request, config);
    const loaded = this.#slots.map((slot) => slot.model);
    const prompts = buildPrompts(request, config, modelsOf(config, strategy), loaded);
    const sampler = new TokenSampler(
      {
        sampling: request.sampling,
        logitBias: request.logitBias,
        seed: request.seed ?? randomInt(2 ** 32),
        contextTokens: config.resolved.config.context.tokens,
      },
      this.#parts.createSamplerChain,
    );
    return new Sequence({ request, config, strategy, prompts, sampler });
  }

  #wake(): void {
    this.#loop ??= this.#run()
      .catch((error: unknown) => this.#failAll(ShouldersError.from(error)))
      .finally(() => {
        this.#loop = null;
        if (!this.#isClosed && this.#running.length + this.#waiting.length > 0) this.#wake();
      });
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      this.#dropCancelled();
      this.#admit();
      if (this.#running.length === 0) break;
      await this.#step();
    }
    // Cancellations change the gauges without bringing an event.
    this.#emit([], null);
  }

  async #step(): Promise<void> {
    const budgets = this.#slots.map(({ context }) => context.batch.capacity);
    const plan = schedule(this.#running, budgets);
    const decoded = await decode(plan, this.#slots);
    this.#numSteps++;
    const clock: StepClock = { fuseMs: 0, sampleMs: 0 };
    const events = decoded.ready.flatMap((ready) => this.#advance(ready, decoded, clock));
    for (const { sequence, error } of decoded.failed) this.#end(sequence, error);
    const decodeMs = Object.fromEntries([...decoded.msOf].map(([model, ms]) => [this.#slotId(model), ms]));
    this.#emit(events, { decodeMs, ...clock, rows: decoded.ready.length });
  }

  /** Fuse, sample and commit one sequence whose rows are there. */
  #advance(ready: ReadySequence, decoded: Decoded, clock: StepClock): RequestEvent[] {
    const { sequence } = ready;
    const { kernel } = this.#parts;
    if (sequence.isCancelled) return [];
    try {
      const startMs = performance.now();
      const fusion = fuse(ready, this.#slots, kernel);
      const fuseMs = performance.now() - startMs;
      const vocabulary = this.#vocabulary(sequence.config.base);
      const generated = sample({ sequence, fusion, kernel, vocabulary, msOf: decoded.msOf, fuseMs });
      clock.fuseMs += fuseMs;
      clock.sampleMs += generated.record.timing.sampleMs;
      const vocabularies = sequence.cursors.map(({ model }) => this.#vocabulary(model));
      const events = commit(sequence, generated, vocabularies);
      if (events.at(-1)?.type === "done") this.#end(sequence, null);
      return events.map((event) => ({ requestId: sequence.request.requestId, event }));
    } catch (error) {
      this.#end(sequence, ShouldersError.from(error));
      return [];
    }
  }

  #admit(): void {
    const runningOf = new Map<LoadedConfig, number>();
    for (const { config } of this.#running) runningOf.set(config, (runningOf.get(config) ?? 0) + 1);
    const stillWaiting: Sequence[] = [];
    let isBlocked = false;
    for (const sequence of this.#waiting) {
      const { config } = sequence;
      const count = runningOf.get(config) ?? 0;
      // A config at its own limit lets others pass; one that waits for cells does not, or it might wait for ever.
      const mayRun = !isBlocked && count < config.resolved.config.context.sequences;
      sequence.lease = mayRun ? this.#pool.lease(sequence.claims) : null;
      if (mayRun && sequence.lease === null) isBlocked = true;
      if (sequence.lease === null) stillWaiting.push(sequence);
      else {
        runningOf.set(config, count + 1);
        this.#running.push(sequence);
      }
    }
    this.#waiting = stillWaiting;
  }

  #dropCancelled(): void {
    for (const sequence of [...this.#waiting, ...this.#running])
      if (sequence.isCancelled) this.#end(sequence, null);
  }

  /** Takes the sequence out of every list and every model's memory. */
  #end(sequence: Sequence, error: ShouldersError | null): void {
    this.#release(sequence);
    this.#waiting = this.#waiting.filter((other) => other !== sequence);
    this.#running = this.#running.filter((other) => other !== sequence);
    if (error && !sequence.isCancelled) this.#fail(sequence.request.requestId, error);
  }

  #release(sequence: Sequence): void {
    sequence.sampler[Symbol.dispose]();
    if (sequence.lease === null) return;
    const { sequenceId } = sequence.lease;
    for (const { model } of sequence.cursors)
      (this.#slots[model] as ModelSlot).context.removePositions(sequenceId, 0, null);
    this.#pool.release(sequence.lease);
    sequence.lease = null;
  }

  #failAll(error: ShouldersError): void {
    for (const sequence of [...this.#waiting, ...this.#running]) this.#end(sequence, error);
  }

  #emit(events: RequestEvent[], step: StepSample | null): void {
    this.#parts.emit({ type: "events", events, step, stats: this.stats });
  }

  #fail(requestId: string, error: ShouldersError): void {
    if (error.code === "internal") this.#parts.log.error({ err: error }, "a request failed");
    this.#parts.emit({ type: "failed", requestId, error: error.toData() });
  }

  #vocabulary(model: number): Vocabulary {
    return (this.#slots[model] as ModelSlot).model.vocabulary;
  }

  #slotId(model: number): string {
    return (this.#slots[model] as ModelSlot).id;
  }
}
