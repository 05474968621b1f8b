import { describe, expect, it } from "vitest";
import { cardFindings } from "../../../src/routing/card-findings.js";
import type { Card } from "../../../src/routing/card.js";
import { strategySchema, strategyTypes, type StrategyConfig } from "../../../src/strategies/registry.js";
import { fakeCard } from "../../support/fake-card.js";

const row = new Float32Array([1, 2, 3]);
const cardOf = (ids: readonly string[]) => fakeCard(Object.fromEntries(ids.map((id) => [id, row])));
const findingsOf = (
  settings: object,
  ids: readonly string[],
  hasCard: boolean,
  card: Card | null = hasCard ? cardOf(ids) : null,
) =>
  cardFindings({
    config: {
      id: "mine",
      strategy: strategySchema.parse(settings),
      experts: ids.map((id) => ({ id, model: { model: "m", gpuLayers: "auto" }, bounds: [0, 2] })),
    },
    card,
  });

describe("findings about a card", () => {
  const settings: Record<StrategyConfig["type"], object> = {
    base: {},
    static: { weights: { a: 1 } },
    dynamic: {},
    mixture: {},
  };

  it.each(strategyTypes.filter((type) => type !== "mixture"))("say that %s does not use it", (type) => {
    const [finding, ...others] = findingsOf({ type, ...settings[type] }, ["a"], true);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      code: "card_unused",
      message: expect.stringContaining(`"${type}"`) as string,
    });
    expect(findingsOf({ type, ...settings[type] }, ["a"], false)).toEqual([]);
  });

  it("say so of a mixture that has everything from its settings, and of none that takes a part from the card", () => {
    const given = { type: "mixture", prior: "uniform", components: { a: {} } };
    expect(findingsOf(given, ["a"], true)[0]?.code).toBe("card_unused");
    expect(findingsOf(given, ["a", "b"], true)).toEqual([]);
    expect(findingsOf({ ...given, prior: "card" }, ["a"], true)).toEqual([]);
    expect(findingsOf({ type: "mixture" }, ["a", "b"], true)).toEqual([]);
  });

  it("miss it where several experts depend on it", () => {
    const [finding] = findingsOf({ type: "mixture" }, ["a", "b"], false);
    expect(finding).toMatchObject({
      code: "no_card",
      advice: expect.stringContaining("`shoulders calibrate mine --examples a=FILE b=FILE`") as string,
    });
    expect(findingsOf({ type: "mixture" }, ["a"], false)).toEqual([]);
    expect(findingsOf({ type: "mixture", prior: "uniform" }, ["a", "b"], false)).toEqual([]);
  });

  it("tell of one that is wrong about most of its own examples, where several experts depend on it", () => {
    const card = cardOf(["a", "b"]);
    const saying = (accuracy: number, ids = ["a", "b"], settings: object = {}) =>
      findingsOf({ type: "mixture", ...settings }, ids, true, {
        ...card,
        figures: { ...card.figures, accuracy },
      });
    expect(saying(0.2)).toMatchObject([
      { code: "card_tells_little", message: expect.stringContaining("20 %") as string },
    ]);
    expect(saying(0.9)).toEqual([]);
    expect(saying(0.2, ["a"])).toEqual([]);
    expect(saying(0.2, ["a", "b"], { prior: "uniform" })).toEqual([]);
  });
});
