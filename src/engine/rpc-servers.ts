import { serversOf } from "../config/rpc-servers.js";
import type { NativeLibrary } from "../llama/types.js";
import type { ResolvedFusionConfig } from "../protocol/protocol.js";
import { rpcPlugin } from "../rpc/build.js";
import { greet } from "../rpc/hello.js";
import { holdServer } from "../rpc/hold-server.js";

/** How often servers are asked something while models are loaded. */
const intervalMs = 2_000;

/**
 * Connects all RPC servers that the configs name: each is this process's until it ends.
 *
 * @throws ShouldersError `rpc_not_built`, `rpc_unreachable`, `rpc_busy`, `rpc_version`, `rpc_not_a_server`
 */
export async function connectServers(
  library: NativeLibrary,
  configs: readonly ResolvedFusionConfig[],
): Promise<void> {
  for (const server of serversOf(configs)) {
    const plugin = rpcPlugin();
    await holdServer(server);
    await greet(server);
    library.addServer(plugin, server);
  }
}

/**
 * Asks the servers something again and again, as a connection tells of its other end's death, or that it is frozen, only
 * when it is used. Death ends this process; frozen, the question grows old.
 */
export class ServerPulse {
  readonly #library: Pick<NativeLibrary, "touchServers">;
  #question: { sinceMs: number; answered: Promise<void> } | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(library: Pick<NativeLibrary, "touchServers">) {
    this.#library = library;
  }

  /** How long the open question has been open; null: there is none. */
  get ageMs(): number | null {
    return this.#question === null ? null : performance.now() - this.#question.sinceMs;
  }

  start(): this {
    this.#timer = setInterval(() => {
      if (this.#question !== null) return;
      const answered = this.#library.touchServers().then(() => {
        this.#question = null;
      });
      this.#question = { sinceMs: performance.now(), answered };
    }, intervalMs).unref();
    return this;
  }

  /** Waits for the open question: nothing native may go before. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#question?.answered;
  }
}
