import OpenAI from "openai";
import type { Engine, EngineSettings, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { resolvedConfig, startRealEngine } from "./real-engine.js";
import { serve } from "./server.js";

export interface RealServer {
  engine: Engine;
  url: string;
  client: OpenAI;
  post(path: string, body: object): Promise<Response>;
  close(): Promise<void>;
}

/** The server over the starter models: config `both` with two experts, and `giant`, the base alone. */
export async function startRealServer(): Promise<RealServer> {
  const experts = { trivia: "dwarf-trivia", sums: "dwarf-sums" };
  const configs = [
    resolvedConfig({ id: "both", base: "giant", reference: "dwarf", experts }),
    resolvedConfig({ id: "giant", base: "giant" }),
    resolvedConfig({
      id: "plausible",
      base: "giant",
      reference: "dwarf",
      experts,
      strategy: { type: "dynamic", solver: "exact", plausibility: { ratio: 0.1, of: "joint" } },
    }),
  ];
  return serveConfigs(configs);
}

export async function serveConfigs(
  configs: ResolvedFusionConfig[],
  settings: Partial<EngineSettings> = {},
): Promise<RealServer> {
  const engine = await startRealEngine(configs, { cacheSequences: 8, ...settings });
  // Tests compare what a server counts with what it keeps of each answer.
  const { server, url } = await serve(engine, { keptTrace: "weights" });
  return {
    engine,
    url,
    client: new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 }),
    post: (path, body) =>
      fetch(url + path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      }),
    close: async () => {
      await server.close();
      await engine.close();
    },
  };
}
