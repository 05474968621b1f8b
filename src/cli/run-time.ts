import { readFileSync } from "node:fs";
import path from "node:path";
import type { LogLevel } from "../config/log-level.js";
import { type ResolvedSettings, resolveSettings } from "../config/resolve-settings.js";
import type { SettingName, Settings } from "../config/settings.js";
import type { EngineSettings } from "../protocol/protocol.js";
import { type Logger, createLogger } from "../log.js";

/** Where the program is installed: the folder of package.json, above src/ and dist/ alike. */
export const packageRoot = path.resolve(import.meta.dirname, "../..");

export function packageVersion(): string {
  const text = readFileSync(path.join(packageRoot, "package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** Flags of a command as commander gives them: settings as text, and the settings file. */
export type SettingFlags = Partial<Record<SettingName, string>> & { settings?: string };

export interface RunTime {
  settings: Settings;
  log: Logger;
}

/**
 * Settings and log of a command. `quietest`: least severe level that a command without a settled level logs;
 * a command whose output is for a person keeps routine lines to itself.
 * @throws ShouldersError `settings_invalid`
 */
export function prepare({ settings: file, ...flags }: SettingFlags, defaultLevel: LogLevel): RunTime {
  const resolved: ResolvedSettings = resolveSettings({
    flags,
    environment: process.env,
    file: file ?? null,
    workingDirectory: process.cwd(),
    packageRoot,
  });
  const { settings, origins, warnings } = resolved;
  const log = createLogger(origins.logLevel === "default" ? defaultLevel : settings.logLevel);
  for (const warning of warnings) log.warn(warning);
  return { settings, log };
}

export function toEngineSettings(settings: Settings): EngineSettings {
  const { backend, threads, batchTokens, kernel, speculation } = settings;
  const { maxWaiting, maxWaitingTokens, cacheSequences } = settings;
  return {
    backend,
    batchTokens,
    kernel,
    speculation,
    maxWaiting,
    maxWaitingTokens,
    cacheSequences,
    logLevel: settings.logLevel,
    threads: threads === "auto" ? null : threads,
    queueTimeoutMs: settings.queueTimeoutSeconds * 1000,
  };
}
