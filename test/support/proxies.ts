import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createConnection, createServer } from "node:net";
import path from "node:path";
import { root } from "./real-engine.js";
import { temporaryDirectory } from "./temporary-directory.js";

export const proxyNames = ["haproxy", "nginx"] as const;
export type ProxyName = (typeof proxyNames)[number];

const withSbin = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` };

/** Whether its tests are left out: CI installs it, and never leaves them out. */
export function lacksProxy(name: ProxyName): boolean {
  const isMissing = spawnSync(name, ["-v"], { env: withSbin }).error !== undefined;
  if (isMissing)
    console.warn(`tests with ${name} are left out: it is not installed (apt-get install ${name})`);
  return isMissing && !process.env["CI"];
}

/** Ports that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

/** Whether somebody takes connections there. */
export const isOpen = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });

export interface Proxy {
  url: string;
  close(): Promise<void>;
}

/** What deploy/replicas has, over two replicas, with other ports. */
export async function startProxy(name: ProxyName, replicas: readonly [number, number]): Promise<Proxy> {
  const directory = temporaryDirectory();
  const [port = 0] = await freePorts(1);
  const file = name === "haproxy" ? "haproxy.cfg" : "nginx.conf";
  let text = readFileSync(path.join(root, "deploy/replicas", file), "utf8");
  for (const [from, to] of [
    [8080, port],
    [8081, replicas[0]],
    [8082, replicas[1]],
  ] as const)
    text = text.replaceAll(`127.0.0.1:${from}`, `127.0.0.1:${to}`);
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  // Where it may write, whoever runs the test.
  text = text.replace(
    "http {",
    `http { ${places.map((place) => `${place}_temp_path ${directory.file(place)};`).join(" ")}`,
  );
  writeFileSync(directory.file(file), text);
  mkdirSync(directory.file("logs"));
  const args =
    name === "haproxy"
      ? ["-db", "-f", directory.file(file)]
      : [
          "-p",
          directory.path,
          "-c",
          directory.file(file),
          "-e",
          "stderr",
          "-g",
          "daemon off; pid nginx.pid;",
        ];
  const child = spawn(name, args, { env: withSbin });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  const closed = once(child, "close");
  while (!(await isOpen(port)))
    if (child.exitCode !== null) throw new Error(`${name} did not start: ${said}`);
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      child.kill("SIGTERM");
      await closed;
      directory.remove();
    },
  };
}

/** Resolves with its exit status. */
export async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}
