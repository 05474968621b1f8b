import type { Command } from "commander";
import type { SettingName } from "../config/settings.js";
import { addSettings, runUntilStopped } from "./command.js";
import type { RowsFlags } from "./rows.js";

/** What a row server needs to know. */
const rowSettings: SettingName[] = [
  "host",
  "port",
  "apiKeysFile",
  "withoutKeys",
  "allowedHosts",
  "allowedOrigins",
  "requestsPerMinute",
  "concurrentRequests",
  "modelsDir",
  "backend",
  "threads",
  "batchTokens",
  "logLevel",
];

export function addRows(program: Command): void {
  const command = program
    .command("rows")
    .description("give the logits of one model to fusion engines on other machines")
    .requiredOption("--model <file>", "the base: a GGUF file, or an hf: URI")
    .option("--name <name>", "the name by which configs may ask for it (default: the file's)")
    .option("--context-tokens <n>", "most tokens of a sequence", "4096")
    .option(
      "--sequences <n>",
      "sequences of all engines: context.sequences and --cache-sequences of each",
      "16",
    )
    .option("--cells <n>", "tokens of all sequences (default: half of them at their longest)");
  addSettings(command, rowSettings);
  command.action((flags: RowsFlags) =>
    runUntilStopped(
      (exitCode) => process.exit(exitCode),
      () => 0,
      async (stop) => (await import("./rows.js")).rows(flags, stop),
    ),
  );
}
