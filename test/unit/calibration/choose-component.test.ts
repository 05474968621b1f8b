import { describe, expect, it } from "vitest";
import type { AnswerScore } from "../../../src/calibration/ask.js";
import {
  chooseComponent,
  figuresOf,
  isBetter,
  isClearlyBetter,
  trialReadings,
} from "../../../src/calibration/choose-component.js";
import { mixture } from "../../../src/strategies/mixture.js";
import type { ComponentConfig } from "../../../src/strategies/fields.js";

const wrong: AnswerScore = { numTokens: 4, numAgreed: 3, logprob: -6 };
const right: AnswerScore = { numTokens: 4, numAgreed: 4, logprob: -1 };

/** So many right answers of 20, the first ones. */
const scores = (numRight: number): AnswerScore[] =>
  Array.from({ length: 20 }, (_, index) => (index < numRight ? right : wrong));

const usual = { kind: "fused", weight: 1, plausibility: { ratio: 0.1, of: "gated" } };

async function choose(
  numRightOf: (component: ComponentConfig) => number,
  areOwn = false,
  scoresFor: (numRight: number) => AnswerScore[] = scores,
) {
  const asked: ComponentConfig[] = [];
  let numReadings = 0;
  const chosen = await chooseComponent((components) => {
    numReadings++;
    asked.push(...components);
    return Promise.resolve(components.map((component) => scoresFor(numRightOf(component))));
  }, areOwn);
  expect(chosen.trials.map(({ kind, weight, plausibility }) => ({ kind, weight, plausibility }))).toEqual(
    asked,
  );
  expect(numReadings).toBeLessThanOrEqual(trialReadings);
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
  it("begins with what a config does that has no card", async () => {
    expect((await choose(() => 10)).component).toEqual(
      mixture.schema.parse({
        type: "mixture",
        components: { e: {} },
      }).components["e"],
    );
  });

  it("sees which tokens are to take part in answers that never come out whole, but not how strongly", async () => {
    const long = (numRight: number): AnswerScore[] =>
      Array.from({ length: 20 }, (_, index) => ({
        numTokens: 40,
        numAgreed: index < numRight ? 30 : 29,
        logprob: -9,
      }));
    const numRightOf = ({ plausibility, weight }: ComponentConfig) =>
      plausibility?.of !== "expert" ? 5 : weight === 1 ? 12 : 20;
    const { component } = await choose(numRightOf, false, long);
    expect(component).toEqual({ kind: "fused", weight: 1, plausibility: { ratio: 0.02, of: "expert" } });
  });

  it("does not lose whole answers for tokens", async () => {
    const whole = (numRight: number): AnswerScore[] =>
      Array.from({ length: 20 }, (_, index) =>
        index === 0 && numRight < 10 ? right : { ...wrong, numAgreed: index > 0 && index < numRight ? 3 : 2 },
      );
    const { component } = await choose(
      ({ plausibility }) => (plausibility?.of === "joint" ? 18 : 5),
      false,
      whole,
    );
    expect(component).toEqual(usual);
  });

  it("wants more of own answers, in which the expert errs as well", async () => {
    const numRightOf = (num: number) => (component: ComponentConfig) =>
      component.plausibility?.ratio === 0.02 ? num : 5;
    expect((await choose(numRightOf(13))).component).toMatchObject({ plausibility: { ratio: 0.02 } });
    expect((await choose(numRightOf(13), true)).component).toEqual(usual);
    expect((await choose(numRightOf(15), true)).component).toMatchObject({ plausibility: { ratio: 0.02 } });
  });

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
