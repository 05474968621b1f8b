import { readFileSync } from "node:fs";
import path from "node:path";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import { loadFusionConfigs } from "../../src/config/load.js";
import { openLibrary } from "../../src/llama/library.js";
import { inMainMemory } from "../../src/llama/types.js";
import type { AccessRules } from "../../src/api/access/gate.js";
import type { GenerationRequest, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { type RunningRowServer, startRowServer } from "../../src/row-server/server.js";
import { located } from "./members.js";
import { root, textRequest } from "./real-engine.js";
import { silentLogger } from "./silent-logger.js";
import { StandInBase } from "./stand-in-base.js";

/** The shipped configs with their base here, and with the same base on servers of this process. */

export const tasks = ["recall", "problems", "headline", "choice"] as const;
export type Task = (typeof tasks)[number];

const giant = path.join(root, "models/family/giant.gguf");
const context = { tokens: 512, sequences: 8 };

/** The base's part of a config. */
export type BasePart = Record<string, unknown>;

/** A shipped config, with another base where one is given. */
export function familyConfig(
  id: string,
  { base, ...changes }: { base?: BasePart } & Record<string, unknown> = {},
): ResolvedFusionConfig {
  const [loaded] = loadFusionConfigs(path.join(root, `fusion-configs/${id}.json`));
  const written = JSON.parse(readFileSync(loaded!.file, "utf8")) as Record<string, unknown>;
  const parsed = fusionConfigSchema.parse({
    ...written,
    ...(base && { base: "url" in base ? { tokenizer: giant, ...base } : base }),
    context,
    ...changes,
  });
  const config = { ...parsed, strategy: parsed.strategy ?? loaded!.config.strategy };
  const members = located(config, ({ source }) => path.resolve(root, "fusion-configs", source.model));
  return { config, members, card: null };
}

/** A question of a task's, and what is wanted of the answer. */
export function taskRequests(task: Task, count: number, options: Partial<GenerationRequest> = {}) {
  const lines = readFileSync(path.join(root, `models/tasks/${task}.jsonl`), "utf8")
    .trim()
    .split("\n");
  return lines.slice(0, count).map((line): GenerationRequest => {
    const { messages } = JSON.parse(line) as { messages: { role: "user"; content: string }[] };
    return textRequest(task, "", { prompt: { type: "chat", messages }, topLogprobs: 2, ...options });
  });
}

/** The shipped base in this process, for servers that give its rows. */
export async function openGiant() {
  const library = await openLibrary({ backend: "cpu" });
  const load = () => library.loadModel(giant, { placement: inMainMemory, onProgress: () => undefined });
  const model = await load();
  const contextOf = (numSequences: number, maxRows: number) =>
    model.createContext({
      ...{ numCells: 8192 + 512 * numSequences, numSequences, batchTokens: 512 },
      ...{ maxRows, threads: 1, keepsThreads: true },
    });
  return {
    model,
    // All rows from some place on may be asked for.
    standIn: () => new StandInBase(model, contextOf(1, 512)),
    serveRows: (
      options: { access?: Partial<AccessRules>; numSequences?: number; port?: number } = {},
    ): Promise<RunningRowServer> => {
      const { access = {}, numSequences = 32, port = 0 } = options;
      return startRowServer({
        ...{ model, modelName: "giant", numSequences, maxRows: numSequences + 32 },
        context: contextOf(numSequences, numSequences + 32),
        ...{ contextTokens: 512, host: "127.0.0.1", port, log: silentLogger, access },
      });
    },
    close: () => library[Symbol.asyncDispose](),
  };
}

export const urlOf = ({ address }: RunningRowServer) => `http://${address.host}:${address.port}`;
