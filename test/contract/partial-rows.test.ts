import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKernel, kernelNames } from "../../src/fusion/kernel/kernel.js";
import type { Fusion, LogitsRows, Plausibility } from "../../src/fusion/types.js";
import { fillRow } from "../../src/rows/partial-row.js";
import { fuseRows, type RowStrategy } from "../support/fuse-rows.js";
import { numRuns } from "../support/num-runs.js";
import { anyRows, makeRows } from "../support/rows.js";

const softmax = ({ row }: Fusion) => Array.from(row.logits, (logit) => Math.exp(logit - row.logNormalizer));

const totalVariation = (p: readonly number[], q: readonly number[]) =>
  p.reduce((sum, value, i) => sum + Math.abs(value - q[i]!), 0) / 2;

const logSumExp = (row: Float32Array) => {
  const best = Math.max(...row);
  return best + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - best), 0));
};

/** The same rows, of whose base only the best `numTop` entries and those of `asked` are known. */
function withPartialBase(rows: LogitsRows, numTop: number, asked: Iterable<number> = []): LogitsRows {
  const length = Math.min(rows.base.length, ...rows.experts.map((row) => row.length));
  const whole = rows.base.subarray(0, length);
  const best = [...whole.keys()].sort((a, b) => whole[b]! - whole[a]!).slice(0, numTop);
  const known = new Map([...best, ...asked].map((token) => [token, whole[token]!]));
  const base = new Float32Array(length);
  const rest = fillRow(base, { known, cap: whole[best.at(-1)!]!, logSum: logSumExp(whole) });
  return { ...rows, base, rest };
}

/** Tokens that an expert gives at least so much of its best one's probability. */
const plausible = (row: Float32Array, ratio: number) => {
  const floor = Math.max(...row) + Math.log(ratio) - 1e-3;
  return [...row.keys()].filter((token) => row[token]! >= floor);
};

const anySet = fc.constantFrom<Plausibility | null>(
  null,
  { ratio: 0.1, of: "joint" },
  { ratio: 0.1, of: "expert" },
  { ratio: 0.02, of: "gated" },
);

