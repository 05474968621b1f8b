import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { priorSource, Shares, type ShareSettings } from "../../../src/engine/shares.js";

const strategy = { type: "mixture", prior: "card", components: {}, floor: 0.01 } as const;
const open: ShareSettings = { floor: 0, bias: [], isPinned: false };
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

describe("priorSource", () => {
  it.each([
    ["the prompt, with a card", strategy, null, true, "prompt"],
    ["uniform, without one", strategy, null, false, [1, 1, 1]],
    [
      "uniform, where the strategy says so",
      { ...strategy, prior: "uniform" as const },
      null,
      true,
      [1, 1, 1],
    ],
    ["the strategy's", { ...strategy, prior: { b: 0.5, base: 0.25 } }, null, true, [0.25, 0, 0.5]],
    ["the request's", strategy, { a: 3 }, true, [0, 3, 0]],
    ["uniform, where the request says so", strategy, "uniform" as const, true, [1, 1, 1]],
    [
      "the strategy's, where the request only biases it",
      { ...strategy, prior: { a: 1 } },
      null,
      true,
      [0, 1, 0],
    ],
  ])("is %s", (_, config, shares, hasCard, expected) => {
    const request = { shares, bias: { a: 1 }, isPinned: false };
    expect(priorSource(["a", "b"], config, request, hasCard)).toEqual(expected);
  });
});

describe("Shares", () => {
  it("are the prior in proportion, biased in the logarithm", () => {
    const shares = new Shares([2, 1, 1], { ...open, bias: [0, Math.log(2), 0] });
    expect(shares.values.map((share) => Number(share.toFixed(12)))).toEqual([0.4, 0.4, 0.2]);
  });

  it("are shares however small the prior and however strong the bias", () => {
    const shares = new Shares([1e-300, 0, 1e-300], { ...open, bias: [-100, 100, -100] });
    expect(shares.values).toEqual([0.5, 0, 0.5]);
  });

  it("let experts below the floor sleep, but never the largest, and never wake them", () => {
    const shares = new Shares([0, 0.005, 0.1, 0.895], { ...open, floor: 0.01 });
    expect([0, 1, 2].map((expert) => shares.isAwake(expert))).toEqual([false, true, true]);
    expect(shares.skipped).toBeCloseTo(0.005, 12);
    shares.learn([2, 3], [Math.log(1e-4), 0]);
    expect([0, 1, 2].map((expert) => shares.isAwake(expert))).toEqual([false, false, true]);
    expect(sum(shares.values)).toBeCloseTo(1, 12);
    expect(shares.values[1]).toBeCloseTo(0.005, 12);
    expect(new Shares([1, 1, 1], { ...open, floor: 1 }).isAwake(1)).toBe(false);
    expect(new Shares([0, 1, 2], { ...open, floor: 1 }).isAwake(1)).toBe(true);
  });

  it("stay as they are when pinned", () => {
    const shares = new Shares([1, 3], { ...open, isPinned: true });
    shares.learn([1, 0], [-50, 0]);
    expect(shares.values).toEqual([0.25, 0.75]);
  });

  it("after a text are Bayes over the text: the order of its tokens does not matter", () => {
    const share = fc.double({ min: 0.01, max: 1, noNaN: true });
    const logprob = fc.double({ min: -30, max: 0, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(share, { minLength: 3, maxLength: 3 }),
        fc.array(fc.array(logprob, { minLength: 3, maxLength: 3 }), { maxLength: 8 }),
        (prior, text) => {
          const shares = new Shares(prior, open);
          for (const token of text) shares.learn([1, 2, 0], [token[1]!, token[2]!, token[0]!]);
          const joint = prior.map((value, c) => Math.log(value) + sum(text.map((token) => token[c]!)));
          const most = Math.max(...joint);
          const total = sum(joint.map((value) => Math.exp(value - most)));
          joint.forEach((value, c) =>
            expect(shares.values[c]).toBeCloseTo(Math.exp(value - most) / total, 9),
          );
        },
      ),
    );
  });
});
