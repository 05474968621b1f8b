import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { childrenOf, isAlive } from "../support/processes.js";
import { root } from "../support/real-engine.js";

/** The server as a person starts it, as its own process with a real engine, for attacks from outside. */

export const keys = {
  attacker: "attacker-0123456789abcdef",
  canary: "canary-0123456789abcdef",
  other: "another-0123456789abcdef",
};

const startTimeoutMs = 60_000;

export interface TargetOptions {
  /** Fusion configs by file name; those of the shipped family where left out. */
  configs?: readonly object[];
  flags?: readonly string[];
  environment?: Record<string, string>;
  /** A program and arguments to start the server by, such as `prlimit`. */
  through?: readonly string[];
  /** That program takes the rest as one text for a shell, which begins so. */
  asOneCommand?: string;
  /** Where the log goes. Default: kept, up to a bound; `unread`: to a pipe that nobody reads. */
  stderr?: "unread" | "ignore" | number;
  /** Resolve once it listens, before the models are loaded. */
  waitFor?: "ready" | "alive";
}

const longestLog = 200_000;

export class Target implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly #folder: string;
  #url = "";
  #log = "";

  private constructor(process: ChildProcess, folder: string) {
    this.process = process;
    this.#folder = folder;
  }

  static async start(options: TargetOptions = {}): Promise<Target> {
    const { configs, flags = [], environment = {}, through = [], stderr, waitFor = "ready" } = options;
    const { asOneCommand } = options;
    const folder = mkdtempSync(path.join(tmpdir(), "shoulders-attack-"));
    const keysFile = path.join(folder, "keys");
    writeFileSync(
      keysFile,
      Object.entries(keys)
        .map(([name, key]) => `${name}=${key}\n`)
        .join(""),
    );
    configs?.forEach((config, index) =>
      writeFileSync(path.join(folder, `${index}.json`), JSON.stringify(config)),
    );
    const port = await freePort();
    const serving = [
      process.execPath,
      ...[path.join(root, "dist/main.js"), "serve", "--port", String(port), "--backend", "cpu"],
      ...["--threads", "1", "--api-keys-file", keysFile],
      ...["--fusion-configs", configs ? folder : path.join(root, "fusion-configs/recall.json")],
      ...flags,
    ];
    const last = asOneCommand === undefined ? serving : [asOneCommand + serving.join(" ")];
    const [program = "", ...given] = [...through, ...last];
    const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("SHOULDERS_"));
    const stdio: StdioOptions = [
      "ignore",
      "ignore",
      typeof stderr === "number" || stderr === "ignore" ? stderr : "pipe",
    ];
    const child = spawn(program, given, {
      cwd: folder,
      env: { ...Object.fromEntries(clean), ...environment },
      stdio,
    });
    const target = new Target(child, folder);
    target.#url = `http://127.0.0.1:${port}`;
    if (stderr === undefined)
      child.stderr?.setEncoding("utf8").on("data", (part: string) => {
        target.#log = (target.#log + part).slice(-longestLog);
      });
    try {
      await target.until(waitFor === "ready" ? "/readyz" : "/livez", startTimeoutMs);
    } catch (error) {
      await target[Symbol.asyncDispose]();
      throw error;
    }
    return target;
  }

  get url(): string {
    return this.#url;
  }

  /** Of the server. */
  get pid(): number {
    return this.process.pid ?? 0;
  }

  get log(): string {
    return this.#log;
  }

  get isAlive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Ids of the engine's process; none while it is down. */
  get enginePids(): number[] {
    if (!this.isAlive) return [];
    return childrenOf(this.pid).filter((pid) => commandLine(pid).includes("engine/child.js"));
  }

  /** Bytes that server and everything it has started hold, in MB; `peak`: the most since `forgetPeak`. */
  residentMb(which: "now" | "peak" = "now"): number {
    const field = which === "now" ? "VmRSS" : "VmHWM";
    return [this.pid, ...childrenOf(this.pid)].reduce((sum, pid) => sum + statusOf(pid, field), 0) / 1000;
  }

  forgetPeak(): void {
    for (const pid of [this.pid, ...childrenOf(this.pid)]) writeFileSync(`/proc/${pid}/clear_refs`, "5");
  }

  numDescriptors(): number[] {
    return [this.pid, ...this.enginePids].map((pid) => openFiles(pid));
  }

  /** Resolves when the path answers 200. */
  async until(askedPath: string, timeoutMs = 30_000): Promise<void> {
    const startMs = performance.now();
    while (performance.now() - startMs < timeoutMs) {
      if (!this.isAlive)
        throw new Error(
          `the server ended (${this.process.exitCode ?? this.process.signalCode}): ${this.#log}`,
        );
      const signal = AbortSignal.timeout(5000);
      const headers = { Authorization: `Bearer ${keys.other}` };
      const answer = await fetch(this.#url + askedPath, { signal, headers }).catch(() => null);
      await answer?.arrayBuffer().catch(() => null);
      if (answer?.status === 200) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`${askedPath} did not answer 200 within ${timeoutMs} ms: ${this.#log.slice(-2000)}`);
  }

  /** Ends both processes, whatever state they are in, and resolves when nothing of them is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pids = this.isAlive ? childrenOf(this.pid) : [];
    if (this.isAlive) {
      const exited = once(this.process, "exit");
      this.process.kill("SIGKILL");
      await exited;
    }
    // Only what this server has started.
    for (const pid of pids) if (isAlive(pid)) process.kill(pid, "SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** How many descriptors a process has open. */
function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function commandLine(pid: number): string {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

function statusOf(pid: number, field: "VmRSS" | "VmHWM"): number {
  const file = `/proc/${pid}/status`;
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(text)?.[1] ?? 0);
}
