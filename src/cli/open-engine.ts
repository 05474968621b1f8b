import { locateMembers, modelPaths } from "../config/members.js";
import path from "node:path";
import { loadDebateAudit } from "../config/debate-audit.js";
import { cardOf } from "../routing/match-card.js";
import type { LoadedFusionConfig } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import { startEngine } from "../engine/client.js";
import { ShouldersError } from "../errors.js";
import type { Engine, ResolvedFusionConfig } from "../protocol/protocol.js";
import { readGgufHeader } from "../llama/gguf-file.js";
import { isRemote, resolveModel } from "../llama/resolve-model.js";
import type { Logger } from "../log.js";
import { planDownloads } from "./plan-downloads.js";
import { createProgress } from "./progress.js";
import { toEngineSettings } from "./run-time.js";

/**
 * Finds every model of the configs on this machine, downloading those that hf: URIs name, and their calibration cards.
 * `ignoresCards`: goes without them, whatever lies there.
 */
export async function resolveConfigs(
  loaded: readonly LoadedFusionConfig[],
  settings: Settings,
  signal: AbortSignal,
  ignoresCards = false,
): Promise<ResolvedFusionConfig[]> {
  const progress = createProgress("Downloading");
  const find = async (model: string, { file, placeOf }: LoadedFusionConfig, field: PropertyKey[]) => {
    try {
      return await resolveModel(model, {
        relativeTo: path.dirname(file),
        downloadDirectory: settings.modelsDir,
        onProgress: (fraction) => progress.update(model, fraction),
        signal,
      });
    } catch (error) {
      throw ShouldersError.from(error).withPlace(placeOf(field));
    }
  };
  const resolved: ResolvedFusionConfig[] = [];
  try {
    // One after the other: a model that two configs name is downloaded by the first and found by the second.
    for (const one of loaded) {
      const { file, config } = one;
      const members = await locateMembers(config, (model, field) => find(model, one, field));
      const found = { config, members };
      const beside = ignoresCards
        ? { card: null }
        : { card: cardOf(file, found), debateAudit: loadDebateAudit(file, config.id) };
      resolved.push({ ...found, ...beside });
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    progress.stop();
  }
  return resolved;
}

export interface OpenEngineOptions {
  configs: readonly LoadedFusionConfig[];
  settings: Settings;
  log: Logger;
  signal: AbortSignal;
  /** Default: false. */
  ignoresCards?: boolean;
  /** Hears how much of all files is read, 0 to 1. */
  onProgress?: (fraction: number) => void;
}

/**
 * What is wrong with the paths of a config's models, each with its place; nothing is downloaded.
 *
 * @param check what else is asked of a file that is there
 */
export async function findWrongPaths(
  { file, config, placeOf }: LoadedFusionConfig,
  check: (path: string) => unknown = () => undefined,
): Promise<ShouldersError[]> {
  const problems: ShouldersError[] = [];
  await locateMembers(config, async (model, field) => {
    if (isRemote(model)) return model;
    try {
      const found = await resolveModel(model, {
        relativeTo: path.dirname(file),
        downloadDirectory: "",
        onProgress: () => undefined,
      });
      check(found);
      return found;
    } catch (error) {
      problems.push(ShouldersError.from(error).withPlace(placeOf(field)));
      return model;
    }
  });
  return problems;
}

/** A config's problem with where it is, unless it says so itself. */
export function withConfigPlace({ file, placeOf }: LoadedFusionConfig, error: unknown): string {
  const { message } = ShouldersError.from(error);
  return message.startsWith(file) ? message : `${placeOf([])}: ${message}`;
}

/** @throws ShouldersError all problems as one, a line each, if there are any. */
export function throwAll(problems: readonly ShouldersError[]): void {
  const [first] = problems;
  if (first !== undefined)
    throw new ShouldersError(first.code, problems.map(({ message }) => message).join("\n"));
}

/**
 * Resolves the models and starts an engine that has loaded them, with a progress bar each. `signal` ends the
 * wait; the engine child goes with this process then.
 */
export async function openEngine(options: OpenEngineOptions): Promise<Engine> {
  const { configs, settings, log, signal, ignoresCards = false } = options;
  throwAll((await Promise.all(configs.map((one) => findWrongPaths(one)))).flat());
  await planDownloads(configs, settings, log, signal);
  const resolved = await resolveConfigs(configs, settings, signal, ignoresCards);
  const progress = createProgress("Loading");
  const numModels = modelPaths(resolved).length;
  const pathToFraction = new Map<string, number>();
  const advance = (modelPath: string, fraction: number): void => {
    pathToFraction.set(modelPath, fraction);
    const sum = [...pathToFraction.values()].reduce((total, one) => total + one, 0);
    options.onProgress?.(Math.min(1, sum / Math.max(1, numModels)));
  };
  try {
    const started = startEngine({
      configs: resolved,
      settings: toEngineSettings(settings),
      log,
      onProgress: (modelPath, fraction) => {
        progress.update(modelPath, fraction);
        advance(modelPath, fraction);
      },
    });
    const aborted = new Promise<never>((_, reject) => {
      const stop = (): void => reject(signal.reason as Error);
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
    });
    return await Promise.race([started, aborted]);
  } catch (error) {
    signal.throwIfAborted();
    // The engine knows a file, and not who named it.
    if (error instanceof ShouldersError && error.code === "model_file_invalid")
      throwAll((await Promise.all(configs.map((one) => findWrongPaths(one, readGgufHeader)))).flat());
    throw error;
  } finally {
    progress.stop();
  }
}
