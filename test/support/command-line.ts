import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { root } from "./real-engine.js";

/** The compiled command line (`npm test` builds first), as a shell would run it. */

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string;
  environment?: Record<string, string>;
  /** Most memory that the process, and each that it starts, may ask the kernel for. Default: any. */
  memoryKilobytes?: number;
}

const starterConfigs = "test/data/starter/fusion-configs";

/**
 * A child whose settings come from `environment` alone, not from that of the test run. Unless it says otherwise it
 * has the starter models, which never change.
 */
export function start(args: readonly string[], options: RunOptions = {}): ChildProcess {
  const { environment = {}, memoryKilobytes = "unlimited" } = options;
  const clean = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("SHOULDERS_") && !/^(NO|FORCE)_COLOR$/.test(name),
  );
  const limited = `ulimit -d ${memoryKilobytes} && exec "$0" "$@"`;
  return spawn("sh", ["-c", limited, process.execPath, "dist/main.js", ...args], {
    cwd: root,
    env: {
      ...Object.fromEntries(clean),
      SHOULDERS_FUSION_CONFIGS: starterConfigs,
      // Not in the program's own folder.
      SHOULDERS_STATE_DIR: path.join(process.env["SHOULDERS_CACHE_DIR"] ?? tmpdir(), "state"),
      // Whatever drivers this machine has.
      SHOULDERS_BACKEND: "cpu",
      ...environment,
    },
  });
}

export async function run(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = start(args, options);
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  child.stdin?.end(options.input ?? "");
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** Resolves with everything printed so far once standard output holds `text`. */
export function untilPrinted(child: ChildProcess, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      printed += chunk;
      if (printed.includes(text)) resolve(printed);
    });
    child.once("exit", (code) => reject(new Error(`ended with ${code}, having printed: ${printed}`)));
  });
}
