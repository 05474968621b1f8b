import { cpus } from "node:os";
import { argv, cpuUsage } from "node:process";
import { pathToFileURL } from "node:url";
import { fuseDynamic } from "../src/strategies/dynamic.js";
import { createKernel, type KernelName } from "../src/fusion/kernel/kernel.js";
import type { LogitsRows, Plausibility, SolverName, WeightBounds } from "../src/fusion/types.js";
import { median } from "./statistics.js";
import { plainGrid } from "./support/plain-grid.js";
import { makeRows, rowShapes, type RowShape } from "./support/rows.js";

/** One line of the table: from rows to fused row, everything included. */
export interface SolveTiming {
  vocabularySize: number;
  numExperts: number;
  rows: RowShape;
  method: string;
  medianMs: number;
  fastestMs: number;
  /** Median time on a processor: what the median would be if nobody else wanted one. */
  processorMs: number;
  /** Passes that the solver made, all experts together. */
  evaluations: number;
  /** Median of the plain JavaScript grid on the same rows in the same run, divided by this median. */
  timesFaster: number;
}

/** Different rows, so that no method has one case's luck. */
const numRowSets = 5;
const minRepeats = 10;
const budgetMs = 400;

/** Times every solver and kernel, and the plain JavaScript grid, on the same rows. */
export function measureSolve(vocabularySizes = [980, 151_936], expertCounts = [1, 4]): SolveTiming[] {
  const timings: SolveTiming[] = [];
  for (const vocabularySize of vocabularySizes)
    for (const numExperts of expertCounts)
      for (const rows of Object.keys(rowShapes) as RowShape[])
        timings.push(...measureCase(rows, vocabularySize, numExperts));
  return timings;
}

function measureCase(shape: RowShape, vocabularySize: number, numExperts: number): SolveTiming[] {
  const sets = Array.from({ length: numRowSets }, (_, k) =>
    makeRows(shape, vocabularySize, numExperts, k + 1),
  );
  const bounds = Array.from({ length: numExperts }, (): WeightBounds => [0, 2]);
  const plain = timeOver(sets, (rows) => void plainGrid(rows), 3);
  const timing = (method: string, times: Times, evaluations: number): SolveTiming => {
    const timesFaster = plain.medianMs / times.medianMs;
    return { vocabularySize, numExperts, rows: shape, method, ...times, evaluations, timesFaster };
  };
  const timings = [timing("plain JavaScript grid", plain, 21 * numExperts)];
  for (const name of ["simd", "reference"] satisfies KernelName[]) {
    const kernel = createKernel(name, { vocabularySize, numExperts });
    const measure = (method: string, solver: SolverName, plausibility: Plausibility | null) => {
      let [evaluations, numSolves] = [0, 0];
      const free = bounds.map(() => Infinity);
      const times = timeOver(sets, (rows) => {
        const fusion = fuseDynamic(kernel, rows, { solver, bounds, plausibility }, free);
        evaluations += fusion.evaluations;
        numSolves++;
      });
      timings.push(timing(`${name} ${method}`, times, evaluations / numSolves));
    };
    for (const solver of ["exact", "grid"] satisfies SolverName[]) measure(solver, solver, null);
    measure("exact, over the experts' sets", "exact", { ratio: 0.1, of: "expert" });
  }
  return timings;
}

type Times = Pick<SolveTiming, "medianMs" | "fastestMs" | "processorMs">;

function timeOver(sets: readonly LogitsRows[], run: (rows: LogitsRows) => void, minTimes = 1): Times {
  const [times, processorTimes]: [number[], number[]] = [[], []];
  const begin = performance.now();
  // The first runs warm up the compilers; they count where one run takes longer than the budget.
  for (let k = 0; k < 2 * minRepeats && performance.now() - begin < budgetMs; k++)
    run(sets[k % sets.length]!);
  const start = performance.now();
  for (let k = 0; times.length < minTimes || performance.now() - start < budgetMs; k++) {
    const before = performance.now();
    const usage = cpuUsage();
    run(sets[k % sets.length]!);
    const { user, system } = cpuUsage(usage);
    times.push(performance.now() - before);
    processorTimes.push((user + system) / 1000);
  }
  return {
    medianMs: median(times),
    fastestMs: Math.min(...times),
    processorMs: median(processorTimes),
  };
}

/** The table as text, with hardware and workload. */
export function formatSolve(timings: readonly SolveTiming[]): string {
  const processors = cpus();
  const lines = [
    `${processors.length} × ${processors[0]?.model ?? "unknown processor"}, Node ${process.version}`,
    `Rows to fused row, one row a time, bounds [0, 2], ${numRowSets} sets of rows in turn, median, fastest, and median time on a processor.`,
    ...Object.entries(rowShapes).map(([name, text]) => `${name}: ${text}`),
    "",
    "| V | experts | rows | method | median ms | fastest ms | processor ms | passes | times faster than plain grid |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const one of timings)
    lines.push(
      `| ${[
        one.vocabularySize,
        one.numExperts,
        one.rows,
        one.method,
        one.medianMs.toFixed(3),
        one.fastestMs.toFixed(3),
        one.processorMs.toFixed(3),
        one.evaluations.toFixed(1),
        one.timesFaster.toFixed(1),
      ].join(" | ")} |`,
    );
  return lines.join("\n");
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) console.log(formatSolve(measureSolve()));
