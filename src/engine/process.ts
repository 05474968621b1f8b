import { availableParallelism } from "node:os";
import { serversOf } from "../config/rpc-servers.js";
import { ShouldersError, type ErrorData } from "../errors.js";
import { createKernel } from "../fusion/kernel/kernel.js";
import { checkFirstDecode } from "../llama/first-decode.js";
import type { OpenLibraryOptions } from "../llama/library.js";
import { dieWithParent } from "../llama/parent-death.js";
import type { NativeLibrary } from "../llama/types.js";
import { createLogger } from "../log.js";
import { checkTakeBack } from "./own/share-text.js";
import { checkAdapters } from "./adapters.js";
import { configDigester, fileHasher } from "./config-digest.js";
import { DecodePlanner } from "./decode-plan.js";
import { FusionEngine } from "./engine.js";
import { keptFigures } from "./kept-figures.js";
import { timingsKey } from "./kept-timings.js";
import { holdLifeline } from "./lifeline.js";
import { connectServers, ServerPulse } from "./rpc-servers.js";
import { describeConfig, examineConfig, type LoadedModels, loadModels, planModels } from "./loaded-models.js";
import type {
  BackendChoice,
  DecodePlan,
  EngineDescription,
  FromEngine,
  PlanOutcome,
  ToEngine,
} from "../protocol/protocol.js";

/** Shortest time after which a step counts as hanging. */
const smallestStepTimeoutMs = 8_000;
/** A step may take this many times what was measured for a full batch. */
const stepTimeoutFactor = 20;

/** Characters of an error's stack that are logged. */
const longestStack = 4_000;

type OpenLibrary = (options: OpenLibraryOptions) => Promise<NativeLibrary>;

type Load = Extract<ToEngine, { type: "load" }>;

interface Loaded {
  library: NativeLibrary;
  models: LoadedModels;
  hashOf: (file: string) => string;
}

/** What the engine child holds: everything native, and nothing that listens on a socket. */
class EngineProcess {
  readonly #open: OpenLibrary;
  readonly #log = createLogger("info");
  #engine: FusionEngine | null = null;
  #planner: DecodePlanner | null = null;
  readonly #loading = new LoadingAge();
  /** null: no model has RPC servers. */
  #pulse: ServerPulse | null = null;
  #release: () => Promise<void> = () => Promise.resolve();

  constructor(open: OpenLibrary) {
    this.#open = open;
  }

  /** A message that cannot be handled fails what it asks for, and nothing else. */
  receive(message: unknown): void {
    const asked = message as ToEngine;
    try {
      this.#handle(asked);
    } catch (error) {
      this.#log.error({ err: error }, "a message of the server could not be handled");
      refuseMessage(asked, ShouldersError.from(error).toData());
    }
  }

