import { availableParallelism } from "node:os";
import { ShouldersError } from "../errors.js";
import { createKernel } from "../fusion/kernel/kernel.js";
import type { NativeLibrary } from "../llama/types.js";
import { createLogger } from "../log.js";
import { calibrate } from "./calibrate.js";
import { configDigester } from "./config-digest.js";
import { FusionEngine } from "./engine.js";
import { describeConfig, type LoadedModels, loadModels, planModels } from "./loaded-models.js";
import { answerQuery } from "./queries.js";
import type {
  DecodePlan,
  EngineSettings,
  FromEngine,
  PlanOutcome,
  ResolvedFusionConfig,
  ToEngine,
} from "./protocol.js";

/** Shortest time after which a step counts as hanging. */
const smallestStepTimeoutMs = 8_000;
/** A step may take this many times what calibration says of a full batch. */
const stepTimeoutFactor = 20;

type OpenLibrary = (options: { backend: EngineSettings["backend"] }) => Promise<NativeLibrary>;

/** What the engine child holds: everything native, and nothing that listens on a socket. */
class EngineProcess {
  readonly #open: OpenLibrary;
  readonly #log = createLogger("info");
  #engine: FusionEngine | null = null;
  #models: LoadedModels | null = null;
  #release: () => Promise<void> = () => Promise.resolve();

  constructor(open: OpenLibrary) {
    this.#open = open;
  }

  receive(message: ToEngine): void {
    switch (message.type) {
      case "load":
      case "plan":
        this.#begin(message).catch((error: unknown) => {
          emit({ type: "loadFailed", error: ShouldersError.from(error).toData() });
          if (!(error instanceof ShouldersError)) this.#log.error({ err: error }, "loading failed");
        });
        break;
      case "submit":
        void this.#engine?.submit(message.request);
        break;
      case "cancel":
        this.#engine?.cancel(message.requestId);
        break;
      case "pause":
        this.#engine?.pause(message.requestId, message.isPaused);
        break;
      case "query":
        if (this.#models) void this.#answer(message, this.#models);
        break;
      case "ping":
        emit({ type: "pong", stepAgeMs: this.#engine?.stepAgeMs ?? null });
        break;
      case "shutdown":
        void this.#shutDown();
        break;
    }
  }

  async #answer({ queryId, query }: Extract<ToEngine, { type: "query" }>, models: LoadedModels) {
    emit({ type: "answer", queryId, outcome: await answerQuery(query, models) });
  }

  async #begin({ type, configs, settings }: Extract<ToEngine, { type: "load" | "plan" }>): Promise<void> {
    if (type === "load") return this.#load(configs, settings);
    await using library = await this.#open({ backend: settings.backend });
    emit({ type: "planned", places: planModels(library, configs, settings).places });
  }

  async #load(configs: ResolvedFusionConfig[], settings: EngineSettings): Promise<void> {
    const library = await this.#open({ backend: settings.backend });
    this.#release = async () => library[Symbol.asyncDispose]();
    try {
      const models = await loadModels(library, configs, settings, (modelPath, fraction) =>
        emit({ type: "progress", modelPath, fraction }),
      );
      this.#release = async () => {
        await models[Symbol.asyncDispose]();
        await library[Symbol.asyncDispose]();
      };
      this.#models = models;
      const decoding = await calibrate(
        models.slots,
        models.numSequences,
        availableParallelism(),
        settings.threads,
      );
      const vocabularySize = Math.max(...models.slots.map(({ model }) => model.vocabulary.size));
      const numExperts = Math.max(...configs.map(({ config }) => config.experts.length));
      this.#engine = new FusionEngine({
        models,
        kernel: createKernel(settings.kernel, { vocabularySize, numExperts }),
        createSamplerChain: (options) => library.createSamplerChain(options, vocabularySize),
        together: { single: decoding.mode === "together", batch: decoding.batch.mode === "together" },
        limits: settings,
        emit,
        onBroken: () => this.#die(),
        log: this.#log,
      });
      const digestOf = configDigester();
      globalThis.gc?.();
      emit({
        type: "ready",
        description: {
          pid: process.pid,
          stepTimeoutMs: stepTimeoutMs(decoding, settings.batchTokens),
          library: {
            llama: library.llamaVersion,
            nodeLlamaCpp: library.nodeLlamaCppVersion,
            backend: library.backend,
            devices: library.devices,
          },
          kernel: settings.kernel,
          decoding,
          memory: models.plan.places,
          configs: [...models.configs.values()].map((config) =>
            describeConfig(config, models.slots, digestOf(config.resolved)),
          ),
        },
      });
      emit({ type: "events", events: [], step: null, stats: this.#engine.stats });
    } catch (error) {
      await this.#release();
      throw error;
    }
  }

  /** The server starts a new child. Without the usual end, at which a broken device may hang. */
  #die(): void {
    this.#log.error("decoding fails again and again: the engine ends, to be started anew");
    process.kill(process.pid, "SIGKILL");
  }

  async #shutDown(): Promise<void> {
    await this.#engine?.close();
    await this.#release();
    process.disconnect();
  }
}

function emit(message: FromEngine | PlanOutcome): void {
  // The pipe is gone only when the server is: then this process is about to end as well.
  if (process.connected) process.send?.(message);
}

function stepTimeoutMs({ stepMs, promptTokenMs }: DecodePlan, batchTokens: number): number {
  return Math.max(smallestStepTimeoutMs, stepTimeoutFactor * (stepMs + promptTokenMs * batchTokens));
}

/** Serves the pipe to the parent until it closes. `open`: the native door; tests put faults behind it. */
export function runEngineProcess(open: OpenLibrary): void {
  const engineProcess = new EngineProcess(open);
  process.on("message", (message: ToEngine) => engineProcess.receive(message));
  // A server that died takes its engine with it; a Ctrl-C in a terminal reaches both, and the server decides.
  process.on("disconnect", () => process.exit());
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => undefined);
}
