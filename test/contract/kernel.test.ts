import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { fuseRows, type RowStrategy as Strategy } from "../support/fuse-rows.js";
import { createKernel, kernelNames } from "../../src/fusion/kernel/kernel.js";
import { SimdKernel } from "../../src/fusion/kernel/simd.js";
import { kernelBuilds } from "../../src/fusion/kernel/wasm.js";
import type {
  Divergence,
  FusedRow,
  Fusion,
  FusionKernel,
  LogitsRows,
  Plausibility,
  TokenLogprob,
  WeightBounds,
} from "../../src/fusion/types.js";
import { numRuns } from "../support/num-runs.js";
import { anyRows, makeRows } from "../support/rows.js";

const defaults = {
  seed: 7,
  length: 203,
  numExperts: 1,
  spread: 3,
  shift: 1,
  numPeaks: 2,
  offset: 0,
};

const dynamic = (rows: LogitsRows, bounds: WeightBounds = [0, 2]): Strategy => ({
  type: "dynamic",
  solver: "exact",
  bounds: rows.experts.map(() => bounds),
  plausibility: null,
});
const fixed = (...weights: number[]): Strategy => ({ type: "static", weights, plausibility: null });

/** Probabilities of a fused row, copied out of the kernel. */
const probabilities = ({ row }: Fusion) =>
  Array.from(row.logits, (logit) => Math.exp(logit - row.logNormalizer));

function softmax(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits);
  const best = Math.max(...values);
  const weights = values.map((logit) => Math.exp(logit - best));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

function expectClose(actual: readonly number[], expected: readonly number[], absolute = 1e-6): void {
  expect(actual.length).toBe(expected.length);
  const worst = Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!)));
  expect(worst).toBeLessThanOrEqual(absolute);
}

function expectRelative(actual: number, expected: number): void {
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-6 + 1e-4 * expected);
}

const withLogit = (row: Float32Array, token: number, logit: number) =>
  row.map((value, i) => (i === token ? logit : value));

