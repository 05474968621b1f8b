import { locateMembers } from "../config/members.js";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { LoadedFusionConfig } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import { bytesOfPlaces } from "../engine/model-group.js";
import { planEngine } from "../engine/plan-client.js";
import type { ResolvedFusionConfig } from "../protocol/protocol.js";
import { ShouldersError } from "../errors.js";
import { layHeaders } from "../llama/remote-header.js";
import { findModel } from "../llama/resolve-model.js";
import type { Logger } from "../log.js";
import { memoryLines } from "./engine-text.js";
import { toEngineSettings } from "./run-time.js";

/** Other failures may be of the network or of the device, and are said where it matters. */
const refusals = new Set(["out_of_memory", "fusion_config_invalid"]);

/**
 * Before models are downloaded: plans with their headers whether they would fit here at all.
 *
 * @throws ShouldersError `out_of_memory`, `fusion_config_invalid`.
 */
export async function planDownloads(
  loaded: readonly LoadedFusionConfig[],
  settings: Settings,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const headers = new Headers(settings.modelsDir, signal);
  try {
    const resolved = await locateAll(loaded, headers);
    if (headers.numLaid === 0) return;
    const memory = await planEngine({ configs: resolved, settings: toEngineSettings(settings), log, signal });
    for (const line of memoryLines({ memory })) log.info(`to be downloaded and loaded: ${line}`);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ShouldersError && refusals.has(error.code)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    log.warn(`memory cannot be planned before the download: ${reason}`);
  } finally {
    headers.remove();
  }
}

/** What an engine with these configs would take, bytes; headers of what is not here yet are read. */
export async function planBytes(
  loaded: readonly LoadedFusionConfig[],
  { settings, log, signal }: { settings: Settings; log: Logger; signal: AbortSignal },
): Promise<number> {
  const headers = new Headers(settings.modelsDir, signal);
  try {
    const configs = await locateAll(loaded, headers);
    return bytesOfPlaces(await planEngine({ configs, settings: toEngineSettings(settings), log, signal }));
  } finally {
    headers.remove();
  }
}

async function locateAll(
  loaded: readonly LoadedFusionConfig[],
  headers: Headers,
): Promise<ResolvedFusionConfig[]> {
  const resolved: ResolvedFusionConfig[] = [];
  for (const { file, config } of loaded) {
    const members = await locateMembers(config, (model) => headers.find(model, path.dirname(file)));
    resolved.push({ config, members, card: null });
  }
  return resolved;
}

/** Files of models: those that are here, and headers of those that are not. */
export class Headers {
  readonly #modelsDir: string;
  readonly #signal: AbortSignal;
  readonly #uriToFile = new Map<string, string>();
  #directory: string | null = null;

  constructor(modelsDir: string, signal: AbortSignal) {
    this.#modelsDir = modelsDir;
    this.#signal = signal;
  }

  get numLaid(): number {
    return this.#uriToFile.size;
  }

  async find(source: string, relativeTo: string): Promise<string> {
    const local = await findModel(source, { relativeTo, downloadDirectory: this.#modelsDir });
    if (local !== null) return local;
    const known = this.#uriToFile.get(source);
    if (known !== undefined) return known;
    this.#directory ??= mkdtempSync(path.join(tmpdir(), "shoulders-headers-"));
    // A folder each: files of different models may have the same name.
    const file = await layHeaders(source, mkdtempSync(path.join(this.#directory, "model-")), this.#signal);
    this.#uriToFile.set(source, file);
    return file;
  }

  remove(): void {
    if (this.#directory !== null) rmSync(this.#directory, { recursive: true });
  }
}
