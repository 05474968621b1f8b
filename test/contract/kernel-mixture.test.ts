import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKernel, kernelNames } from "../../src/fusion/kernel/kernel.js";
import { SimdKernel } from "../../src/fusion/kernel/simd.js";
import { kernelBuilds } from "../../src/fusion/kernel/wasm.js";
import type { FusedRow, FusionKernel, LogitsRows, Plausibility } from "../../src/fusion/types.js";
import { numRuns } from "../support/num-runs.js";
import { anyRows, makeRows } from "../support/rows.js";

/** A component as a strategy makes it: the base alone, an expert's axis, or an expert by itself. */
interface Part {
  kind: "base" | "fused" | "alone";
  expert: number;
  weight: number;
  plausibility: Plausibility | null;
  share: number;
}

const anyPlausibility = fc.option(
  fc.record({
    ratio: fc.constantFrom(0.01, 0.2, 0.9),
    of: fc.constantFrom("joint" as const, "expert" as const, "gated" as const),
  }),
);
const anyPart = fc.record({
  kind: fc.constantFrom<Part["kind"]>("base", "fused", "alone"),
  expert: fc.nat(2),
  weight: fc.constantFrom(0, 0.5, 1, 1.7),
  plausibility: anyPlausibility,
  share: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 1e-6, max: 1, noNaN: true })),
});
const anyParts = fc
  .array(anyPart, { minLength: 1, maxLength: 17 })
  .filter((parts) => parts.some(({ share }) => share > 0));
/** Rows of which some tokens are −Infinity; the first never is, so that one is left. */
const maskedRows = fc
  .tuple(anyRows, fc.array(fc.tuple(fc.nat(4), fc.integer({ min: 1, max: 299 })), { maxLength: 6 }))
  .map(([rows, masks]): LogitsRows => {
    const all = [rows.base, rows.reference as Float32Array, ...rows.experts];
    for (const [row, token] of masks) {
      const logits = all[row % all.length] as Float32Array;
      if (token < logits.length) logits[token] = -Infinity;
    }
    return rows;
  });

const logprobsOf = ({ logits, logNormalizer }: FusedRow) =>
  Array.from(logits, (logit) => logit - logNormalizer);

/** Fuses one component; its law as log-probabilities. */
function fusePart(kernel: FusionKernel, rows: LogitsRows, part: Part): number[] {
  const expert = part.expert % rows.experts.length;
  const row = rows.experts[expert] as Float32Array;
  if (part.kind === "alone")
    kernel.load({ base: rows.base, reference: rows.base, experts: [row] }, part.plausibility);
  else kernel.load(rows, part.plausibility);
  if (part.kind === "base") return logprobsOf(kernel.fuse(null).row);
  const weights = rows.experts.map((_, t) => (t === expert ? part.weight : 0));
  return logprobsOf(kernel.fuse(part.kind === "alone" ? [1] : weights).row);
}

/** The laws of all parts, and the mixture of them with its divergences from P over what all rows have. */
function mix(kernel: FusionKernel, rows: LogitsRows, parts: readonly Part[]) {
  kernel.mixStart(parts.length);
  const laws = parts.map((part) => {
    const law = fusePart(kernel, rows, part);
    kernel.mixAdd(part.share);
    return law;
  });
  kernel.load(rows, null);
  const { row, divergence } = kernel.mixFinish();
  return { laws, row, mixed: logprobsOf(row), divergence };
}

/** How many times the allowed difference two numbers are apart. */
const distance = (actual: number, expected: number) =>
  actual === expected ? 0 : Math.abs(actual - expected) / (2e-5 + 1e-4 * Math.abs(expected));
const expectNear = (actual: number, expected: number) =>
  expect(distance(actual, expected), `${actual}, not ${expected}`).toBeLessThanOrEqual(1);
const expectAllNear = (actual: readonly number[], expected: readonly number[]) => {
  expect(actual).toHaveLength(expected.length);
  const distances = actual.map((value, i) => distance(value, expected[i]!));
  expect(Math.max(0, ...distances)).toBeLessThanOrEqual(1);
};