describe.each(kernelNames)("%s kernel", (name) => {
  const kernel = createKernel(name, { vocabularySize: 512, numExperts: 3 });
  const fuse = (rows: LogitsRows, strategy: Strategy) => fuseRows(kernel, rows, strategy);

  describe("special rows", () => {
    it.each([0, 7.25, -1e4])("an expert that is the reference plus %d has weight 0", (constant) => {
      const rows = makeRows(defaults);
      const expert = rows.reference!.map((logit) => logit + constant);
      const fusion = fuse({ ...rows, experts: [expert] }, dynamic(rows));
      expect(fusion.weights).toEqual([0]);
      expect(fusion.chosen).toBeNull();
      expect(fusion.targets).toEqual([{ forward: 0, reverse: 0 }]);
      expect(fusion.objective).toBe(0);
      expect(fusion.row.logits).toEqual(rows.base);
      const forced = fuse({ ...rows, experts: [expert] }, fixed(1.5));
      expectClose(probabilities(forced), softmax(rows.base));
    });

    it("gives the base's logits unchanged where all weights are 0, and without experts", () => {
      const rows = makeRows({ ...defaults, numExperts: 2 });
      const none = fuse(rows, fixed(0, 0));
      expect(none.row.logits).toEqual(rows.base);
      expect(none.divergence).toEqual({ forward: 0, reverse: 0 });
      expectClose(probabilities(none), softmax(rows.base));
      for (const strategy of [dynamic(rows), fixed()])
        expect(fuse({ ...rows, experts: [] }, strategy).row.logits).toEqual(rows.base);
      const alone = fuse(rows, { type: "base" });
      expect(alone.row.logits).toEqual(rows.base);
      expect(alone.weights).toEqual([0, 0]);
      expectClose(probabilities(alone), softmax(rows.base));
    });

    it("puts the weight at its bound where targets are out of reach", () => {
      const rows = makeRows({ ...defaults, shift: 8, spread: 0.5 });
      const base = rows.base.map((logit) => 0.1 * logit);
      const weak = { ...rows, base, experts: [rows.experts[0]!] };
      expect(fuse(weak, dynamic(weak, [0, 0.05])).weights).toEqual([0.05]);
      expect(fuse(weak, dynamic(weak, [-0.05, 0])).weights[0]).toBeGreaterThanOrEqual(-0.05);
    });

    it.each(["base", "reference", "expert"] as const)(
      "masks a token that is −Infinity in the %s's row",
      (role) => {
        const rows = makeRows(defaults);
        // The best token of the row, so that it would matter.
        const source =
          role === "base" ? rows.base : role === "reference" ? rows.reference! : rows.experts[0]!;
        const token = source.indexOf(Math.max(...source));
        const masked = {
          base: role === "base" ? withLogit(rows.base, token, -Infinity) : rows.base,
          reference: role === "reference" ? withLogit(rows.reference!, token, -Infinity) : rows.reference,
          experts: role === "expert" ? [withLogit(rows.experts[0]!, token, -Infinity)] : rows.experts,
        };
        const without = (row: Float32Array) => row.filter((_, i) => i !== token);
        const shorter = {
          base: without(rows.base),
          reference: without(rows.reference!),
          experts: rows.experts.map(without),
        };
        for (const strategy of [dynamic(rows), fixed(1), fixed(0)]) {
          const expected = fuse(shorter, strategy);
          const p = probabilities(expected);
          const fusion = fuse(masked, strategy);
          expect(fusion.row.logits[token]).toBe(-Infinity);
          expectClose(
            probabilities(fusion).filter((_, i) => i !== token),
            p,
            1e-5,
          );
          expectRelative(fusion.objective, expected.objective);
          expect(kernel.top("base", 3).map(({ token }) => token)).not.toContain(token);
        }
      },
    );

    it("does not let an expert's mask bind the base alone", () => {
      const rows = makeRows(defaults);
      const experts = [withLogit(rows.experts[0]!, 5, -Infinity)];
      expect(fuse({ ...rows, experts }, { type: "base" }).row.logits).toEqual(rows.base);
    });

    it.each([NaN, Infinity])("refuses %d in any row and names the role and the token", (bad) => {
      const rows = makeRows({ ...defaults, numExperts: 2 });
      const broken = {
        "The base's row": { ...rows, base: withLogit(rows.base, 17, bad) },
        "The reference's row": { ...rows, reference: withLogit(rows.reference!, 17, bad) },
        "The row of expert 1": { ...rows, experts: [rows.experts[0]!, withLogit(rows.experts[1]!, 17, bad)] },
      };
      for (const [role, one] of Object.entries(broken)) {
        const error = catchError(() => fuse(one, dynamic(rows)));
        expect(error.code).toBe("non_finite_logits");
        expect(error.message).toBe(`${role} holds ${bad} at token 17.`);
      }
      expect(fuse(rows, dynamic(rows)).objective).toBeGreaterThanOrEqual(0);
    });

    it("refuses rows without a finite token, of their own or together", () => {
      const rows = makeRows({ ...defaults, length: 2 });
      const none = new Float32Array(2).fill(-Infinity);
      expect(catchError(() => fuse({ ...rows, reference: none }, dynamic(rows))).message).toBe(
        "The reference's row holds no finite logit.",
      );
      const apart = {
        base: Float32Array.of(-Infinity, 1),
        reference: Float32Array.of(1, -Infinity),
        experts: [Float32Array.of(1, 1)],
      };
      expect(catchError(() => fuse(apart, dynamic(apart))).code).toBe("non_finite_logits");
    });

    it("fuses the common part of padded rows", () => {
      const rows = makeRows(defaults);
      const pad = (row: Float32Array, by: number) =>
        Float32Array.from([...row, ...Array<number>(by).fill(NaN)]);
      const expected = probabilities(fuse(rows, dynamic(rows)));
      const padded = {
        base: pad(rows.base, 9),
        reference: rows.reference,
        experts: [pad(rows.experts[0]!, 3)],
      };
      const fusion = fuse(padded, dynamic(rows));
      expect(fusion.row.logits).toHaveLength(defaults.length);
      expect(probabilities(fusion)).toEqual(expected);
    });

    it("refuses rows that do not fit", () => {
      const rows = makeRows(defaults);
      const long = new Float32Array(513);
      for (const bad of [
        { ...rows, base: new Float32Array(0) },
        { ...rows, reference: null },
        { base: long, reference: long, experts: [long] },
        { ...rows, experts: Array<Float32Array>(4).fill(rows.base) },
      ])
        expect(catchError(() => fuse(bad, dynamic(rows))).code).toBe("rows_invalid");
    });

    it("stays finite with masks such as −3.4e38 and near-certain rows", () => {
      const rows = makeRows({ ...defaults, spread: 10, shift: 10 });
      const deep = withLogit(withLogit(rows.experts[0]!, 3, -3.4e38), 4, -1e30);
      for (const strategy of [dynamic(rows), dynamic(rows, [-2, 2]), fixed(1), fixed(-1)]) {
        const fusion = fuse({ ...rows, experts: [deep] }, strategy);
        expect(Number.isFinite(fusion.objective)).toBe(true);
        expect(Number.isFinite(fusion.row.logNormalizer)).toBe(true);
      }
    });
  });

  describe("plausibility", () => {
    const rows = makeRows({ ...defaults, numExperts: 2 });
    const isPlausible = (row: Float32Array, i: number) =>
      row[i]! >= Math.max(...row) + Math.log(Math.fround(0.2)) - 1e-6;

    it.each(["joint", "expert"] as const)("leaves out the others (%s)", (of) => {
      const one = { ...rows, experts: [rows.experts[0]!] };
      const inSet = Array.from(
        rows.base,
        (_, i) => isPlausible(one.experts[0]!, i) || (of === "joint" && isPlausible(rows.base, i)),
      );
      const keep = (row: Float32Array) => row.filter((_, i) => inSet[i]);
      const small = {
        base: keep(rows.base),
        reference: keep(rows.reference!),
        experts: one.experts.map(keep),
      };
      for (const strategy of [dynamic(one), fixed(1), fixed(0)] as Exclude<
        Strategy,
        { type: "base" | "mixture" }
      >[]) {
        const expected = fuse(small, strategy);
        const p = probabilities(expected);
        const fusion = fuse(one, { ...strategy, plausibility: { ratio: 0.2, of } });
        expect(Array.from(fusion.row.logits, (logit) => logit > -Infinity)).toEqual(inSet);
        expectClose(
          probabilities(fusion).filter((_, i) => inSet[i]),
          p,
          1e-4,
        );
        expectRelative(fusion.objective, expected.objective);
      }
    });

    it("leaves out what is not plausible to the expert where it is sure, and only there (gated)", () => {
      const [row] = rows.experts as [Float32Array];
      const isIn = (kept: Float32Array, of: "joint" | "expert" | "gated") =>
        Array.from(
          fuse(
            { ...rows, experts: [kept] },
            { type: "static", weights: [1], plausibility: { ratio: 0.2, of } },
          ).row.logits,
          (logit) => logit > -Infinity,
        );
      // The best token's logit, so that its probability is just below or just above the threshold.
      const best = row.indexOf(Math.max(...row));
      const others = row.reduce((sum, logit, i) => (i === best ? sum : sum + Math.exp(logit)), 0);
      const withBest = (probability: number) =>
        row.with(best, Math.log((others * probability) / (1 - probability)));
      const [unsure, sure] = [withBest(0.949), withBest(0.951)];
      expect(isIn(unsure, "joint")).not.toEqual(isIn(unsure, "expert"));
      expect(isIn(unsure, "gated")).toEqual(isIn(unsure, "joint"));
      expect(isIn(sure, "gated")).toEqual(isIn(sure, "expert"));
      expect(isIn(sure, "gated")).not.toEqual(isIn(sure, "joint"));
    });

    it("takes the union of the sets of experts that have a weight", () => {
      const plausibility = { ratio: 0.2, of: "expert" } as const;
      const sets = rows.experts.map((row) => Array.from(row, (_, i) => isPlausible(row, i)));
      const used = (weights: number[]) =>
        Array.from(
          fuse(rows, { type: "static", weights, plausibility }).row.logits,
          (logit) => logit > -Infinity,
        );
      const union = sets[0]!.map((isIn, i) => isIn || sets[1]![i]!);
      expect(used([1, 0])).toEqual(sets[0]);
      expect(used([0, 1])).toEqual(sets[1]);
      expect(used([1, 0.5])).toEqual(union);
      expect(used([0, 0])).toEqual(union);
    });

    it("adds up shifts over the union, also that of an expert whose own set is one token", () => {
      // Each expert is sure of a token that the other finds implausible.
      const experts = rows.experts.map((row, t) => withLogit(row, 10 + t, 60 - 20 * t));
      const weights = [0.7, 0.4];
      const plausibility = { ratio: 0.1, of: "expert" } as const;
      const { row, divergence } = fuse({ ...rows, experts }, { type: "static", weights, plausibility });
      const sums = [10, 11].map((i) =>
        experts.reduce(
          (sum, expert, t) => sum + weights[t]! * (expert[i]! - rows.reference![i]!),
          rows.base[i]!,
        ),
      );
      const [expected, before] = [softmax(sums), softmax([rows.base[10]!, rows.base[11]!])];
      expectClose(
        [10, 11].map((i) => Math.exp(row.logprob(i))),
        expected,
      );
      const forward = expected.reduce((sum, p, i) => sum + (p && p * Math.log(p / before[i]!)), 0);
      expectRelative(divergence.forward, forward);
    });
  });

  it("gives the best tokens with their log-probabilities", () => {
    const rows = makeRows(defaults);
    fuse(rows, fixed(1));
    const p = softmax(rows.experts[0]!);
    const top = kernel.top({ expert: 0 }, 5);
    expect(top.map(({ token }) => p[token]!)).toEqual([...p].sort((a, b) => b - a).slice(0, 5));
    for (const { token, logprob } of top) expect(logprob).toBeCloseTo(Math.log(p[token]!), 5);
    expect(kernel.fuse(null).row.top(1000)).toHaveLength(defaults.length);
  });

  it("adding a constant to a row changes nothing", () => {
    fc.assert(
      fc.property(anyRows, fc.constantFrom(-30, 0.5, 64), (rows, constant) => {
        const moved = {
          base: rows.base.map((logit) => logit + constant),
          reference: rows.reference!.map((logit) => logit - constant),
          experts: rows.experts.map((row) => row.map((logit) => logit + 2 * constant)),
        };
        const before = fuse(rows, dynamic(rows));
        const after = fuse(moved, dynamic(rows));
        // Moving rounds the logits to the next float32: that is all.
        expect(after.objective).toBeLessThanOrEqual(before.objective * 1.01 + 1e-4);
        expect(after.objective).toBeGreaterThanOrEqual(before.objective * 0.99 - 1e-4);
      }),
      { numRuns: numRuns(40) },
    );
  });

  it("does not depend on the order of the vocabulary", () => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        const turned = (row: Float32Array) => row.toReversed();
        const before = fuse(rows, dynamic(rows));
        const after = fuse(
          { base: turned(rows.base), reference: turned(rows.reference!), experts: rows.experts.map(turned) },
          dynamic(rows),
        );
        expectRelative(after.objective, before.objective);
      }),
      { numRuns: numRuns(40) },
    );
  });
});

