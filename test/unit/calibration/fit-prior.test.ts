import { describe, expect, it } from "vitest";
import type { Group } from "../../../src/calibration/classes.js";
import { fitNone, fitPrior } from "../../../src/calibration/fit-prior.js";
import { noneDistance, sharesOf, squaredDistance, whiten } from "../../../src/routing/prior.js";
import { choleskyOf, packedInverse, solveLower } from "../../../src/calibration/triangle.js";

const dimension = 32;

/** Seeded numbers of a standard normal distribution (Box and Muller over mulberry32). */
function normals(seed: number): () => number {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Draws from classes of one covariance whose directions differ by a factor of 5 in size. */
function makeClasses(numClasses: number, spread: number, seed = 1) {
  const normal = normals(seed);
  const scales = Array.from({ length: dimension }, (_, index) => 5 ** (index / (dimension - 1)));
  // Means lie apart along the smallest directions: what a plain Euclidean distance would not see.
  const means = Array.from({ length: numClasses }, () =>
    scales.map((scale, index) => (index < 8 ? spread * scale * normal() : scale * 0.1 * normal())),
  );
  const draw = (own: number, wide = 1): Float64Array =>
    Float64Array.from(scales, (scale, index) => (means[own]![index] ?? 0) + wide * scale * normal());
  return { draw, far: (by: number) => Float64Array.from(scales, (scale) => by * scale + scale * normal()) };
}

const groupsOf = (draw: (own: number) => Float64Array, experts: string[], count: number): Group[] =>
  experts.map((expert, own) => ({ expert, examples: Array.from({ length: count }, () => [draw(own)]) }));

function priorOf({ prior }: ReturnType<typeof fitPrior>, feature: Float64Array): Map<string | null, number> {
  const whitened = whiten(feature, prior.whitening);
  const experts = prior.classes.filter(({ expert }) => expert !== null);
  const none = prior.classes.find(({ expert }) => expert === null);
  const shares = sharesOf(
    experts.map(({ mean }) => squaredDistance(whitened, mean)),
    none ? squaredDistance(whitened, none.mean) : null,
    { ...prior, none: { ...prior.none, distance: noneDistance(prior.none, whitened) }, outOfDomain: [1] },
  );
  return new Map([null, ...experts.map(({ expert }) => expert)].map((name, index) => [name, shares[index]!]));
}

const largest = (shares: Map<string | null, number>) => [...shares].sort((a, b) => b[1] - a[1])[0]![0];

describe("the arithmetic of a covariance", () => {
  it("factors, solves and inverts", () => {
    const matrix = Float64Array.of(4, 2, 1, 2, 5, 3, 1, 3, 6);
    const factor = choleskyOf(matrix, 3);
    const product = (row: number, column: number) =>
      [0, 1, 2].reduce((sum, k) => sum + factor[row * 3 + k]! * factor[column * 3 + k]!, 0);
    for (const row of [0, 1, 2])
      for (const column of [0, 1, 2]) expect(product(row, column)).toBeCloseTo(matrix[row * 3 + column]!, 12);
    const solved = solveLower(factor, Float64Array.of(1, 2, 3));
    const unpacked = whiten(Float64Array.of(1, 2, 3), Float32Array.from(packedInverse(factor, 3)));
    solved.forEach((value, index) => expect(unpacked[index]).toBeCloseTo(value, 6));
  });
});

describe("a fitted prior", () => {
  const experts = ["a", "b", "c", "d"];

  it.each([8, 16, 64])("tells classes apart from %i examples each", (count) => {
    const { draw } = makeClasses(4, 4);
    const fitted = fitPrior(groupsOf(draw, experts, count), dimension, []);
    const tests = experts.flatMap((expert, own) =>
      Array.from({ length: 200 }, () => largest(priorOf(fitted, draw(own))) === expert),
    );
    expect(tests.filter(Boolean).length / tests.length).toBeGreaterThan(count === 8 ? 0.9 : 0.97);
    expect(fitted.figures.accuracy).toBeGreaterThan(0.85);
  });

  it("knows what it does not know: its leave-one-out figures are those of new prompts", () => {
    const { draw } = makeClasses(4, 0.7);
    const fitted = fitPrior(groupsOf(draw, experts, 64), dimension, []);
    const losses = experts.flatMap((expert, own) =>
      Array.from({ length: 500 }, () => {
        const shares = priorOf(fitted, draw(own));
        return { loss: -Math.log(shares.get(expert)!), right: largest(shares) === expert ? 1 : 0 };
      }),
    );
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(fitted.figures.accuracy).toBeLessThan(0.95);
    expect(Math.abs(mean(losses.map(({ right }) => right)) - fitted.figures.accuracy)).toBeLessThan(0.06);
    expect(Math.abs(mean(losses.map(({ loss }) => loss)) - fitted.figures.logLoss)).toBeLessThan(0.12);
    const rows = fitted.figures.confusion.map(({ largest: counts }) => Object.values(counts));
    expect(rows.map((row) => row.reduce((sum, count) => sum + count, 0))).toEqual([64, 64, 64, 64]);
  });

  it("is the same for experts in another order", () => {
    const { draw } = makeClasses(4, 2);
    const groups = groupsOf(draw, experts, 12);
    const forward = fitPrior(groups, dimension, []);
    const backward = fitPrior([...groups].reverse(), dimension, []);
    for (const own of [0, 1, 2, 3]) {
      const feature = draw(own);
      const shares = priorOf(backward, feature);
      for (const [expert, share] of priorOf(forward, feature))
        expect(shares.get(expert)).toBeCloseTo(share, 6);
    }
    expect(backward.figures.accuracy).toBe(forward.figures.accuracy);
  });

  it("leaves the others as they were when an expert for something far away is added", () => {
    const { draw, far } = makeClasses(4, 4);
    const groups = groupsOf(draw, experts, 64);
    const away = Array.from({ length: 64 }, () => [far(40)]);
    const before = fitPrior(groups, dimension, []);
    const after = fitPrior([...groups, { expert: "away", examples: away }], dimension, []);
    const changes: number[] = [];
    for (const own of [0, 1, 2, 3])
      for (let count = 0; count < 50; count++) {
        const feature = draw(own);
        const shares = priorOf(after, feature);
        for (const [expert, share] of priorOf(before, feature))
          changes.push(Math.abs(shares.get(expert)! - share));
        expect(shares.get("away")).toBeLessThan(0.01);
      }
    expect(Math.max(...changes)).toBeLessThan(0.15);
    expect(changes.reduce((sum, change) => sum + change, 0) / changes.length).toBeLessThan(0.005);
    expect(largest(priorOf(after, far(40)))).toBe("away");
  });

  it("gives to the base what fits no expert, though it has seen nothing of the kind", () => {
    const { draw, far } = makeClasses(4, 4);
    const fitted = fitPrior(groupsOf(draw, experts, 32), dimension, []);
    expect(fitted.figures.leftOut).toBeGreaterThan(0.8);
    for (const by of [6, 20, 1000]) expect(priorOf(fitted, far(by)).get(null)).toBeGreaterThan(0.8);
  });

  it("learns from prompts that fit none, near as they may be", () => {
    const { draw } = makeClasses(3, 2.5);
    const groups = groupsOf(draw, ["a", "b"], 32);
    const none: Group = { expert: null, examples: Array.from({ length: 32 }, () => [draw(2)]) };
    const shareOfBase = (of: Group[]) => {
      const fitted = fitPrior(of, dimension, []);
      const shares = Array.from({ length: 100 }, () => priorOf(fitted, draw(2)).get(null)!);
      return shares.reduce((sum, share) => sum + share, 0) / shares.length;
    };
    expect(shareOfBase([...groups, none])).toBeGreaterThan(0.9);
    expect(shareOfBase([...groups, none])).toBeGreaterThan(shareOfBase(groups));
  });

  it("gives to the base what is nearer to a prompt of no task than to any expert", () => {
    const { draw } = makeClasses(3, 2.5);
    const groups = groupsOf(draw, ["a", "b"], 8);
    const background = Array.from({ length: 32 }, () => draw(2));
    const shareOfBase = (others: readonly Float64Array[], own: number) => {
      const fitted = fitPrior(groups, dimension, others);
      const shares = Array.from({ length: 100 }, () => priorOf(fitted, draw(own)).get(null)!);
      return shares.reduce((sum, share) => sum + share, 0) / shares.length;
    };
    expect(shareOfBase(background, 2)).toBeGreaterThan(shareOfBase([], 2) + 0.2);
    expect(shareOfBase(background, 0)).toBeLessThan(0.2);
  });

  it("goes by no prompt of no task that is like an expert's own", () => {
    const { draw } = makeClasses(2, 4);
    const groups = groupsOf(draw, ["a", "b"], 16);
    // Of the same kind as the examples of a; an example is nearer to one of them than to the mean of its class.
    const same = Array.from({ length: 200 }, () => draw(0, 0.5));
    const { prior, figures } = fitPrior(groups, dimension, same);
    expect(prior.none.prompts.length).toBeLessThan(20);
    expect(figures.accuracy).toBeGreaterThan(0.9);
    const others = fitPrior(
      groups,
      dimension,
      Array.from({ length: 40 }, () => draw(0, 0.5).map((x) => x + 50)),
    );
    expect(others.prior.none.prompts).toHaveLength(40);
  });

  it("learns from other readings of its examples what is only a way of writing", () => {
    const { draw } = makeClasses(3, 4);
    const { draw: drawSuffix } = makeClasses(1, 0, 5);
    // What a reading adds to any prompt: the same, far off, in a direction that tells no class.
    const suffix = drawSuffix(0).map((value, index) => (index > 20 ? 12 * value : 0));
    const reread = (feature: Float64Array) => feature.map((value, index) => value + suffix[index]!);
    const groups = groupsOf(draw, ["a", "b", "c"], 16);
    const withReadings = groups.map(({ expert, examples }) => ({
      expert,
      examples: examples.map(([feature]) => [feature!, reread(feature!)]),
    }));
    const shareOf = (of: Group[]) => {
      const fitted = fitPrior(of, dimension, []);
      const shares = Array.from({ length: 100 }, () => priorOf(fitted, reread(draw(0))).get("a")!);
      return shares.reduce((sum, share) => sum + share, 0) / shares.length;
    };
    expect(shareOf(groups)).toBeLessThan(0.3);
    expect(shareOf(withReadings)).toBeGreaterThan(0.8);
    expect(fitPrior(withReadings, dimension, []).figures.confusion[0]!.largest.a).toBeGreaterThan(12);
  });

  it("works for a single expert, and for one prompt that fits none", () => {
    const { draw, far } = makeClasses(2, 4);
    const own = groupsOf(draw, ["a"], 16);
    for (const groups of [own, [...own, { expert: null, examples: [[far(9)]] }]]) {
      const fitted = fitPrior(groups, dimension, []);
      expect(fitted.figures.leftOut).toBeNull();
      expect(largest(priorOf(fitted, draw(0)))).toBe("a");
      expect(largest(priorOf(fitted, far(30)))).toBeNull();
    }
  });

  it("refuses prompts that are all alike", () => {
    const one = new Float64Array(dimension).fill(1);
    expect(() => fitPrior([{ expert: "a", examples: [[one], [one], [one]] }], dimension, [])).toThrow(
      /all look alike/,
    );
  });
});

describe("the fit of none", () => {
  it("lies between own and out-of-domain prompts, and never within the own ones", () => {
    const own = Array.from({ length: 64 }, (_, index) => 20 + index);
    const { distance, slope } = fitNone(
      own,
      own.map((value) => value * 50),
      64,
    );
    expect(distance).toBeGreaterThan(83);
    expect(distance).toBeLessThan(1000);
    expect(slope).toBeGreaterThan(1);
    expect(fitNone(own, own, 64).distance).toBeGreaterThanOrEqual(80);
    expect(
      fitNone(
        own,
        own.map((value) => value / 10),
        64,
      ).distance,
    ).toBeGreaterThanOrEqual(80);
    // Of few examples others of their kind are farther than they are.
    expect(fitNone(own, own, 8).distance).toBeGreaterThanOrEqual(160);
  });
});
