import { once } from "node:events";
import { ShouldersError } from "../errors.js";
import type { Backend } from "../llama/library.js";
import type { Logger } from "../log.js";
import type { BackendChoice, EngineSettings, TrialOutcome } from "../protocol/protocol.js";
import { Backends, trialTimeoutMs } from "./backends.js";
import { diedOnTrialError } from "./child-errors.js";
import { forkChild } from "./fork-child.js";

/**
 * The backend to compute on in this process, tried in another: a driver may end the process it is tried in, and one
 * process can hold one libllama only.
 *
 * @param models paths of the files that are to be loaded
 * @throws ShouldersError why a backend that was named does not work.
 */
export async function chooseBackend(
  requested: EngineSettings["backend"],
  models: readonly string[],
  log: Pick<Logger, "warn" | "info" | "debug">,
): Promise<Pick<BackendChoice, "flashAttention"> & { backend: Backend }> {
  const backends = new Backends({ requested, models, log });
  for (;;) {
    const { choice } = backends;
    try {
      if (choice.isTrial) {
        await tryBackend(choice, models);
        backends.proved();
      }
      backends.settled();
      return choice;
    } catch (error) {
      const final = backends.failed(ShouldersError.from(error));
      if (final !== null) throw final;
    }
  }
}

async function tryBackend(choice: BackendChoice, models: readonly string[]): Promise<void> {
  const child = forkChild(new URL("./backend-trial.js", import.meta.url), models);
  const timeout = AbortSignal.timeout(trialTimeoutMs);
  const kill = () => child.kill("SIGKILL");
  timeout.addEventListener("abort", kill);
  const outcome = new Promise<TrialOutcome>((resolve, reject) => {
    child.once("message", resolve);
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(diedOnTrialError(timeout.aborted, code, signal)));
  });
  child.send(choice);
  const { error } = await outcome;
  timeout.removeEventListener("abort", kill);
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  if (error !== null) throw ShouldersError.fromData(error);
}