/**
 * The stated agreement of the two kernels: divergences within 1e-4 relative and 2e-5 nats absolute, log-
 * probabilities of fused tokens within 1e-4 · (1 + |logprob|); logits within ±100 and offsets within ±1e4.
 */
describe.each(kernelNames)("%s kernel, the only plausible token", (name) => {
  const kernel = createKernel(name, { vocabularySize: 512, numExperts: 3 });
  const sharp = (rows: LogitsRows, by: number): LogitsRows => ({
    ...rows,
    experts: rows.experts.map((row) => row.map((logit) => logit * by)),
  });

  it.each(["expert", "gated"] as const)(
    "of an expert (%s) is the fused law, whatever else there is",
    (of) => {
      let numFound = 0;
      fc.assert(
        fc.property(
          anyRows,
          fc.constantFrom(0.02, 0.1, 0.5),
          fc.constantFrom(1, 4),
          fc.double({ min: -2, max: 2, noNaN: true }),
          (plain, ratio, by, weight) => {
            const rows = sharp(plain, by);
            const tokens = rows.experts.map((row) => kernel.soleToken(row, { ratio, of }));
            const [token] = tokens;
            if (token == null || tokens.some((other) => other !== token)) return;
            numFound++;
            const plausibility = { ratio, of };
            for (const strategy of [
              { ...dynamic(rows), plausibility },
              { ...fixed(...rows.experts.map(() => weight)), plausibility },
            ]) {
              const { row } = fuseRows(kernel, rows, strategy);
              const top = row.top(3);
              expect(top.map((best) => best.token)).toEqual([token]);
              expect(top[0]!.logprob).toBeCloseTo(0, 5);
            }
          },
        ),
        { numRuns: numRuns(300) },
      );
      expect(numFound).toBeGreaterThan(20);
    },
  );

  it("is none where the base has a say, where there are two, or where a bound is too near", () => {
    const row = new Float32Array(64).fill(-20);
    row[7] = 3;
    const set = (of: Plausibility["of"], ratio = 0.1) => ({ ratio, of });
    expect(kernel.soleToken(row, set("joint"))).toBeNull();
    expect(kernel.soleToken(row, set("expert"))).toBe(7);
    expect(kernel.soleToken(row, set("gated"))).toBe(7);
    row[9] = 3 + Math.log(0.1) - 1e-6;
    expect(kernel.soleToken(row, set("expert"))).toBeNull();
    expect(kernel.soleToken(row, set("expert", 0.2))).toBe(7);
    // It has 0.91 of the probability: not enough to be sure.
    expect(kernel.soleToken(row, set("gated", 0.2))).toBeNull();
    row[9] = NaN;
    expect(kernel.soleToken(row, set("expert"))).toBeNull();
  });
});

