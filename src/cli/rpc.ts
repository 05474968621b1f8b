import { spawn } from "node:child_process";
import { once } from "node:events";
import { isIPv4 } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Settings } from "../config/settings.js";
import { ShouldersError } from "../errors.js";
import { gpuDrivers } from "../llama/gpu-drivers.js";
import { buildCommands, buildRpc, findCompiler, type RpcBackend, rpcServer } from "../rpc/build.js";
import { prepare, type SettingFlags } from "./run-time.js";
import type { Stop } from "./stop-signal.js";

export type RpcServeFlags = SettingFlags & { address: string; keepWeights?: true };

/** Time before a server that has failed is started again. */
const restartMs = 1_000;

/** `shoulders rpc build` */
export async function rpcBuild({ print, ...flags }: SettingFlags & { print?: true }): Promise<number> {
  const backend = backendOf(prepare(flags, "warn").settings);
  if (print) {
    const commands = buildCommands(backend, await findCompiler(), "rpc-build");
    process.stdout.write(commands.map((command) => `${command.join(" ")}\n`).join(""));
    return 0;
  }
  const { files, isNew } = await buildRpc(backend);
  process.stdout.write(`${isNew ? "made" : "already there"}: ${files.join(", ")}\n`);
  return 0;
}

/** `shoulders rpc serve`: llama.cpp's server, started again whenever a fault ends it. */
export async function rpcServe(flags: RpcServeFlags, stop: Stop): Promise<number> {
  const { address, keepWeights, ...settingFlags } = flags;
  const { settings, log } = prepare(settingFlags, "info");
  const [host = "", port = ""] = address.split(":");
  if (!isIPv4(host) || !/^\d{1,5}$/.test(port))
    throw new ShouldersError(
      "settings_invalid",
      "--address: expected an IPv4 address and a port, as 127.0.0.1:50052",
    );
  const backend = backendOf(settings);
  await buildRpc(backend);
  const { file, args: first, cwd, env } = rpcServer(backend);
  const threads = settings.threads === "auto" ? [] : ["--threads", String(settings.threads)];
  const args = [...first, "--host", host, "--port", port, ...threads, ...(keepWeights ? ["--cache"] : [])];
  const isStopped = () => stop.signal.aborted;
  while (!isStopped()) {
    const server = spawn(file, args, { cwd, env, stdio: ["ignore", "inherit", "inherit"] });
    const end = () => server.kill();
    stop.signal.addEventListener("abort", end, { once: true });
    const [code, signal] = (await once(server, "exit")) as [number | null, NodeJS.Signals | null];
    stop.signal.removeEventListener("abort", end);
    if (isStopped()) break;
    // It has said on standard error what it lacks: a port, a device.
    if (signal === null) return code === 0 ? 1 : (code ?? 1);
    log.error({ signal }, "the RPC server ended by a fault, and is started again");
    await pause(restartMs);
  }
  return 0;
}

function backendOf({ backend }: Settings): RpcBackend {
  const found = backend === "auto" ? (gpuDrivers()[0]?.backend ?? "cpu") : backend;
  if (found !== "metal") return found;
  throw new ShouldersError("rpc_not_built", "RPC's server is made on Linux only: take a row server instead.");
}
