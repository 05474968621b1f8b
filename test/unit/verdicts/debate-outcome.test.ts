import { describe, expect, it } from "vitest";
import { outcomeOf, type Transcript } from "../../../src/verdicts/debate/outcome.js";

const settings = { panel: ["expert:a", "expert:b"] as const, margin: 0.2, orders: "both" as const };
const panel = [...settings.panel];
const without = { "expert:a": [0.5, 0.3, 0.2], "expert:b": [0.1, 0.6, 0.3] };

function transcript(first: number, a: number[], b: number[], seed = 0): Transcript {
  return { seed, first, arguments: [], members: { "expert:a": a, "expert:b": b } };
}

describe("outcomeOf", () => {
  it("is the mean over members and transcripts, never a vote", () => {
    const transcripts = [
      transcript(0, [0.9, 0.1, 0], [0.2, 0.8, 0]),
      transcript(1, [0.7, 0.2, 0.1], [0.1, 0.7, 0.2]),
    ];
    const outcome = outcomeOf(without, transcripts, { ...settings, panel });
    const expected = [(0.9 + 0.2 + 0.7 + 0.1) / 4, (0.1 + 0.8 + 0.2 + 0.7) / 4, 0.3 / 4];
    outcome.probability.forEach((value, index) => expect(value).toBeCloseTo(expected[index]!, 12));
    expect(outcome.best).toBe(0);
    expect(outcome.margin).toBeCloseTo(expected[0]! - expected[1]!, 12);
    expect(outcome.isSettled).toBe(false);
    expect(outcome.with["expert:a"]![0]).toBeCloseTo(0.8, 12);
    expect(outcome.without).toBe(without);
    // Σ of the least: 0.15, 0.15 and 0.05.
    expect(outcome.agreement).toBeCloseTo(0.15 + 0.15 + 0.05, 12);
    // Candidate 0 began in the first transcript, candidate 1 in the second.
    expect(outcome.orderEffect[0]).toBeCloseTo((0.9 + 0.2) / 2 - (0.7 + 0.1) / 2, 12);
    expect(outcome.orderEffect[1]).toBeCloseTo((0.2 + 0.7) / 2 - (0.1 + 0.8) / 2, 12);
    expect(outcome.orderEffect[2]).toBeNull();
  });

  it("without transcripts is the panel's, and has no order", () => {
    const outcome = outcomeOf(without, [], { ...settings, panel });
    expect(outcome.probability[1]).toBeCloseTo(0.45, 12);
    expect(outcome.with["expert:b"]).toEqual(without["expert:b"]);
    expect(outcome.orderEffect).toEqual([null, null, null]);
  });

  it("of equal members is that of one", () => {
    const same = [transcript(0, [0.6, 0.4], [0.6, 0.4]), transcript(1, [0.3, 0.7], [0.3, 0.7])];
    const even = { "expert:a": [0.5, 0.5], "expert:b": [0.5, 0.5] };
    const both = outcomeOf(even, same, { ...settings, panel });
    const one = outcomeOf(even, same, { ...settings, panel: ["expert:a"] });
    expect(both.probability).toEqual(one.probability);
    expect(both.orderEffect).toEqual(one.orderEffect);
    expect(both.agreement).toBeCloseTo(1, 12);
  });

  it("with one order tells no effect of it", () => {
    const outcome = outcomeOf(without, [transcript(0, [1, 0, 0], [1, 0, 0])], {
      ...settings,
      panel,
      orders: "given",
    });
    expect(outcome.orderEffect).toEqual([null, null, null]);
    expect(outcome).toMatchObject({ margin: 1, isSettled: true, best: 0 });
  });
});
