import { vocabularySize } from "./family.js";
import type { PartResult } from "./report.js";
import { measureSolve, type SolveTiming } from "./solve.js";
import { rowShapes } from "./support/rows.js";

/** The solve by itself, at both sizes of vocabulary; the figures are of the exact solver in SIMD on peaked rows. */
export function benchSolve(): PartResult {
  const timings = measureSolve([vocabularySize], [1, 4]);
  const find = (numExperts: number): SolveTiming =>
    timings.find(
      (one) => one.numExperts === numExperts && one.rows === "peaked" && one.method === "simd exact",
    )!;
  return {
    values: {
      solve_ms_1: find(1).medianMs,
      solve_ms_4: find(4).medianMs,
      solve_vs_grid: find(1).timesFaster,
    },
    tables: [solveTable(timings)],
  };
}

/** The sizes without a target. */
export function benchSmallSolve(): PartResult {
  return { values: {}, tables: [solveTable(measureSolve([980], [1, 4]))] };
}

function solveTable(timings: readonly SolveTiming[]) {
  return {
    title: `From rows to the fused row, V = ${timings[0]?.vocabularySize}, ms`,
    workload:
      "one row a time, bounds [0, 2], nothing left out; " +
      Object.entries(rowShapes)
        .map(([name, text]) => `${name}: ${text}`)
        .join("; "),
    head: [
      "experts",
      "rows",
      "method",
      "median",
      "fastest",
      "on a processor",
      "passes",
      "times faster than the plain grid",
    ],
    rows: timings.map((one) => [
      one.numExperts,
      one.rows,
      one.method,
      one.medianMs,
      one.fastestMs,
      one.processorMs,
      one.evaluations,
      one.timesFaster,
    ]),
  };
}
