import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKernel } from "../../src/fusion/kernel/kernel.js";
import { meanTarget, objective } from "../../src/fusion/objective.js";
import { solveExact } from "../../src/fusion/solvers/exact.js";
import { solveGrid } from "../../src/fusion/solvers/grid.js";
import { solvers } from "../../src/fusion/solvers/solver.js";
import type { AxisPoint, Divergence, WeightBounds } from "../../src/fusion/types.js";
import { numRuns } from "../support/num-runs.js";
import { anyRows } from "../support/rows.js";

/** An axis over a few tokens, exactly: probabilities p and shifts d. */
function makeAxis(p: readonly number[], shifts: readonly number[]): (alpha: number) => AxisPoint {
  const centre = p.reduce((sum, pi, i) => sum + pi * shifts[i]!, 0);
  const d = shifts.map((shift) => shift - centre);
  return (alpha) => {
    const best = Math.max(...d.map((di) => alpha * di));
    const weights = d.map((di, i) => p[i]! * Math.exp(alpha * di - best));
    const sum = weights.reduce((a, b) => a + b);
    const mean = weights.reduce((total, w, i) => total + w * d[i]!, 0) / sum;
    const variance = weights.reduce((total, w, i) => total + w * (d[i]! - mean) ** 2, 0) / sum;
    const reverse = best + Math.log(sum);
    return {
      forward: alpha * mean - reverse,
      reverse,
      forwardSlope: alpha * variance,
      reverseSlope: mean,
    };
  };
}

const bothSides: WeightBounds = [-3, 3];
const axis = makeAxis([0.6, 0.3, 0.1], [0, 1, -2]);

describe.each(Object.entries(solvers))("%s solver", (name, solve) => {
  it("finds the weight whose divergences are asked for", () => {
    for (const alpha of [0.7, 1.5]) {
      const solution = solve(axis, [0, 2], axis(alpha));
      expect(Math.abs(solution.alpha - alpha)).toBeLessThan(1e-4);
      expect(solution.point).toEqual(axis(solution.alpha));
    }
  });

  it("looks at both sides of 0", () => {
    expect(Math.abs(solve(axis, bothSides, axis(-1.2)).alpha + 1.2)).toBeLessThan(1e-4);
    expect(Math.abs(solve(axis, [-3, -1], axis(-1.2)).alpha + 1.2)).toBeLessThan(1e-4);
  });

  it("stays within bounds, at the end that is nearer to targets out of reach", () => {
    const far = { forward: 50, reverse: 50 };
    expect(solve(axis, [0, 1.25], far).alpha).toBe(1.25);
    expect(solve(axis, [0.5, 0.5], far).alpha).toBe(0.5);
    expect(solve(axis, [0.5, 2], { forward: 0, reverse: 0 }).alpha).toBe(0.5);
    expect(solve(axis, [-2, -0.5], { forward: 0, reverse: 0 }).alpha).toBe(-0.5);
  });

  it("keeps the smallest weight where none matters", () => {
    const still = makeAxis([0.5, 0.5], [3, 3]);
    for (const bounds of [
      [0, 2],
      [-1, 1],
    ] as const)
      // prettier-ignore
      expect(Math.abs(solve(still, bounds, { forward: 0.1, reverse: 0.2 }).alpha)).toBeLessThan(1e-9);
  });

  it("counts its looks at the axis", () => {
    let looks = 0;
    const counted = (alpha: number) => (looks++, axis(alpha));
    expect(solve(counted, [0, 2], { forward: 0.3, reverse: 0.1 }).evaluations).toBe(looks);
    expect(looks).toBeLessThanOrEqual(name === "grid" ? 21 : 16);
  });
});

describe("grid solver", () => {
  it("looks at 0, 0.1, …, and at a bound that is no multiple of the step", () => {
    const seen: number[] = [];
    solveGrid((alpha) => (seen.push(alpha), axis(alpha)), [0, 0.25], { forward: 1, reverse: 1 });
    expect(seen).toEqual([0, 0.1, 0.2, 0.25]);
    expect(solveGrid(axis, [0, 2], { forward: 1, reverse: 1 }).evaluations).toBe(21);
  });
});

describe("exact solver", () => {
  /** Least J of a scan at 2,001 places. */
  const scan = (of: (alpha: number) => AxisPoint, [low, high]: WeightBounds, target: Divergence) => {
    let least = Infinity;
    for (let k = 0; k <= 2000; k++)
      least = Math.min(least, objective(of(low + ((high - low) * k) / 2000), [target]));
    return least;
  };
  const isAsGood = (of: (alpha: number) => AxisPoint, bounds: WeightBounds, target: Divergence) => {
    const { alpha, point } = solveExact(of, bounds, target);
    expect(alpha).toBeGreaterThanOrEqual(bounds[0]);
    expect(alpha).toBeLessThanOrEqual(bounds[1]);
    expect(objective(point, [target])).toBeLessThanOrEqual(scan(of, bounds, target) * (1 + 1e-3) + 1e-7);
  };
  const weight = fc.double({ min: -3, max: 3, noNaN: true });
  const boundsArb = fc.tuple(weight, weight).map(([a, b]): WeightBounds => (a < b ? [a, b] : [b, a]));
  const divergence = fc.double({ min: 0, max: 40, noNaN: true });

  it("is never worse than a dense scan: few tokens, sharp turns", () => {
    const token = fc.record({
      log: fc.double({ min: -40, max: 0, noNaN: true }),
      shift: fc.double({ min: -60, max: 60, noNaN: true }),
    });
    fc.assert(
      fc.property(
        fc.array(token, { minLength: 2, maxLength: 6 }),
        boundsArb,
        fc.record({ forward: divergence, reverse: divergence }),
        (tokens, bounds, target) => {
          const weights = tokens.map(({ log }) => Math.exp(log));
          const sum = weights.reduce((a, b) => a + b);
          const p = weights.map((w) => w / sum);
          const shifts = tokens.map(({ shift }) => shift);
          isAsGood(makeAxis(p, shifts), bounds, target);
        },
      ),
      { numRuns: numRuns(400) },
    );
  });

  it("is never worse than a dense scan: rows and their own targets", () => {
    const kernel = createKernel("simd", { vocabularySize: 300, numExperts: 3 });
    fc.assert(
      fc.property(anyRows, boundsArb, (rows, bounds) => {
        kernel.load(rows, null);
        const target = meanTarget(kernel.targets());
        rows.experts.forEach((_, t) => {
          isAsGood((alpha) => kernel.evaluate(t, alpha), bounds, target);
        });
      }),
      { numRuns: numRuns(40) },
    );
  });
});

describe("objective", () => {
  it("depends on several targets through their mean only, up to a constant", () => {
    const targets = [{ forward: 1, reverse: 2 }, { forward: 3, reverse: 0.5 }]; // prettier-ignore
    const mean = meanTarget(targets);
    const difference = (achieved: Divergence) =>
      objective(achieved, targets) - 2 * objective(achieved, [mean]);
    expect(difference({ forward: 0.3, reverse: 4 })).toBeCloseTo(difference({ forward: 2, reverse: 2 }), 10);
    expect(meanTarget([])).toEqual({ forward: 0, reverse: 0 });
  });
});
