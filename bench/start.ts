import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { PartResult } from "./report.js";
import { startShoulders } from "./server-process.js";
import { median } from "./statistics.js";

const numRounds = 5;

/** ms from the start of a process with the shipped family to the first time that it is ready. */
async function startMs(cacheFolder: string, flags: readonly string[]): Promise<number> {
  const beganMs = performance.now();
  const server = await startShoulders("shipped", flags, { SHOULDERS_CACHE_DIR: cacheFolder });
  const ms = performance.now() - beganMs;
  await server[Symbol.asyncDispose]();
  return ms;
}

/**
 * The first start with an empty cache folder, the second, and one with `--threads 1` that measures nothing, as one
 * before it has: in turns, so that what else the machine does hits all of them.
 */
export async function benchStart(): Promise<PartResult> {
  const folder = mkdtempSync(path.join(tmpdir(), "shoulders-bench-start-"));
  const times = { first: [] as number[], second: [] as number[], bare: [] as number[] };
  try {
    const bareFolder = path.join(folder, "bare");
    await startMs(bareFolder, ["--threads", "1"]);
    for (let round = 0; round < numRounds; round++) {
      const cacheFolder = path.join(folder, String(round));
      times.bare.push(await startMs(bareFolder, ["--threads", "1"]));
      times.first.push(await startMs(cacheFolder, []));
      times.second.push(await startMs(cacheFolder, []));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  const [bare, first, second] = [median(times.bare), median(times.first), median(times.second)];
  return {
    values: { start_ratio: first / bare, start_ratio_second: second / bare },
    tables: [
      {
        title: "From the start of the process to ready, ms",
        workload: `the shipped family and all its configs, median of ${numRounds} in turns`,
        head: ["start", "ms"],
        rows: [
          ["first: nothing is known", first],
          ["second", second],
          ["--threads 1, nothing is measured", bare],
        ],
      },
    ],
  };
}
