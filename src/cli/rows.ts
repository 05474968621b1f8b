import { availableParallelism } from "node:os";
import path from "node:path";
import { loadApiKeys, requireKeysOnNetwork } from "../config/api-keys.js";
import type { Settings } from "../config/settings.js";
import { present, ShouldersError } from "../errors.js";
import { planMemory } from "../engine/memory-plan.js";
import { chooseBackend } from "../engine/choose-backend.js";
import { openLibrary } from "../llama/library.js";
import { availableMemory, memoryLimit } from "../llama/memory.js";
import { resolveModel } from "../llama/resolve-model.js";
import type { LoadedModel, NativeLibrary } from "../llama/types.js";
import { startRowServer } from "../row-server/server.js";
import { createProgress } from "./progress.js";
import { prepare, type SettingFlags } from "./run-time.js";
import { type Stop, untilAborted } from "./stop-signal.js";

export type RowsFlags = SettingFlags & {
  model: string;
  name?: string;
  contextTokens: string;
  sequences: string;
  cells?: string;
};

/** What the program takes beside model and context. */
const programBytes = 200e6;
/** Rows of a batch beyond one a sequence: those of guesses. */
const spareRows = 32;

interface Room {
  contextTokens: number;
  sequences: number;
  cells: number;
}

/** `shoulders rows`: gives rows of one model to engines elsewhere until a signal asks it to end. */
export async function rows(flags: RowsFlags, stop: Stop): Promise<number> {
  const { model: named, name, contextTokens, sequences, cells, ...settingFlags } = flags;
  const { settings, log } = prepare(settingFlags, "info");
  const keys = loadApiKeys(settings, process.env);
  requireKeysOnNetwork(settings, keys);
  const room = roomOf({ contextTokens, sequences, ...(cells !== undefined && { cells }) });
  const file = await findModel(named, settings, stop.signal);
  const library = await openLibrary(await chooseBackend(settings.backend, [file], log));
  try {
    const { model, context, maxRows } = await load(library, file, room, settings);
    const { allowedHosts, allowedOrigins, requestsPerMinute, concurrentRequests } = settings;
    const server = await startRowServer({
      ...{ model, context, maxRows, log },
      modelName: name ?? path.basename(file, ".gguf"),
      numSequences: room.sequences,
      contextTokens: room.contextTokens,
      host: settings.host,
      port: settings.port,
      access: { keys, allowedHosts, allowedOrigins, requestsPerMinute, concurrentRequests },
    });
    const { address } = server;
    const host = address.host.includes(":") ? `[${address.host}]` : address.host;
    const url = `http://${host}:${address.port}`;
    process.stdout.write(
      `Rows of ${model.name} at ${url}, for ${room.sequences} sequences of ${room.cells} tokens in all.\n` +
        `A fusion config asks for them by  "base": {"kind": "shoulders", "url": "${url}", "tokenizer": "…"}\n`,
    );
    await untilAborted(stop.signal);
    log.info("stopping");
    await server.close();
    return 0;
  } finally {
    await library[Symbol.asyncDispose]();
  }
}

function roomOf(flags: Pick<RowsFlags, "contextTokens" | "sequences" | "cells">): Room {
  const read = (flag: string, text: string, most: number) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!(value >= 1 && value <= most))
      throw new ShouldersError("settings_invalid", `${flag}: expected an integer from 1 to ${most}`);
    return value;
  };
  const contextTokens = read("--context-tokens", flags.contextTokens, 1_048_576);
  const sequences = read("--sequences", flags.sequences, 256);
  const cells =
    flags.cells === undefined
      ? contextTokens * Math.ceil(sequences / 2)
      : read("--cells", flags.cells, 100_000_000);
  return { contextTokens, sequences, cells };
}

async function findModel(named: string, { modelsDir }: Settings, signal: AbortSignal): Promise<string> {
  const progress = createProgress("Downloading");
  try {
    return await resolveModel(named, {
      relativeTo: process.cwd(),
      downloadDirectory: modelsDir,
      onProgress: (fraction) => progress.update(named, fraction),
      signal,
    });
  } finally {
    progress.stop();
  }
}

async function load(library: NativeLibrary, file: string, room: Room, settings: Settings) {
  const { batchTokens, threads } = settings;
  const numThreads = threads === "auto" ? availableParallelism() : threads;
  const maxRows = room.sequences + spareRows;
  const options = {
    numCells: room.cells,
    numSequences: room.sequences,
    batchTokens: Math.max(room.sequences, Math.min(batchTokens, room.cells)),
    maxRows,
    threads: numThreads,
    keepsThreads: true,
  };
  const context = { tokens: room.contextTokens, sequences: room.sequences };
  const need = { path: file, wishes: { gpuLayers: "auto" as const }, options, adapted: [], context };
  using measurer = library.createMeasurer();
  const plan = planMemory({
    needs: [need],
    machine: {
      devices: library.listDevices(),
      freeBytes: availableMemory(),
      limitBytes: memoryLimit(),
    },
    measure: ({ path: of }, placement) => measurer.measure(of, placement, options),
    programBytes: () => programBytes,
  });
  const progress = createProgress("Loading");
  const { placement } = present(plan.models[0], "planned model");
  const onProgress = (fraction: number) => progress.update(file, fraction);
  const model = await library.loadModel(file, { placement, onProgress }).finally(() => progress.stop());
  checkPositions(model, room);
  return { model, context: model.createContext(options), maxRows };
}

/** libllama ends the process at a position that a model has not learned. */
function checkPositions({ facts, path: file }: LoadedModel, { contextTokens }: Room): void {
  const { mostPositions } = facts;
  if (mostPositions !== null && contextTokens > mostPositions)
    throw new ShouldersError(
      "settings_invalid",
      `${file} has learned ${mostPositions} positions; give --context-tokens ${mostPositions} or less.`,
    );
}