describe.each(kernelNames)("%s kernel on rows of which not all is known", (name) => {
  const kernel = createKernel(name, { vocabularySize: 512, numExperts: 3 });
  /** Rows live in the kernel: what is kept of a fusion is copied. */
  const law = (rows: LogitsRows, strategy: RowStrategy, shares?: number[]) => {
    const fusion = fuseRows(kernel, rows, strategy, shares ? { shares } : {});
    return { p: softmax(fusion), unknown: fusion.unknown, weights: fusion.weights, nats: fusion.nats };
  };

  it("never departs from the whole row's law by more than it says", () => {
    fc.assert(
      fc.property(
        anyRows,
        anySet,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: -1, max: 2, noNaN: true }),
        (rows, plausibility, share, weight) => {
          const numTop = 1 + Math.floor(share * (rows.base.length - 1));
          const weights = rows.experts.map((_, t) => weight / (t + 1));
          const strategy: RowStrategy = { type: "static", weights, plausibility };
          const whole = law(rows, strategy);
          const partial = law(withPartialBase(rows, numTop), strategy);
          expect(whole.unknown).toBe(0);
          expect(totalVariation(partial.p, whole.p)).toBeLessThanOrEqual(partial.unknown + 2e-5);
        },
      ),
      { numRuns: numRuns(500) },
    );
  });

  it("gives the whole row's law where what experts find plausible is known, and the last entry is not plausible", () => {
    let numCertified = 0;
    fc.assert(
      fc.property(anyRows, anySet, fc.integer({ min: 1, max: 60 }), (rows, plausibility, numTop) => {
        if (plausibility === null) return;
        const asked = rows.experts.flatMap((row) => plausible(row, plausibility.ratio));
        const some = withPartialBase(rows, numTop, asked);
        const best = Math.max(...rows.base);
        const isCertain =
          plausibility.of === "expert" || (some.rest?.cap ?? -Infinity) < best + Math.log(plausibility.ratio);
        if (!isCertain) return;
        numCertified++;
        const solved: RowStrategy = {
          type: "dynamic",
          solver: "exact",
          bounds: rows.experts.map(() => [0, 2]),
          plausibility,
        };
        const fixed: RowStrategy = { type: "static", weights: rows.experts.map(() => 1), plausibility };
        for (const strategy of [solved, fixed]) {
          const [whole, partial] = [law(rows, strategy), law(some, strategy)];
          expect(partial.unknown).toBe(0);
          expect(totalVariation(partial.p, whole.p)).toBeLessThanOrEqual(1e-4);
          expect(Math.abs(partial.nats - whole.nats)).toBeLessThanOrEqual(1e-3 * (1 + whole.nats));
        }
      }),
      { numRuns: numRuns(500) },
    );
    expect(numCertified).toBeGreaterThan(50);
  });

  it("bounds a mixture in which the base has a share by that share of what is not known", () => {
    fc.assert(
      fc.property(anyRows, fc.integer({ min: 1, max: 40 }), (rows, numTop) => {
        const components = rows.experts.map(() => ({
          kind: "fused" as const,
          weight: 1,
          bounds: [0, 2] as const,
          plausibility: { ratio: 0.1, of: "gated" as const },
        }));
        const strategy: RowStrategy = { type: "mixture", components };
        const shares = [0.3, ...rows.experts.map(() => 0.7 / rows.experts.length)];
        const whole = law(rows, strategy, shares);
        const partial = law(withPartialBase(rows, numTop), strategy, shares);
        expect(totalVariation(partial.p, whole.p)).toBeLessThanOrEqual(partial.unknown + 2e-5);
      }),
      { numRuns: numRuns(300) },
    );
  });

  it("lets an expert that speaks alone speak, whatever is known of the base", () => {
    const rows = makeRows({
      seed: 3,
      length: 200,
      numExperts: 1,
      spread: 2,
      shift: 1,
      numPeaks: 1,
      offset: 0,
    });
    const alone = (plausibility: Plausibility | null): RowStrategy => ({
      type: "mixture",
      components: [{ kind: "alone", weight: 1, bounds: [0, 2], plausibility }],
    });
    const some = withPartialBase(rows, 3);
    const shares = [0, 1];
    const [whole, partial] = [law(rows, alone(null), shares), law(some, alone(null), shares)];
    expect(partial.unknown).toBe(0);
    expect(totalVariation(partial.p, whole.p)).toBeLessThanOrEqual(1e-5);
    expect(law(some, alone({ ratio: 1e-9, of: "joint" }), shares).unknown).toBe(1);
  });

  it("is sure of an expert's only plausible token, of which the base has told nothing", () => {
    const rows = makeRows({
      seed: 5,
      length: 100,
      numExperts: 1,
      spread: 1,
      shift: 1,
      numPeaks: 0,
      offset: 0,
    });
    const experts = [rows.experts[0]!.map((logit, token) => (token === 42 ? 40 : logit))];
    const best = rows.base.indexOf(Math.max(...rows.base));
    expect(best).not.toBe(42);
    const some = withPartialBase({ ...rows, experts }, 1);
    const { p, unknown } = law(some, {
      type: "static",
      weights: [1],
      plausibility: { ratio: 0.1, of: "expert" },
    });
    expect(unknown).toBe(0);
    expect(p[42]).toBeCloseTo(1, 6);
  });
});

it("a row is filled so that all of it adds up", () => {
  const row = new Float32Array(8);
  const rest = fillRow(row, {
    known: new Map([
      [2, Math.log(0.5)],
      [5, Math.log(0.25)],
      [9, Math.log(0.05)],
    ]),
    cap: Math.log(0.2),
    logSum: 0,
  });
  expect([...(rest?.known ?? [])]).toEqual([2, 5]);
  expect(row.reduce((sum, logit) => sum + Math.exp(logit), 0)).toBeCloseTo(1, 5);
  expect(
    fillRow(new Float32Array(2), {
      known: new Map([
        [0, 1],
        [1, 2],
      ]),
      cap: 1,
      logSum: 3,
    }),
  ).toBeNull();
});
