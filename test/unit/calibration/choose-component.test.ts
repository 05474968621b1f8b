import { describe, expect, it } from "vitest";
import type { AnswerScore } from "../../../src/calibration/ask.js";
import {
  chooseComponent,
  figuresOf,
  isBetter,
  isClearlyBetter,
  mostTrials,
} from "../../../src/calibration/choose-component.js";
import type { ComponentConfig } from "../../../src/strategies/fields.js";

const wrong: AnswerScore = { numTokens: 4, numAgreed: 3, logprob: -6 };
const right: AnswerScore = { numTokens: 4, numAgreed: 4, logprob: -1 };

/** So many right answers of 20, the first ones. */
const scores = (numRight: number): AnswerScore[] =>
  Array.from({ length: 20 }, (_, index) => (index < numRight ? right : wrong));

const usual = { kind: "fused", weight: 1, plausibility: { ratio: 0.02, of: "expert" } };

async function choose(numRightOf: (component: ComponentConfig) => number, areOwn = false) {
  const asked: ComponentConfig[] = [];
  const chosen = await chooseComponent((component) => {
    asked.push(component);
    return Promise.resolve(scores(numRightOf(component)));
  }, areOwn);
  expect(chosen.trials.map(({ kind, weight, plausibility }) => ({ kind, weight, plausibility }))).toEqual(
    asked,
  );
  expect(asked.length).toBeLessThanOrEqual(mostTrials);
  return chosen;
}

describe("the figures of answers", () => {
  it("count whole answers, tokens and nats a token", () => {
    expect(figuresOf([right, right, wrong, wrong])).toEqual({
      exact: 0.5,
      agreed: 14 / 16,
      logprob: -14 / 16,
    });
  });

  it("are compared by whole answers, then tokens, then likelihood", () => {
    const figures = { exact: 0.5, agreed: 0.8, logprob: -1 };
    expect(isBetter({ exact: 0.6, agreed: 0, logprob: -9 }, figures)).toBe(true);
    expect(isBetter({ exact: 0.4, agreed: 1, logprob: 0 }, figures)).toBe(false);
    expect(isBetter({ ...figures, agreed: 0.9, logprob: -9 }, figures)).toBe(true);
    expect(isBetter({ ...figures, logprob: -0.5 }, figures)).toBe(true);
    expect(isBetter(figures, figures)).toBe(false);
  });
});

describe("a clear difference", () => {
  it("needs more gained than chance gives", () => {
    expect(isClearlyBetter(scores(14), scores(10))).toBe(false);
    expect(isClearlyBetter(scores(15), scores(10))).toBe(true);
    expect(isClearlyBetter(scores(10), scores(10))).toBe(false);
    // Ten gained, five lost.
    expect(isClearlyBetter(scores(10).reverse(), scores(5))).toBe(false);
    expect(isClearlyBetter(scores(10), scores(15))).toBe(false);
  });
});

describe("the choice of a component", () => {
  it("stays with the usual one where nothing is clearly better", async () => {
    const { component } = await choose(({ plausibility, weight }) =>
      plausibility?.of === "joint" || weight === "solved" ? 14 : 10,
    );
    expect(component).toEqual(usual);
  });

  it("takes the expert by itself, or the base, where that is best", async () => {
    expect((await choose(({ kind }) => (kind === "alone" ? 20 : 5))).component).toMatchObject({
      kind: "alone",
    });
    const { component, trials } = await choose(({ weight }) => (weight === 0 ? 20 : 5));
    expect(component).toEqual({ kind: "fused", weight: 0, plausibility: null });
    expect(trials.some(({ weight }) => weight === "solved")).toBe(false);
  });

  it("brings how the answers came out by the base and by the expert alone", async () => {
    const { ofBase, ofExpert } = await choose(({ kind, weight }) =>
      kind === "alone" ? 7 : weight === 0 ? 3 : 5,
    );
    expect(ofBase).toEqual(scores(3));
    expect(ofExpert).toEqual(scores(7));
  });

  it("does not ask an expert alone for its own answers", async () => {
    const { trials, ofBase, ofExpert } = await choose(({ kind }) => (kind === "alone" ? 20 : 5), true);
    expect(trials.every(({ kind, weight }) => kind === "fused" && weight !== 0)).toBe(true);
    expect([ofBase, ofExpert]).toEqual([[], []]);
  });

  it("looks for the weight in the set that is best", async () => {
    const { component } = await choose(({ plausibility, weight }) =>
      plausibility?.of === "joint" ? (weight === 0.5 ? 20 : 15) : 5,
    );
    expect(component).toEqual({ kind: "fused", weight: 0.5, plausibility: { ratio: 0.1, of: "joint" } });
  });
});
