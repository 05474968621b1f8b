import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { rpcServer } from "../../src/rpc/build.js";
import { greet } from "../../src/rpc/hello.js";

/** llama.cpp's own servers, as `shoulders rpc build` makes them. */

export interface RpcServerProcess {
  endpoint: string;
  process: ChildProcess;
  kill: (signal?: NodeJS.Signals) => Promise<void>;
}

export async function freePort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as { port: number };
  listener.close();
  await once(listener, "close");
  return port;
}

export async function startRpcServer(port?: number): Promise<RpcServerProcess> {
  const endpoint = `127.0.0.1:${port ?? (await freePort())}`;
  const { file, args: first, cwd, env } = rpcServer("cpu");
  const args = [...first, "--host", "127.0.0.1", "--port", endpoint.split(":")[1]!, "--threads", "1"];
  const server = spawn(file, args, { cwd, env, stdio: "ignore" });
  await untilGreeted(endpoint);
  return {
    endpoint,
    process: server,
    kill: async (signal = "SIGKILL") => {
      if (server.exitCode !== null || server.signalCode !== null) return;
      server.kill(signal);
      await once(server, "exit");
    },
  };
}

export async function untilGreeted(endpoint: string): Promise<void> {
  for (;;)
    try {
      await greet(endpoint, 1_000);
      return;
    } catch {
      await pause(50);
    }
}
