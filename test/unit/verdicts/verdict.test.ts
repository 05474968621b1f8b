import { describe, expect, it } from "vitest";
import { leaned, type Normalisation, softmax, verdictOf } from "../../../src/verdicts/verdict.js";

/** Candidates by law: the fusion prefers the second, the base the first. */
const candidates = [
  { fused: [-2, -1], base: [-0.5, -0.25] },
  { fused: [-1, -0.5], base: [-2] },
  { fused: [-4], base: [-3, -1] },
];
const laws = ["fused", "base"];
const plain = { normalise: "sum" as Normalisation, confidence: null };

describe("a verdict", () => {
  it("is the softmax of the sums, or of the means", () => {
    const sum = verdictOf(candidates, laws, plain);
    expect(sum.scores).toEqual({ fused: [-3, -1.5, -4], base: [-0.75, -2, -4] });
    expect(sum.probabilities["fused"]).toEqual(softmax([-3, -1.5, -4]));
    expect(sum).toMatchObject({ best: { fused: 1, base: 0 }, choice: 1, isSettled: false });
    expect(sum.probability).toEqual(sum.probabilities["fused"]);
    const mean = verdictOf(candidates, laws, { ...plain, normalise: "mean" });
    expect(mean.scores).toEqual({ fused: [-1.5, -0.75, -4], base: [-0.375, -2, -2] });
  });

  it("is the first law's, whichever that is", () => {
    const { choice, best } = verdictOf(candidates, ["base", "fused"], plain);
    expect({ choice, best }).toEqual({ choice: 0, best: { base: 0, fused: 1 } });
  });

  it("with α 0 is the weak one, with α 1 and threshold 0 the base's best", () => {
    const weak = verdictOf(candidates, laws, plain);
    const none = verdictOf(candidates, laws, { ...plain, confidence: { alpha: 0, threshold: 0 } });
    expect(none.probability).toEqual(weak.probability);
    const whole = verdictOf(candidates, laws, { ...plain, confidence: { alpha: 1, threshold: 0 } });
    expect(whole.probability).toEqual([1, 0, 0]);
    expect(whole.choice).toBe(whole.best["base"]);
  });

  it("leans on the base only where the base is sure, and stays a distribution", () => {
    const weak = [0.2, 0.5, 0.3];
    expect(leaned(weak, [0.6, 0.3, 0.1], { alpha: 0.5, threshold: 0.7 })).toEqual(weak);
    const half = leaned(weak, [0.6, 0.3, 0.1], { alpha: 0.5, threshold: 0.6 });
    expect(half).toEqual([0.6, 0.25, 0.15]);
  });

  it("does not depend on the order of the candidates", () => {
    const order = [2, 0, 1];
    const one = verdictOf(candidates, laws, plain);
    const other = verdictOf(
      order.map((index) => candidates[index]!),
      laws,
      plain,
    );
    expect(order[other.choice]).toBe(one.choice);
    expect(other.agreement).toBeCloseTo(one.agreement, 12);
    order.forEach((index, at) => expect(other.probability[at]).toBeCloseTo(one.probability[index]!, 12));
  });

  it("of a duplicate is half each, and of one candidate alone 1", () => {
    const [first, second] = candidates as [(typeof candidates)[0], (typeof candidates)[0]];
    const alone = verdictOf([first], laws, plain);
    expect(alone).toMatchObject({ probability: [1], choice: 0, agreement: 1, isSettled: true });
    expect(verdictOf([first, first], laws, plain).probability).toEqual([0.5, 0.5]);
    const pair = verdictOf([first, second], laws, plain).probability;
    const tripled = verdictOf([first, second, second, second], laws, plain).probability;
    expect(tripled[1]! / tripled[0]!).toBeCloseTo(pair[1]! / pair[0]!, 12);
  });

  it("agrees as far as the laws share their probabilities", () => {
    const same = verdictOf(
      candidates.map(({ fused }) => ({ fused, base: fused })),
      laws,
      plain,
    );
    expect(same.agreement).toBeCloseTo(1, 12);
    expect(same.isSettled).toBe(true);
    const apart = [
      { fused: [-50], base: [0] },
      { fused: [0], base: [-50] },
    ];
    expect(verdictOf(apart, laws, plain).agreement).toBeLessThan(1e-20);
  });

  it("stands where no candidate has any probability", () => {
    const none = verdictOf([{ fused: [-9999, -9999] }, { fused: [-9999] }], ["fused"], plain);
    expect(none.probability).toEqual([0, 1]);
  });
});
