import { parentPort, workerData } from "node:worker_threads";
import { fuseRows } from "../../src/fusion/fuse-rows.js";
import { createKernel } from "../../src/fusion/kernel/kernel.js";
import type { Strategy } from "../../src/fusion/types.js";

/** What a worker of the pool is given at its start. */
export interface FuseWorkerData {
  vocabularySize: number;
  strategy: Strategy;
  /** A sequence each: rows [V] of base, reference and expert, and room for the fused row. */
  sequences: SharedArrayBuffer[];
}

const { vocabularySize, strategy, sequences } = workerData as FuseWorkerData;
const kernel = createKernel("simd", { vocabularySize, numExperts: 1 });
const rows = sequences.map((buffer) =>
  [0, 1, 2, 3].map((row) => new Float32Array(buffer, 4 * vocabularySize * row, vocabularySize)),
);

/** Fuses the rows of the sequence whose index comes, and says so with what a token's record is made of. */
parentPort?.on("message", (sequence: number) => {
  const [base, reference, expert, to] = rows[sequence] as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const { row, ...fusion } = fuseRows(kernel, { base, reference, experts: [expert] }, strategy);
  to.set(row.logits);
  const tops = [kernel.top("fused", 1), kernel.top("base", 1)];
  parentPort?.postMessage({ sequence, fusion, logNormalizer: row.logNormalizer, tops });
});
parentPort?.postMessage("ready");
