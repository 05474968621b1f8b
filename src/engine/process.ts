import { availableParallelism } from "node:os";
import { ShouldersError } from "../errors.js";
import { createKernel } from "../fusion/kernel/kernel.js";
import { openLibrary } from "../llama/library.js";
import { createLogger } from "../log.js";
import { FusionEngine } from "./engine.js";
import { describeConfig, loadModels } from "./loaded-models.js";
import type { EngineSettings, FromEngine, ResolvedFusionConfig, ToEngine } from "./protocol.js";

/** The engine child's entry: everything native happens in this process, and nothing that listens on a socket. */

const log = createLogger("info");
let engine: FusionEngine | null = null;
let releaseNative: () => Promise<void> = () => Promise.resolve();

function emit(message: FromEngine): void {
  // The pipe is gone only when the server is: then this process is about to end as well.
  if (process.connected) process.send?.(message);
}

async function load(configs: ResolvedFusionConfig[], settings: EngineSettings): Promise<void> {
  const threads = settings.threads ?? Math.max(1, Math.floor(availableParallelism() / 2));
  const library = await openLibrary({ backend: settings.backend });
  try {
    const models = await loadModels(library, configs, { ...settings, threads }, (modelPath, fraction) =>
      emit({ type: "progress", modelPath, fraction }),
    );
    releaseNative = async () => {
      await models[Symbol.asyncDispose]();
      await library[Symbol.asyncDispose]();
    };
    const vocabularySize = Math.max(...models.slots.map(({ model }) => model.vocabulary.size));
    engine = new FusionEngine({
      models,
      kernel: createKernel(settings.kernel, {
        vocabularySize,
        numExperts: Math.max(...configs.map(({ config }) => config.experts.length)),
      }),
      createSamplerChain: (options) => library.createSamplerChain(options, vocabularySize),
      maxWaiting: settings.maxWaiting,
      emit,
      log,
    });
    emit({
      type: "ready",
      description: {
        pid: process.pid,
        library: {
          llama: library.llamaVersion,
          nodeLlamaCpp: library.nodeLlamaCppVersion,
          backend: library.backend,
          devices: library.devices,
        },
        kernel: settings.kernel,
        threads,
        configs: [...models.configs.values()].map((config) => describeConfig(config, models.slots)),
      },
    });
  } catch (error) {
    if (engine === null) await library[Symbol.asyncDispose]();
    throw error;
  }
}

async function shutDown(): Promise<void> {
  await engine?.close();
  await releaseNative();
  process.disconnect();
}

process.on("message", (message: ToEngine) => {
  switch (message.type) {
    case "load":
      load(message.configs, message.settings).catch((error: unknown) => {
        emit({ type: "loadFailed", error: ShouldersError.from(error).toData() });
        if (!(error instanceof ShouldersError)) log.error({ err: error }, "loading failed");
      });
      break;
    case "submit":
      engine?.submit(message.request);
      break;
    case "cancel":
      engine?.cancel(message.requestId);
      break;
    case "shutdown":
      void shutDown();
      break;
  }
});

// A server that died takes its engine with it; a Ctrl-C in a terminal reaches both, and the server decides.
process.on("disconnect", () => process.exit());
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => undefined);
