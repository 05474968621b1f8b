import { parentPort, workerData } from "node:worker_threads";
import { type DynamicRowSettings, fuseDynamic } from "../../src/strategies/dynamic.js";
import { createKernel } from "../../src/fusion/kernel/kernel.js";

/** What a worker of the pool is given at its start. */
export interface FuseWorkerData {
  vocabularySize: number;
  settings: DynamicRowSettings;
  /** A sequence each: rows [V] of base, reference and expert, and room for the fused row. */
  sequences: SharedArrayBuffer[];
}

const { vocabularySize, settings, sequences } = workerData as FuseWorkerData;
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
  const { row, ...fusion } = fuseDynamic(kernel, { base, reference, experts: [expert] }, settings, [
    Infinity,
  ]);
  to.set(row.logits);
  const tops = [row.top(1), kernel.top("base", 1)];
  parentPort?.postMessage({ sequence, fusion, logNormalizer: row.logNormalizer, tops });
});
parentPort?.postMessage("ready");
