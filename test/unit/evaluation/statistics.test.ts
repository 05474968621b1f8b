import { mean } from "simple-statistics";
import { describe, expect, it } from "vitest";
import { createRandom, shuffled } from "../../../src/evaluation/random.js";
import {
  bootstrapInterval,
  fisherExact,
  ratioInterval,
  unionLength,
} from "../../../src/evaluation/statistics.js";

describe("bootstrapInterval", () => {
  const values = Array.from({ length: 400 }, (_, index) => (index % 10 < 3 ? 1 : 0));

  it("comes to the normal approximation where that holds", () => {
    const half = 1.96 * Math.sqrt((0.3 * 0.7) / 400);
    const { low, high } = bootstrapInterval(values, 1);
    expect(Math.abs(low - (0.3 - half))).toBeLessThan(0.008);
    expect(Math.abs(high - (0.3 + half))).toBeLessThan(0.008);
  });

  it("is decided by its seed", () => {
    expect(bootstrapInterval(values, 5)).toEqual(bootstrapInterval(values, 5));
    expect(bootstrapInterval(values, 5)).not.toEqual(bootstrapInterval(values, 6));
  });

  it("covers the true mean of small samples about as often as it says", () => {
    const random = createRandom(3);
    let covered = 0;
    for (let trial = 0; trial < 200; trial++) {
      const sample = Array.from({ length: 60 }, () => (random() < 0.4 ? 1 : 0));
      const { low, high } = bootstrapInterval(sample, trial);
      if (low <= 0.4 && 0.4 <= high) covered++;
    }
    expect(covered).toBeGreaterThan(178);
  });

  it("has no width where all values are equal", () => {
    expect(bootstrapInterval([0, 0, 0], 1)).toEqual({ low: 0, high: 0 });
  });
});

describe("ratioInterval", () => {
  it("comes to the delta method where that holds", () => {
    // Wholes are 1 for four items of five; parts are 1 for half of those: the ratio is 1/2.
    const items = Array.from({ length: 1000 }, (_, index) => ({
      part: index % 5 !== 0 && index % 2 === 0 ? 1 : 0,
      whole: index % 5 === 0 ? 0 : 1,
    }));
    const half = 1.96 * Math.sqrt(0.25 / 800);
    const interval = ratioInterval(items, 1);
    expect(Math.abs(interval!.low - (0.5 - half))).toBeLessThan(0.006);
    expect(Math.abs(interval!.high - (0.5 + half))).toBeLessThan(0.006);
  });

  it("is none where a resample has no whole", () => {
    expect(
      ratioInterval([{ part: 1, whole: 1 }, ...Array.from({ length: 9 }, () => ({ part: 0, whole: 0 }))], 1),
    ).toBeNull();
  });
});

describe("fisherExact", () => {
  it("comes to published values", () => {
    // The lady tasting tea, two-sided; and the example of scipy.stats.fisher_exact.
    expect(fisherExact(3, 1, 1, 3)).toBeCloseTo(0.4857142857142857, 12);
    expect(fisherExact(8, 2, 1, 5)).toBeCloseTo(0.03496503496503495, 12);
  });

  it("is the sum over tables that are as improbable, counted plainly", () => {
    const choose = (n: number, k: number): number =>
      k < 0 || k > n ? 0 : k === 0 ? 1 : (choose(n - 1, k - 1) * n) / k;
    const random = createRandom(4);
    for (let trial = 0; trial < 200; trial++) {
      const [a, b, c, d] = Array.from({ length: 4 }, () => Math.floor(random() * 12)) as [
        number,
        number,
        number,
        number,
      ];
      const weightOf = (k: number) => Math.round(choose(a + b, k) * choose(c + d, a + c - k));
      const tables = Array.from({ length: a + b + 1 }, (_, k) => weightOf(k));
      const total = tables.reduce((sum, weight) => sum + weight, 0);
      const rare = tables.filter((weight) => weight <= weightOf(a));
      expect(fisherExact(a, b, c, d)).toBeCloseTo(rare.reduce((sum, weight) => sum + weight, 0) / total, 6);
    }
  });

  it("is 1 where a row or a column is empty, and tiny where it should be", () => {
    expect(fisherExact(0, 0, 4, 7)).toBe(1);
    expect(fisherExact(5, 0, 9, 0)).toBe(1);
    expect(fisherExact(90, 0, 94, 180)).toBeLessThan(1e-25);
  });
});

describe("random numbers", () => {
  it("are uniform in [0, 1)", () => {
    const random = createRandom(1);
    const drawn = Array.from({ length: 20_000 }, random);
    expect(Math.abs(mean(drawn) - 0.5)).toBeLessThan(0.01);
    expect(Math.min(...drawn)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...drawn)).toBeLessThan(1);
  });

  it("shuffle without loss, every place alike", () => {
    const counts = [0, 0, 0];
    for (let seed = 0; seed < 3000; seed++) {
      const order = shuffled(["right", "b", "c"], createRandom(seed));
      expect([...order].sort()).toEqual(["b", "c", "right"]);
      counts[order.indexOf("right")]!++;
    }
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });
});

it("the union of intervals counts what overlaps once", () => {
  expect(
    unionLength([
      [5, 8],
      [0, 2],
      [1, 3],
      [6, 7],
    ]),
  ).toBe(6);
  expect(unionLength([])).toBe(0);
});