describe.each(kernelNames)("mixture of the %s kernel", (name) => {
  const kernel = createKernel(name, { vocabularySize: 300, numExperts: 3 });

  it("has room for as many components as are asked for, and works as before afterwards", () => {
    const large = createKernel(name, { vocabularySize: 20_000, numExperts: 1 });
    const rows = makeRows({
      seed: 7,
      length: 20_000,
      numExperts: 1,
      spread: 2,
      shift: 1,
      offset: 1,
      numPeaks: 2,
    });
    const part: Part = { kind: "fused", expert: 0, weight: 1, plausibility: null, share: 1 };
    const alone = fusePart(large, rows, part);
    const { mixed, divergence } = mix(
      large,
      rows,
      Array.from({ length: 9 }, () => part),
    );
    expectAllNear(mixed, alone);
    expect(divergence.forward).toBeGreaterThan(0);
    expect(fusePart(large, rows, part)).toEqual(alone);
  });

  it("is the logarithm of the shared sum of the components' probabilities, with its divergences", () => {
    fc.assert(
      fc.property(maskedRows, anyParts, (rows, parts) => {
        const { laws, row, mixed, divergence } = mix(kernel, rows, parts);
        const total = parts.reduce((sum, { share }) => sum + share, 0);
        const expected = mixed.map((_, i) =>
          laws.reduce((sum, law, c) => sum + (parts[c]!.share / total) * Math.exp(law[i]!), 0),
        );
        // The mixture has a token where a component with a share has it, however improbable.
        expect(mixed.map((logprob) => logprob > -Infinity)).toEqual(
          mixed.map((_, i) => laws.some((law, c) => parts[c]!.share > 0 && law[i]! > -Infinity)),
        );
        const isTiny = (i: number) => expected[i]! < 1e-300;
        expectAllNear(
          mixed.map((logprob, i) => (isTiny(i) ? 0 : logprob)),
          expected.map((probability, i) => (isTiny(i) ? 0 : Math.log(probability))),
        );
        expect(mixed.map((_, token) => row.componentLogprobs(token))).toEqual(
          mixed.map((_, token) => laws.map((law) => law[token])),
        );

        const p = logprobsOf(kernel.fuse(null).row);
        const kl = (a: readonly number[], b: readonly number[]) =>
          a.reduce((sum, x, i) => (x === -Infinity ? sum : sum + Math.exp(x) * (x - b[i]!)), 0);
        expectNear(divergence.forward, kl(mixed, p));
        expectNear(divergence.reverse, kl(p, mixed));
      }),
      { numRuns: numRuns(150) },
    );
  });

  it("is never further from a component than its share allows: ln M ≥ ln π_c + ln P_c", () => {
    fc.assert(
      fc.property(maskedRows, anyParts, (rows, parts) => {
        const { laws, mixed } = mix(kernel, rows, parts);
        const total = parts.reduce((sum, { share }) => sum + share, 0);
        laws.forEach((law, c) => {
          const logShare = Math.log(parts[c]!.share / total);
          const isBelow = (logprob: number, i: number) =>
            logprob < logShare + law[i]! - 1e-5 * (1 + Math.abs(law[i]!));
          expect(mixed.findIndex(isBelow)).toBe(-1);
        });
      }),
    );
  });

  it("does not depend on the order of the components", () => {
    fc.assert(
      fc.property(maskedRows, anyParts, (rows, parts) => {
        const before = mix(kernel, rows, parts);
        const after = mix(kernel, rows, parts.toReversed());
        expectAllNear(after.mixed, before.mixed);
        expectNear(after.divergence.forward, before.divergence.forward);
        expectNear(after.divergence.reverse, before.divergence.reverse);
      }),
    );
  });

  it("of one component with a share is that component's row", () => {
    fc.assert(
      fc.property(maskedRows, anyPart, anyPart, (rows, one, other) => {
        const alone = fusePart(kernel, rows, one);
        const { mixed } = mix(kernel, rows, [
          { ...one, share: 0.3 },
          { ...other, share: 0 },
        ]);
        expectAllNear(mixed, alone);
      }),
    );
    const rows = makeRows({
      seed: 5,
      length: 203,
      numExperts: 1,
      spread: 3,
      shift: 1,
      numPeaks: 2,
      offset: 0,
    });
    kernel.mixStart(1);
    kernel.load(rows, null);
    const fused = Float32Array.from(kernel.fuse([0.8]).row.logits);
    kernel.mixAdd(1);
    if (name === "simd") expect(Float32Array.from(kernel.mixFinish().row.logits)).toEqual(fused);
  });

  it("is what top reads, and a fused row again after the next fuse", () => {
    const rows = makeRows({
      seed: 6,
      length: 203,
      numExperts: 1,
      spread: 3,
      shift: 2,
      numPeaks: 2,
      offset: 0,
    });
    kernel.load(rows, null);
    kernel.mixStart(2);
    const base = logprobsOf(kernel.fuse(null).row);
    kernel.mixAdd(0.5);
    const expert = logprobsOf(kernel.fuse([1]).row);
    kernel.mixAdd(0.5);
    const { row } = kernel.mixFinish();
    const mixed = logprobsOf(row);
    expect(Math.max(...mixed)).toBeCloseTo(row.top(1)[0]!.logprob, 6);
    expect(mixed.indexOf(Math.max(...mixed))).toBe(row.top(1)[0]!.token);
    expect(logprobsOf(kernel.fuse([1]).row)).toEqual(expert);
    expect(logprobsOf(kernel.fuse(null).row)).toEqual(base);
  });

  it("refuses rows of different lengths and shares that are all 0", () => {
    const rows = makeRows({
      seed: 7,
      length: 40,
      numExperts: 1,
      spread: 3,
      shift: 2,
      numPeaks: 2,
      offset: 0,
    });
    const load = (length: number) =>
      kernel.load({ base: rows.base.subarray(0, length), reference: null, experts: [] }, null);
    load(40);
    kernel.mixStart(2);
    kernel.fuse(null);
    kernel.mixAdd(1);
    load(30);
    kernel.fuse(null);
    kernel.mixAdd(1);
    expect(() => kernel.mixFinish()).toThrow("30");
    load(40);
    kernel.mixStart(1);
    kernel.fuse(null);
    kernel.mixAdd(0);
    expect(() => kernel.mixFinish()).toThrow("share");
  });

  it("gives the base's mass of each set, so that divergences from the whole of P follow", () => {
    fc.assert(
      fc.property(
        maskedRows,
        fc.constantFrom(0.01, 0.2, 0.9),
        fc.double({ min: 0, max: 2, noNaN: true }),
        (rows, ratio, alpha) => {
          kernel.load(rows, { ratio, of: "expert" });
          const whole = kernel.fuse(null).row;
          const p = logprobsOf(whole);
          expect(whole.mass).toBeCloseTo(0, 6);
          rows.experts.forEach((_, t) => {
            const { row } = kernel.fuse(rows.experts.map((_, s) => (s === t ? alpha || 1 : 0)));
            const q = logprobsOf(row);
            const mass = p.reduce(
              (sum, logprob, i) => (q[i]! > -Infinity ? sum + Math.exp(logprob) : sum),
              0,
            );
            if (mass > 1e-300) {
              expectNear(kernel.plausibleMass(t), Math.log(mass));
              expectNear(row.mass, Math.log(mass));
            }
            const nats = q.reduce((sum, x, i) => (x > -Infinity ? sum + Math.exp(x) * (x - p[i]!) : sum), 0);
            const { forward } = kernel.evaluate(t, alpha || 1);
            expectNear(forward - kernel.plausibleMass(t), nats);
          });
        },
      ),
    );
  });
});

