import { describe, expect, it } from "vitest";
import { mixtureOf } from "../../../src/calibration/ask.js";
import { compared, strategyFor } from "../../../src/calibration/compare.js";
import { defaultFeature, featureOf } from "../../../src/routing/feature.js";
import { priorOf } from "../../../src/routing/prior.js";
import type { Card } from "../../../src/routing/card.js";
import { defaultStrategy, paperStrategy } from "../../../src/strategies/registry.js";
import { fakeCard } from "../../support/fake-card.js";

const rows = { law: Float32Array.from([3, 0, 0, 1]), maths: Float32Array.from([0, 3, 1, 0]) };
const found = { kind: "fused", weight: 1.5, plausibility: null } as const;
const card: Card = {
  ...fakeCard(rows),
  experts: fakeCard(rows).experts.map((expert) =>
    expert.id === "law" ? { ...expert, component: found } : expert,
  ),
};
const feature = featureOf([rows.maths], defaultFeature);
const byDefault = defaultStrategy(card.experts);

describe("a strategy for one prompt by a card", () => {
  it("begins with the shares that the card gives, each expert as the card found best", () => {
    const [base, law, maths] = priorOf(card, feature);
    expect(maths).toBeGreaterThan(0.9);
    expect(strategyFor({ strategy: byDefault, card }, feature)).toEqual(
      mixtureOf({ base: base!, law: law!, maths: maths! }, { law: found }),
    );
  });

  it("keeps what settings say themselves", () => {
    const mine = { kind: "alone", weight: 1, plausibility: null } as const;
    const strategy = mixtureOf({ law: 1 }, { law: mine });
    expect(strategyFor({ strategy, card }, feature)).toEqual(strategy);
  });

  it("is the strategy itself without a card, and where it takes nothing from one", () => {
    expect(strategyFor({ strategy: byDefault, card: null }, feature)).toBe(byDefault);
    expect(strategyFor({ strategy: paperStrategy, card }, feature)).toBe(paperStrategy);
  });
});

describe("a comparison", () => {
  const score = (numAgreed: number) => ({ numTokens: 2, numAgreed, logprob: -2 });

  it("has the figures of each way, and none without answers", () => {
    const one = (numAgreed: number) => [score(numAgreed), score(2)];
    const comparison = compared({ base: one(0), expert: one(1), today: one(0), card: one(2) });
    expect(comparison?.numAnswers).toBe(2);
    expect(comparison?.figures.expert).toEqual({ exact: 0.5, agreed: 0.75, logprob: -1 });
    expect(comparison?.figures.card.exact).toBe(1);
    expect(compared({ base: [], expert: [], today: [], card: [] })).toBeNull();
  });
});