describe.each(kernelBuilds())("simd (%s build) and reference kernel agree", (build) => {
  const capacity = { vocabularySize: 6000, numExperts: 3 };
  const [simd, reference] = [new SimdKernel(capacity, build), createKernel("reference", capacity)];
  const expectNear = (actual: Divergence, expected: Divergence) => {
    for (const key of ["forward", "reverse"] as const)
      expect(Math.abs(actual[key] - expected[key])).toBeLessThanOrEqual(2e-5 + 1e-4 * expected[key]);
  };
  const compare = (rows: LogitsRows, alpha: number) => {
    simd.load(rows, null);
    reference.load(rows, null);
    reference.targets().forEach((target, t) => {
      expectNear(simd.targets()[t]!, target);
      simd.focus(t, [0, 2]);
      for (const weight of [0, alpha, 2]) {
        const [a, b] = [simd.evaluate(t, weight), reference.evaluate(t, weight)];
        expectNear(a, b);
        expect(Math.abs(a.reverseSlope - b.reverseSlope)).toBeLessThanOrEqual(1e-5 + 1e-3 * b.reverseSlope);
        expect(Math.abs(a.forwardSlope - b.forwardSlope)).toBeLessThanOrEqual(1e-2 + 1e-2 * b.forwardSlope);
      }
    });
    const several = rows.experts.map((_, t) => (t === 0 ? alpha : alpha / 2));
    for (const weights of [several, several.map((weight, t) => (t === 0 ? weight : 0))]) {
      const [a, b] = [simd.fuse(weights), reference.fuse(weights)];
      expectNear(a.divergence, b.divergence);
      const worst = a.row.logits.reduce((most, logit, i) => {
        const expected = b.row.logits[i]! - b.row.logNormalizer;
        return Math.max(most, Math.abs(logit - a.row.logNormalizer - expected) / (1 + Math.abs(expected)));
      }, 0);
      expect(worst).toBeLessThanOrEqual(1e-4);
    }
  };

  it("on any rows", () => {
    fc.assert(fc.property(anyRows, fc.double({ min: 0.01, max: 1.99, noNaN: true }), compare), {
      numRuns: numRuns(150),
    });
  });

  const sets = { expert: { ratio: 0.1, of: "expert" }, gated: { ratio: 0.1, of: "gated" } } as const;
  /** Whether a logit is so near a floor that rounding decides. */
  const isNearFloor = ({ experts }: LogitsRows, ratio: number) =>
    experts.some((row) => {
      const floor = Math.max(...row) + Math.log(ratio);
      return row.some((logit) => Math.abs(logit - floor) < 1e-4 * (1 + Math.abs(floor)));
    });
  const sameTop = (actual: readonly TokenLogprob[], expected: readonly TokenLogprob[]) => {
    expect(actual.length).toBe(expected.length);
    for (const [index, { logprob }] of actual.entries())
      expect(Math.abs(logprob - expected[index]!.logprob)).toBeLessThanOrEqual(
        1e-4 * (1 + Math.abs(logprob)),
      );
  };
  const compareOver = (rows: LogitsRows, plausibility: Plausibility, alpha: number) => {
    const law = (kernel: FusionKernel, weights: readonly number[] | null) => {
      kernel.load(rows, weights === null ? null : plausibility);
      return kernel.fuse(weights);
    };
    const laws: (number[] | null)[] = [
      ...[alpha, 0].map((weight) => rows.experts.map(() => weight)),
      rows.experts.map((_, t) => (t === 0 ? alpha : 0)),
    ];
    for (const weights of laws) {
      const [a, b] = [law(simd, weights), law(reference, weights)];
      expectNear(a.divergence, b.divergence);
      expect(a.row.logits).toHaveLength(rows.base.length);
      const taken = ({ logits }: FusedRow) => Array.from(logits, (logit) => logit > -Infinity);
      expect(taken(a.row)).toEqual(taken(b.row));
      sameTop(a.row.top(4), b.row.top(4));
      for (const { token, logprob } of a.row.top(4)) expect(a.row.logprob(token)).toBeCloseTo(logprob, 5);
      expect(Math.abs(a.row.mass - b.row.mass)).toBeLessThanOrEqual(1e-4 * (1 + Math.abs(b.row.mass)));
      rows.experts.forEach((_, t) => {
        expectNear(simd.targets()[t]!, reference.targets()[t]!);
        expectNear(simd.evaluate(t, alpha), reference.evaluate(t, alpha));
      });
      for (const of of ["base", "reference", { expert: 0 }] as const)
        sameTop(simd.top(of, 3), reference.top(of, 3));
      sameTop(simd.fuse(null).row.top(3), reference.fuse(null).row.top(3));
    }
    // Beside a law over all tokens, and as the only one left.
    const mixed = [simd, reference].map((kernel) => {
      kernel.mixStart(3);
      for (const weights of [laws[0]!, null, laws[0]!]) {
        law(kernel, weights);
        kernel.mixAdd(0.3);
      }
      const { row } = kernel.mixFinish();
      return { logits: row.logits.map((logit) => Math.exp(logit - row.logNormalizer)), top: row.top(3) };
    });
    expectClose(Array.from(mixed[0]!.logits), Array.from(mixed[1]!.logits), 1e-5);
    sameTop(mixed[0]!.top, mixed[1]!.top);
  };

  it.each(Object.entries(sets))("over sets that the experts' rows alone fix, or do not (%s)", (_of, set) => {
    fc.assert(
      fc.property(anyRows, fc.double({ min: 0.01, max: 1.99, noNaN: true }), (rows, alpha) => {
        fc.pre(!isNearFloor(rows, set.ratio));
        compareOver(rows, set, alpha);
      }),
      { numRuns: numRuns(60) },
    );
  });

  it("over sets of one token, of a few, and of more than are gathered", () => {
    const numPlausible: number[] = [];
    for (const [spread, ratio] of [
      [9, 0.9],
      [3, 0.1],
      [0.2, 0.5],
      [0.2, 0.02],
    ] as const) {
      const rows = makeRows({
        ...defaults,
        length: 5000,
        numExperts: 2,
        spread,
        numPeaks: spread < 1 ? 0 : 2,
      });
      compareOver(rows, { ratio, of: "expert" }, 0.7);
      simd.load(rows, { ratio, of: "expert" });
      const { row } = simd.fuse([1, 0]);
      numPlausible.push(row.logits.reduce((count, logit) => count + Number(logit > -Infinity), 0));
    }
    expect(Math.min(...numPlausible)).toBe(1);
    expect(numPlausible.some((count) => count > 1 && count < 2000)).toBe(true);
    expect(Math.max(...numPlausible)).toBeGreaterThan(2048);
  });

  it("over sets far below the base's best token, gathered or not", () => {
    const plain = makeRows({ ...defaults, numExperts: 2, numPeaks: 2 });
    const [outside, masked] = plain.experts[0]!.reduce(
      ([least, next], logit, token, row) =>
        logit < row[least]! ? [token, least] : logit < row[next]! ? [least, token] : [least, next],
      [0, 1] as [number, number],
    );
    for (const rows of [plain, { ...plain, base: withLogit(plain.base, masked, -Infinity) }])
      compareOver({ ...rows, base: withLogit(rows.base, outside, 200) }, sets.expert, 0.7);
  });

  it("over a set about logits outside of it that are no numbers, or exclude a token", () => {
    const rows = makeRows({ ...defaults, numPeaks: 0 });
    const [expert] = rows.experts as [Float32Array];
    const least = expert.indexOf(Math.min(...expert));
    for (const kernel of [simd, reference]) {
      for (const bad of [NaN, Infinity])
        for (const broken of [
          { ...rows, base: withLogit(rows.base, least, bad) },
          { ...rows, reference: withLogit(rows.reference!, least, bad) },
          { ...rows, experts: [withLogit(expert, least, bad)] },
        ])
          expect(() => kernel.load(broken, sets.expert)).toThrow(/holds (NaN|Infinity) at token/);
      kernel.load({ ...rows, base: withLogit(rows.base, least, -Infinity) }, sets.expert);
      expect(kernel.fuse([1]).row.logits[least]).toBe(-Infinity);
    }
    compareOver({ ...rows, reference: withLogit(rows.reference!, least, -Infinity) }, sets.expert, 0.7);
  });

  it("on rows long enough for a tail", () => {
    for (const [seed, spread] of [
      [1, 3],
      [2, 4],
      [3, 6],
      [4, 1],
    ] as const)
      // prettier-ignore
      for (const shift of [0.3, 1, 3])
        compare(makeRows({ ...defaults, length: 5003, seed, spread, shift, numPeaks: 5, numExperts: 2 }), 0.9);
  });

  it("on nasty rows", () => {
    const rows = makeRows({ ...defaults, numExperts: 2 });
    const far = (row: Float32Array, offset: number) => row.map((logit) => logit + offset);
    compare({ base: far(rows.base, 1e4), reference: far(rows.reference!, -1e4), experts: rows.experts }, 1);
    const certain = (row: Float32Array, token: number) => withLogit(row, token, 60);
    compare({ ...rows, base: certain(rows.base, 3) }, 1);
    compare({ ...rows, experts: [certain(rows.experts[0]!, 4), certain(rows.experts[1]!, 5)] }, 1);
    compare({ ...rows, reference: certain(rows.reference!, 6) }, 1);
    const one = Float32Array.of(3);
    compare({ base: one, reference: one, experts: [Float32Array.of(-2)] }, 1);
    for (const length of [2, 15, 16, 17, 31, 33]) compare(makeRows({ ...defaults, length }), 1);
  });

  it("finds weights that are as good, also where the tail is large", () => {
    for (const [seed, spread] of [
      [1, 2],
      [2, 3],
      [3, 4],
    ] as const) {
      // prettier-ignore
      const rows = makeRows({ ...defaults, length: 6000, seed, spread, shift: 1, numPeaks: 10, numExperts: 2 });
      const a = fuseRows(simd, rows, dynamic(rows)).objective;
      const b = fuseRows(reference, rows, dynamic(rows)).objective;
      expect(Math.abs(a - b)).toBeLessThanOrEqual(1e-6 + 1e-3 * b);
    }
  });
});

function catchError(run: () => unknown): ShouldersError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ShouldersError);
    return error as ShouldersError;
  }
  throw new Error("nothing was thrown");
}
