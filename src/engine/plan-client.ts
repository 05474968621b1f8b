import { fork } from "node:child_process";
import { once } from "node:events";
import type { Logger } from "pino";
import { modelPaths } from "../config/members.js";
import { ShouldersError } from "../errors.js";
import { Backends } from "./backends.js";
import type {
  BackendChoice,
  EngineSettings,
  PlaceMemory,
  PlanOutcome,
  ResolvedFusionConfig,
  ToEngine,
} from "../protocol/protocol.js";

export interface PlanOptions {
  configs: ResolvedFusionConfig[];
  settings: EngineSettings;
  log: Logger;
  signal: AbortSignal;
}

/**
 * Plans, in a child of its own, what an engine with these configs would hold. Only headers of the models are read.
 *
 * @throws ShouldersError as the engine refuses to load; `engine_died`.
 */
export async function planEngine(options: PlanOptions): Promise<PlaceMemory[]> {
  const { configs, settings, log } = options;
  const backends = new Backends({ requested: settings.backend, models: modelPaths(configs), log });
  for (;;) {
    try {
      return await planOn(backends.choice, options);
    } catch (error) {
      options.signal.throwIfAborted();
      const final = backends.failed(ShouldersError.from(error));
      if (final !== null) throw final;
    }
  }
}

async function planOn(
  choice: BackendChoice,
  { configs, settings, signal }: PlanOptions,
): Promise<PlaceMemory[]> {
  const child = fork(new URL("./child.js", import.meta.url), {
    serialization: "advanced",
    // The last one is the lifeline.
    stdio: ["ignore", 2, 2, "ipc", "pipe"],
  });
  try {
    child.send({ type: "plan", configs, settings, choice } satisfies ToEngine);
    for (;;) {
      const [message] = (await Promise.race([
        once(child, "message", { signal }),
        once(child, "exit", { signal }),
      ])) as [PlanOutcome | { type: "proved" } | number | null];
      if (typeof message === "number" || message === null)
        throw new ShouldersError("engine_died", "The process that was to plan memory ended.");
      if (message.type === "planned") return message.places;
      if (message.type === "loadFailed") throw ShouldersError.fromData(message.error);
    }
  } finally {
    child.kill("SIGKILL");
  }
}
