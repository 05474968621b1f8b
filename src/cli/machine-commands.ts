import type { Command } from "commander";
import type { SettingName } from "../config/settings.js";
import { addSettings, type Finish, runUntilStopped } from "./command.js";
import type { RowsFlags } from "./rows.js";
import type { RpcServeFlags } from "./rpc.js";
import type { SettingFlags } from "./run-time.js";

/** Commands for a base that other machines compute. */

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

function addRows(program: Command): void {
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

function addRpc(program: Command, finish: Finish): void {
  const command = program.command("rpc").description("bases whose layers lie on several machines");
  const build = command
    .command("build")
    .description("make llama.cpp's RPC plug-in and server from the sources that are installed here")
    .option("--print", "only print the commands");
  addSettings(build, ["backend", "logLevel"]);
  build.action(async (flags: SettingFlags & { print?: true }) =>
    finish(await (await import("./rpc.js")).rpcBuild(flags)),
  );
  const serve = command
    .command("serve")
    .description("hold layers of a base that an engine elsewhere computes; starts again when it fails")
    .option("--address <host:port>", "IPv4 address to listen on: keep it to this machine", "127.0.0.1:50052")
    .option("--keep-weights", "keep large tensors in the cache folder, so that they are sent once");
  addSettings(serve, ["backend", "threads", "logLevel"]);
  serve.action((flags: RpcServeFlags) =>
    runUntilStopped(
      finish,
      () => 0,
      async (stop) => (await import("./rpc.js")).rpcServe(flags, stop),
    ),
  );
}

export function addMachines(program: Command, finish: Finish): void {
  addRows(program);
  addRpc(program, finish);
}