  #handle(message: ToEngine): void {
    switch (message.type) {
      case "load":
      case "plan":
        this.#log.level = message.settings.logLevel;
        this.#begin(message).catch((error: unknown) => {
          emit({ type: "loadFailed", error: ShouldersError.from(error).toData() });
          if (!(error instanceof ShouldersError)) this.#log.error({ err: error }, "loading failed");
        });
        break;
      case "submit":
        if (this.#engine === null) throw notReady();
        this.#engine.submit(message.request, message.choices);
        break;
      case "cancel":
        this.#engine?.cancel(message.requestId);
        break;
      case "pause":
        this.#engine?.pause(message.requestId, message.isPaused);
        break;
      case "query":
        if (this.#engine === null) throw notReady();
        this.#engine.ask(message.queryId, message.party, message.query);
        break;
      case "ping":
        emit({ type: "pong", stepAgeMs: this.#ageMs });
        break;
      case "shutdown":
        void this.#shutDown();
        break;
    }
  }

  /** How long it has not got on; null: nothing is to be done. */
  get #ageMs(): number | null {
    if (this.#engine === null) return this.#loading.ageMs;
    const [step, pulse] = [this.#engine.stepAgeMs, this.#pulse?.ageMs ?? null];
    return step === null ? pulse : Math.max(step, pulse ?? 0);
  }

  /** An error that is nobody's: what else is wrong cannot be known. The server starts a new child. */
  fail(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#log.fatal({ stack: text.slice(0, longestStack) }, "the engine ends by an error that is nobody's");
    process.exit(1);
  }

  async #begin(message: Load | Extract<ToEngine, { type: "plan" }>): Promise<void> {
    if (message.type === "load") return this.#load(message);
    const { configs, settings, choice } = message;
    await using library = await openProven(this.#open, choice);
    await connectServers(library, configs);
    emit({ type: "planned", places: planModels(library, configs, settings).places });
  }

  async #load(message: Load): Promise<void> {
    const { configs, settings, choice } = message;
    this.#loading.note();
    const library = await openProven(this.#open, choice);
    this.#release = async () => library[Symbol.asyncDispose]();
    try {
      const models = await this.#loadModels(library, message);
      this.#release = async () => {
        await models[Symbol.asyncDispose]();
        await library[Symbol.asyncDispose]();
      };
      await this.#tryOut(models);
      for (const { reader } of models.configs.values()) await reader?.prepare(() => this.#loading.note());
      const hashOf = fileHasher();
      const planner = (this.#planner = this.#createPlanner(message, { library, models, hashOf }));
      const { decoding, mayImprove } = await planner.choose();
      this.#loading.end();
      const vocabularySize = Math.max(...models.slots.map(({ model }) => model.vocabulary.size));
      const numExperts = Math.max(...configs.map(({ config }) => config.experts.length));
      this.#engine = new FusionEngine({
        models,
        kernel: createKernel(settings.kernel, { vocabularySize, numExperts }),
        createSamplerChain: (options) => library.createSamplerChain(options, vocabularySize),
        together: planner.together,
        curves: planner.curves,
        untilFree: () => planner.stop(),
        limits: settings,
        emit,
        onBroken: () => this.#die(),
        log: this.#log,
      });
      const digestOf = configDigester(hashOf);
      const figures = keptFigures(this.#log);
      globalThis.gc?.();
      emit({
        type: "ready",
        description: {
          pid: process.pid,
          stepTimeoutMs: stepTimeoutMs(decoding, settings.batchTokens, models),
          library: describeLibrary(library, models),
          kernel: settings.kernel,
          decoding,
          memory: models.plan.places,
          configs: [...models.configs.values()].map((config) => {
            const digest = digestOf(config.resolved);
            const known = { contentOf: hashOf, measured: figures.read(digest) };
            const warnings = examineConfig(config, models.slots, known);
            return describeConfig(config, models.slots, { digest, warnings });
          }),
        },
      });
      emit({ type: "events", events: [], step: null, stats: this.#engine.stats });
      if (mayImprove) planner.improve();
      if (serversOf(configs).length > 0) this.#pulse = new ServerPulse(library).start();
    } catch (error) {
      await this.#release();
      throw error;
    }
  }

  async #loadModels(library: NativeLibrary, { configs, settings }: Load) {
    await connectServers(library, configs);
    this.#loading.note();
    return loadModels(library, configs, settings, (modelPath, fraction) => {
      this.#loading.note();
      emit({ type: "progress", modelPath, fraction });
    });
  }

  #createPlanner({ configs, settings, timings }: Load, { library, models, hashOf }: Loaded): DecodePlanner {
    const modelIds = models.slots.map(({ id }) => id);
    return new DecodePlanner({
      // What another server takes is not to be tuned from here.
      slots: models.slots.filter(({ remote }) => remote === null),
      tuning: {
        numSequences: models.numSequences,
        numCores: availableParallelism(),
        fixedThreads: settings.threads,
        onStep: () => this.#loading.note(),
      },
      key: timingsKey({ library, configs, settings, modelIds, hashOf }),
      inherited: timings,
      onPlan: (decoding, known) => emit({ type: "decoding", decoding, timings: known }),
      log: this.#log,
    });
  }

  /** Decodes a token with each model: what a file hides from every check ends the process here, where it is named. */
  async #tryOut(models: LoadedModels): Promise<void> {
    const { slots } = models;
    for (const slot of slots) {
      const { model, context } = slot;
      if (model.chatTemplateWarning) this.#log.warn({ model: model.path }, model.chatTemplateWarning);
      this.#loading.note();
      emit({ type: "progress", modelPath: model.path, fraction: 1 });
      context.batch.clear();
      const token = model.vocabulary.bos ?? 0;
      context.batch.add(token, 0, 0, false);
      context.batch.add(token, 1, 0, true);
      await context.decode();
      for (const error of slot.remote?.context.failures.values() ?? []) throw error;
      slot.canTakeBack = context.takeBack(0, 1) && !slot.hasWindow;
      context.removePositions(0, 0, null);
    }
    await checkAdapters(slots);
    checkTakeBack(models.configs.values(), slots);
    this.#loading.note();
  }

  /** The server starts a new child. Without the usual end, at which a broken device may hang. */
  #die(): void {
    this.#log.error("decoding fails again and again: the engine ends, to be started anew");
    process.kill(process.pid, "SIGKILL");
  }

  async #shutDown(): Promise<void> {
    await this.#pulse?.stop();
    await this.#planner?.stop();
    await this.#engine?.close();
    await this.#release();
    process.disconnect();
  }
}

