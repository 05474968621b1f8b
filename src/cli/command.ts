import { type Command, Option } from "commander";
import { describeSettings, type SettingName } from "../config/settings.js";
import { exitCodeOf, listenForStop, type Stop } from "./stop-signal.js";

/** What commands are made of. */

/** Hears the exit code of the command that ran. */
export type Finish = (exitCode: number) => void;

/** What an engine needs to know, on every command that starts one. */
export const engineSettings: SettingName[] = [
  "fusionConfigs",
  "modelsDir",
  "backend",
  "threads",
  "batchTokens",
  "kernel",
  "speculation",
  "logLevel",
];

/** Flags from the table of settings. They carry no default: what is not written is left to the weaker sources. */
export function addSettings(command: Command, names: readonly SettingName[] | "all"): void {
  for (const setting of describeSettings()) {
    if (names !== "all" && !names.includes(setting.name)) continue;
    const fallback = setting.default === "" ? "" : ` (default: ${setting.default})`;
    command.addOption(new Option(`${setting.flag} <value>`, `${setting.description}${fallback}`));
  }
  command.option("--settings <file>", "JSON file of settings, by their names in camelCase");
}

/**
 * Runs a command that a signal may end. While models load there is nothing to finish: the process ends at once,
 * and the engine child with it.
 */
export async function runUntilStopped(
  finish: Finish,
  codeWhenStopped: (stop: Stop) => number,
  run: (stop: Stop) => Promise<number>,
): Promise<void> {
  const stop = listenForStop();
  try {
    finish(await run(stop));
  } catch (error) {
    if (stop.received === null || error !== stop.signal.reason) throw error;
    process.exit(codeWhenStopped(stop));
  }
}

export const asSignalled = (stop: Stop): number => exitCodeOf(stop.received ?? "SIGTERM");