describe.each(kernelNames)("%s kernel, a row read too late", (name) => {
  const rows = makeRows({ seed: 5, length: 64, numExperts: 2, spread: 3, shift: 1, numPeaks: 2, offset: 0 });
  const capacity = { vocabularySize: 64, numExperts: 2 };
  const readings = {
    logits: (row: FusedRow) => row.logits,
    logprob: (row: FusedRow) => row.logprob(3),
    top: (row: FusedRow) => row.top(1),
    mass: (row: FusedRow) => row.mass,
    componentLogprobs: (row: FusedRow) => row.componentLogprobs(3),
  };
  const nexts = {
    load: (kernel: FusionKernel) => kernel.load(rows, null),
    fuse: (kernel: FusionKernel) => void kernel.fuse([0.5, 0]),
    mixStart: (kernel: FusionKernel) => kernel.mixStart(1),
    mixAdd: (kernel: FusionKernel) => kernel.mixAdd(1),
  };

  it.each(Object.keys(nexts) as (keyof typeof nexts)[])("says so after %s, however it is read", (next) => {
    const kernel = createKernel(name, capacity);
    kernel.load(rows, null);
    kernel.mixStart(2);
    const { row } = kernel.fuse([1, 0]);
    for (const read of Object.values(readings)) expect(() => read(row)).not.toThrow();
    nexts[next](kernel);
    for (const read of Object.values(readings)) expect(() => read(row)).toThrow(/read after its kernel/);
    expect(Number.isFinite(row.logNormalizer)).toBe(true);
  });

  it("is also that of a mixture", () => {
    const kernel = createKernel(name, capacity);
    kernel.load(rows, null);
    kernel.mixStart(1);
    kernel.fuse([1, 0]);
    kernel.mixAdd(1);
    const { row } = kernel.mixFinish();
    expect(row.componentLogprobs(3)).toHaveLength(1);
    kernel.fuse([1, 0]);
    expect(() => row.componentLogprobs(3)).toThrow(/read after its kernel/);
  });
});

describe.each(kernelBuilds())("mixtures of simd (%s build) and reference kernel agree", (build) => {
  const capacity = { vocabularySize: 300, numExperts: 3 };
  const [simd, reference] = [new SimdKernel(capacity, build), createKernel("reference", capacity)];

  it("on any rows and components", () => {
    fc.assert(
      fc.property(maskedRows, anyParts, (rows, parts) => {
        const [a, b] = [mix(simd, rows, parts), mix(reference, rows, parts)];
        expectAllNear(a.mixed, b.mixed);
        expectNear(a.divergence.forward, b.divergence.forward);
        expectNear(a.divergence.reverse, b.divergence.reverse);
      }),
      { numRuns: numRuns(150) },
    );
  });
});
