import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { MemberName } from "./family.js";
import { familyPath, type WeightType } from "./family.js";

const root = path.resolve(import.meta.dirname, "..");
const startTimeoutMs = 120_000;
const configFolders = {
  starter: path.join(root, "test/data/starter/fusion-configs"),
  shipped: path.join(root, "fusion-configs"),
};

export interface RunningProcess extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  url: string;
  pid: number;
  /** What it has printed on standard output. */
  output: () => string;
}

/** `shoulders serve` as a person would start it, on a free port, with other settings than the defaults. */
export async function startShoulders(
  configs: readonly object[] | keyof typeof configFolders,
  flags: readonly string[] = [],
  environment: Record<string, string> = {},
): Promise<RunningProcess> {
  const folder = mkdtempSync(path.join(tmpdir(), "shoulders-bench-"));
  const source = typeof configs === "string" ? configFolders[configs] : folder;
  if (typeof configs !== "string")
    configs.forEach((config, index) =>
      writeFileSync(path.join(folder, `${index}.json`), JSON.stringify(config)),
    );
  const entry = path.join(root, "dist", "main.js");
  const given = ["--port", "0", "--backend", "cpu", "--log-level", "error", "--fusion-configs", source];
  const child = spawn(process.execPath, [entry, "serve", ...given, ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...withoutSettings(), ...environment },
  });
  const release = () => rmSync(folder, { recursive: true });
  const printed = collectOutput(child);
  const find = () => /listens on (http:\S+)/.exec(printed())?.[1] ?? null;
  const url = await waitFor(child, () => Promise.resolve(find()), release);
  return running(child, url, printed, release);
}

/** llama-server with the same file, threads and number of sequences. */
export async function startPeer(
  program: string,
  options: { file: string; threads: number; sequences: number; contextTokens: number; port: number },
): Promise<RunningProcess> {
  const { file, threads, sequences, contextTokens, port } = options;
  const given = {
    "-m": file,
    "-t": threads,
    "-tb": threads,
    "-np": sequences,
    "-c": sequences * contextTokens,
  };
  const child = spawn(
    program,
    [...Object.entries(given).flatMap(([flag, value]) => [flag, String(value)]), "--port", String(port)],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const url = `http://127.0.0.1:${port}`;
  const printed = collectOutput(child);
  await waitFor(
    child,
    async () => ((await fetch(`${url}/health`).catch(() => null))?.ok === true ? url : null),
    () => undefined,
  );
  return running(child, url, printed, () => undefined);
}

interface FamilyConfig {
  id: string;
  base: string;
  reference?: string;
  experts?: { id: string; model: string }[];
  context: { tokens: number; sequences: number };
  sampling: { temperature: number };
}

/** A fusion config of the bench family as a file has it. */
export function familyConfigFile(
  id: string,
  experts: readonly MemberName[],
  context: { tokens: number; sequences: number },
  type: WeightType = "F16",
): FamilyConfig {
  const ids = experts.map((name) => ({ id: name, model: familyPath(name, type) }));
  const small = experts.length > 0 ? { reference: familyPath("reference", type), experts: ids } : {};
  return { id, base: familyPath("base", type), ...small, context, sampling: { temperature: 0 } };
}

/** Bytes that a process holds in memory, and its child processes' ids. Linux only. */
export function residentBytes(pid: number): number {
  const kibibytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kibibytes) * 1024;
}

export function childPids(pid: number): number[] {
  const file = `/proc/${pid}/task/${pid}/children`;
  if (!existsSync(file)) throw new Error("memory is measured through /proc, which this system does not have");
  return readFileSync(file, "utf8").trim().split(" ").filter(Boolean).map(Number);
}

/** Settings in the environment would change what is measured. */
function withoutSettings(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SHOULDERS_")));
}

function collectOutput(child: ChildProcess): () => string {
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (part: string) => (text += part));
  return () => text;
}

async function waitFor(
  child: ChildProcess,
  find: () => Promise<string | null>,
  release: () => void,
): Promise<string> {
  const startMs = performance.now();
  while (
    child.exitCode === null &&
    child.signalCode === null &&
    performance.now() - startMs < startTimeoutMs
  ) {
    const found = await find();
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  child.kill();
  release();
  throw new Error(`${child.spawnfile} did not start (exit code ${child.exitCode})`);
}

function running(
  child: ChildProcess,
  url: string,
  output: () => string,
  release: () => void,
): RunningProcess {
  return {
    url,
    pid: child.pid!,
    output,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, "exit");
        child.kill("SIGTERM");
        const killer = setTimeout(() => child.kill("SIGKILL"), 15_000);
        await exited;
        clearTimeout(killer);
      }
      release();
    },
  };
}
