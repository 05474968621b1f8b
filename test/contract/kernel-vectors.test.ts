import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fuseRows } from "../support/fuse-rows.js";
import { createKernel, kernelNames } from "../../src/fusion/kernel/kernel.js";
import type { Divergence, LogitsRows, SolverName, WeightBounds } from "../../src/fusion/types.js";

interface Solution {
  objective: number;
  forward: number;
  reverse: number;
}

interface VectorCase {
  name: string;
  base: number[];
  reference: number[];
  experts: number[][];
  bounds: [number, number];
  targets: Divergence[];
  exact: Solution;
  grid: Solution;
  fusedTop: { token: number; logprob: number }[];
}

const cases = JSON.parse(
  readFileSync(new URL("../vectors/solver.json", import.meta.url), "utf8"),
) as VectorCase[];

/** Relative and absolute tolerance. */
const tolerances = {
  reference: { target: [1e-6, 1e-9], exact: [1e-4, 1e-7], grid: [1e-5, 1e-9], logprob: [1e-4, 1e-3] },
  simd: { target: [1e-4, 1e-6], exact: [1e-3, 1e-6], grid: [1e-3, 1e-6], logprob: [1e-4, 1e-3] },
} as const;

describe.each(kernelNames)("solver vectors, %s kernel", (name) => {
  const kernel = createKernel(name, { vocabularySize: 2048, numExperts: 4 });
  const tolerance = tolerances[name];
  const solve = (vector: VectorCase, solver: SolverName) => {
    const rows: LogitsRows = {
      base: new Float32Array(vector.base),
      reference: new Float32Array(vector.reference),
      experts: vector.experts.map((row) => new Float32Array(row)),
    };
    const bounds = vector.experts.map((): WeightBounds => vector.bounds);
    return fuseRows(kernel, rows, { type: "dynamic", solver, bounds, plausibility: null });
  };
  const allowed = (expected: number, [relative, absolute]: readonly [number, number]) =>
    Math.abs(expected) * relative + absolute;

  it.each(cases)("$name", (vector) => {
    const exact = solve(vector, "exact");
    vector.targets.forEach((target, t) => {
      for (const key of ["forward", "reverse"] as const)
        expect(Math.abs(exact.targets[t]![key] - target[key])).toBeLessThanOrEqual(
          allowed(target[key], tolerance.target),
        );
    });
    expect(exact.objective).toBeLessThanOrEqual(
      vector.exact.objective + allowed(vector.exact.objective, tolerance.exact),
    );
    for (const { token, logprob } of vector.fusedTop) {
      const fused = exact.row.logits[token]! - exact.row.logNormalizer;
      expect(Math.abs(fused - logprob)).toBeLessThanOrEqual(allowed(logprob, tolerance.logprob));
    }
    // The fused row above lives in the kernel's memory until here.
    const grid = solve(vector, "grid");
    expect(Math.abs(grid.objective - vector.grid.objective)).toBeLessThanOrEqual(
      allowed(vector.grid.objective, tolerance.grid),
    );
  });
});
