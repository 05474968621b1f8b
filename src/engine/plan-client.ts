import { fork } from "node:child_process";
import { once } from "node:events";
import { ShouldersError } from "../errors.js";
import type { EngineSettings, PlaceMemory, PlanOutcome, ResolvedFusionConfig, ToEngine } from "./protocol.js";

/**
 * Plans, in a child of its own, what an engine with these configs would hold. Only headers of the models are read.
 *
 * @throws ShouldersError as the engine refuses to load; `engine_died`.
 */
export async function planEngine(
  configs: ResolvedFusionConfig[],
  settings: EngineSettings,
  signal: AbortSignal,
): Promise<PlaceMemory[]> {
  const child = fork(new URL("./child.js", import.meta.url), {
    serialization: "advanced",
    stdio: ["ignore", 2, 2, "ipc"],
  });
  try {
    child.send({ type: "plan", configs, settings } satisfies ToEngine);
    const [message] = (await Promise.race([
      once(child, "message", { signal }),
      once(child, "exit", { signal }),
    ])) as [PlanOutcome | number | null];
    if (typeof message === "object" && message?.type === "planned") return message.places;
    if (typeof message === "object" && message?.type === "loadFailed")
      throw ShouldersError.fromData(message.error);
    throw new ShouldersError("engine_died", "The process that was to plan memory ended.");
  } finally {
    child.kill("SIGKILL");
  }
}