/** How long nothing has been read, opened or tried out: the event loop is free meanwhile. */
class LoadingAge {
  #sinceMs: number | null = null;

  get ageMs(): number | null {
    return this.#sinceMs === null ? null : performance.now() - this.#sinceMs;
  }

  note(): void {
    this.#sinceMs = performance.now();
  }

  end(): void {
    this.#sinceMs = null;
  }
}

/** The library of a choice; one that is on trial has decoded something then. */
async function openProven(open: OpenLibrary, choice: BackendChoice): Promise<NativeLibrary> {
  const library = await open(choice);
  if (!choice.isTrial) return library;
  try {
    await checkFirstDecode(library);
  } catch (error) {
    await library[Symbol.asyncDispose]();
    throw error;
  }
  emit({ type: "proved" });
  return library;
}

/** A device on which no layer lies is not where models compute. */
function describeLibrary(library: NativeLibrary, { slots }: LoadedModels): EngineDescription["library"] {
  const isUsed = slots.some(({ model }) => model.placement.gpuLayers > 0);
  return {
    llama: library.llamaVersion,
    nodeLlamaCpp: library.nodeLlamaCppVersion,
    backend: isUsed ? library.backend : "cpu",
    devices: isUsed ? library.devices : [],
  };
}

function emit(message: FromEngine | PlanOutcome): void {
  // The pipe is gone only when the server is: then this process is about to end as well.
  if (process.connected) process.send?.(message);
}

function notReady(): ShouldersError {
  return new ShouldersError("engine_not_ready", "The models are not loaded yet: try again in a moment.");
}

/** Ends what a message asked for, as far as it says what that was: it may be anything. */
function refuseMessage(message: Partial<ToEngine> | null, error: ErrorData): void {
  if (message?.type === "submit") {
    const choices: unknown[] = Array.isArray(message.choices) ? message.choices : [];
    for (const choice of choices) {
      if (typeof choice !== "object" || choice === null || !("requestId" in choice)) continue;
      const { requestId } = choice;
      if (typeof requestId === "string") emit({ type: "failed", requestId, error });
    }
  }
  if (message?.type === "query" && message.queryId !== undefined)
    emit({ type: "answer", queryId: message.queryId, outcome: { result: null, error } });
}

/** A step waits for another server as long as its config allows. */
function stepTimeoutMs(
  { stepMs, promptTokenMs }: DecodePlan,
  batchTokens: number,
  { slots }: LoadedModels,
): number {
  const awayMs = Math.max(0, ...slots.map(({ remote }) => remote?.settings.timeoutMs ?? 0));
  return awayMs + Math.max(smallestStepTimeoutMs, stepTimeoutFactor * (stepMs + promptTokenMs * batchTokens));
}

/** Serves the pipe to the parent until it closes. `open`: the native door; tests put faults behind it. */
export function runEngineProcess(open: OpenLibrary): void {
  dieWithParent();
  const engineProcess = new EngineProcess(open);
  process.on("message", (message: unknown) => engineProcess.receive(message));
  holdLifeline();
  process.on("uncaughtException", (error) => engineProcess.fail(error));
  // What a terminal sends (Ctrl-C, its end) reaches the server too, which decides.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => undefined);
  process.on("SIGHUP", () => undefined);
}
