import { describe, expect, it } from "vitest";
import { chooseConfidence, type KnownVerdict } from "../../../src/calibration/choose-confidence.js";

const many = (count: number, one: KnownVerdict) => Array.from({ length: count }, () => one);

/** The weak verdict is wrong, and the base right and sure; and the other way round. */
const baseKnows: KnownVerdict = { weak: [0.6, 0.4], base: [0.05, 0.95], right: 1 };
const weakKnows: KnownVerdict = { weak: [0.6, 0.4], base: [0.4, 0.6], right: 0 };
const bothKnow: KnownVerdict = { weak: [0.9, 0.1], base: [0.9, 0.1], right: 0 };

describe("how far verdicts lean on the base", () => {
  it("is not at all, unless that wins beyond chance", () => {
    expect(chooseConfidence([])).toBeNull();
    expect(chooseConfidence(many(60, bothKnow))).toBeNull();
    expect(chooseConfidence([...many(50, bothKnow), ...many(4, baseKnows)])).toBeNull();
    expect(
      chooseConfidence([...many(20, weakKnows), ...many(20, { ...baseKnows, base: [0.4, 0.6] })]),
    ).toBeNull();
  });

  it("is as far as finds most, by a base that is sure where it is right", () => {
    const chosen = chooseConfidence([...many(40, weakKnows), ...many(20, baseKnows)]);
    expect(chosen?.threshold).toBeGreaterThan(0.6);
    expect(chosen?.alpha).toBeGreaterThan(0);
  });
});
