import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { type DynamicRowSettings, fuseDynamic } from "../src/strategies/dynamic.js";
import { createKernel } from "../src/fusion/kernel/kernel.js";
import type { LogitsRows } from "../src/fusion/types.js";
import { vocabularySize as familyVocabularySize } from "./family.js";
import type { PartResult } from "./report.js";
import { median } from "./statistics.js";
import type { FuseWorkerData } from "./support/fuse-worker.js";
import { makeRows } from "./support/rows.js";

const numSequences = 8;
const budgetMs = 4_000;
const settings: DynamicRowSettings = { solver: "exact", bounds: [[0, 2]], plausibility: null };

/**
 * Whether a pool of worker threads would fuse the rows of a step sooner than the engine's thread does by itself. The
 * engine has no pool: docs/decisions/03-one-thread-fuses.md says why, by these figures.
 */
export async function benchFusePool(): Promise<PartResult> {
  const rows: (string | number)[][] = [];
  for (const vocabularySize of [980, familyVocabularySize])
    for (const numWorkers of [1, 2, 4]) {
      const { inTurn, pooled } = await measurePool(vocabularySize, numWorkers);
      rows.push([
        vocabularySize,
        numWorkers,
        median(inTurn),
        Math.min(...inTurn),
        median(pooled),
        Math.min(...pooled),
      ]);
    }
  const table = {
    title: `The rows of ${numSequences} sequences, fused in turn and by a pool of worker threads, ms`,
    workload: "peaked rows, base + reference + 1 expert, exact solve; in turns in the same run",
    head: ["V", "workers", "in turn", "fastest", "pool", "fastest"],
    rows,
  };
  return { values: {}, tables: [table] };
}

async function measurePool(
  vocabularySize: number,
  numWorkers: number,
): Promise<{ inTurn: number[]; pooled: number[] }> {
  const sets = Array.from({ length: numSequences }, (_, k) => makeRows("peaked", vocabularySize, 1, k + 1));
  const kernel = createKernel("simd", { vocabularySize, numExperts: 1 });
  const fuseInTurn = () => {
    for (const rows of sets) {
      fuseDynamic(kernel, rows, settings, [Infinity]).row.top(1);
      kernel.top("base", 1);
    }
  };
  const sequences = sets.map(() => new SharedArrayBuffer(4 * 4 * vocabularySize));
  const workerData: FuseWorkerData = { vocabularySize, settings, sequences };
  // A worker does not take over the loader that reads TypeScript.
  const entry = new URL("./support/fuse-worker.ts", import.meta.url).href;
  const load = `import("tsx/esm/api").then(({ tsImport }) => tsImport("${entry}", "${entry}"))`;
  const workers = Array.from({ length: numWorkers }, () => new Worker(load, { eval: true, workerData }));
  await Promise.all(workers.map((worker) => once(worker, "message")));

  const [inTurn, pooled]: [number[], number[]] = [[], []];
  const startMs = performance.now();
  for (let round = 0; round < 3 || performance.now() - startMs < budgetMs; round++) {
    const begin = performance.now();
    fuseInTurn();
    const middle = performance.now();
    await fuseByPool(workers, sets, sequences);
    // The first rounds warm up the compilers.
    if (round < 2) continue;
    inTurn.push(middle - begin);
    pooled.push(performance.now() - middle);
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  return { inTurn, pooled };
}

/** Two sequences wait at each worker, so that none is idle while the next rows are copied. */
function fuseByPool(
  workers: readonly Worker[],
  sets: readonly LogitsRows[],
  sequences: readonly SharedArrayBuffer[],
): Promise<void> {
  return new Promise((resolve) => {
    let [numGiven, numDone] = [0, 0];
    const give = (worker: Worker) => {
      const [rows, buffer] = [sets[numGiven], sequences[numGiven]];
      if (!rows || !buffer) return;
      const { base, reference, experts } = rows;
      [base, reference as Float32Array, experts[0] as Float32Array].forEach((row, index) =>
        new Float32Array(buffer, 4 * row.length * index, row.length).set(row),
      );
      worker.postMessage(numGiven++);
    };
    for (const worker of workers) {
      worker.removeAllListeners("message");
      worker.on("message", () => {
        give(worker);
        if (++numDone === sets.length) resolve();
      });
    }
    for (let ahead = 0; ahead < 2; ahead++) workers.forEach(give);
  });
}
