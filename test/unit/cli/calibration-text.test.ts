import { describe, expect, it } from "vitest";
import { advice, describeCalibration, workText } from "../../../src/cli/calibration-text.js";
import type { Comparison } from "../../../src/calibration/compare.js";
import { fakeCard } from "../../support/fake-card.js";
import { defaultStrategy, paperStrategy } from "../../../src/strategies/registry.js";

const figures = (exact: number, agreed = exact) => ({ exact, agreed, logprob: -1 });
const comparison = (today: number, card: number, agreed?: [number, number]): Comparison => ({
  numAnswers: 64,
  figures: {
    base: figures(0),
    expert: figures(0.5),
    today: figures(today, agreed?.[0]),
    card: figures(card, agreed?.[1]),
  },
});
const byDefault = defaultStrategy([{ id: "law" }]);
const say = (found: Comparison | null, strategy: typeof byDefault) =>
  advice(found, strategy, [{ id: "law" }], "x/mine.json");

describe("the last sentence of calibrate", () => {
  it("says what the card gives against today's config", () => {
    expect(say(comparison(0.3, 0.9), byDefault)).toBe(
      "Leave mine.json as it is, it uses the card: 90 % of 64 example answers are right as a whole with it, " +
        "30 % as the config is today.",
    );
  });

  it("says to remove a strategy that leaves the card out, and to keep one that is better", () => {
    expect(say(comparison(0.3, 0.9), paperStrategy)).toMatch(
      /^Remove "strategy" from mine\.json .* 90 % .* 30 %/,
    );
    expect(say(comparison(0.9, 0.3), paperStrategy)).toMatch(/^Keep "strategy" in mine\.json: 90 % .* 30 %/);
    expect(say(comparison(0.9, 0.9), paperStrategy)).toMatch(/^Remove "strategy"/);
  });

  it("counts tokens where no answer is ever right as a whole", () => {
    expect(say(comparison(0, 0.02, [0.4, 0.6]), byDefault)).toMatch(/: 60 % of the tokens of 64 .* 40 % as/);
  });

  it("says that nothing is known without answers", () => {
    expect(say(null, byDefault)).toMatch(/not known: without answers.* weaker\.$/);
    expect(say(null, paperStrategy)).toMatch(/^Remove "strategy"/);
  });
});

describe("a card that does not know whose its own examples are", () => {
  const ids = ["law", "maths"];
  const card = fakeCard(Object.fromEntries(ids.map((id) => [id, new Float32Array([1, 2, 3])])));
  const described = (accuracy: number) =>
    describeCalibration({ card: { ...card, figures: { ...card.figures, accuracy } }, comparison: null }, [], {
      cardFile: "mine.card.json",
      config: "mine.json",
      strategy: defaultStrategy(ids.map((id) => ({ id }))),
    });

  it("is not to be served, and the last line says what to give", () => {
    expect(described(0.1)).toMatch(/Do not serve it so: .* 10 % .*\n.*--examples law=FILE maths=FILE`\.\n$/);
    expect(described(0.1)).not.toContain("Leave mine.json");
    expect(described(0.9)).toContain("Leave mine.json as it is, it uses the card");
  });
});

describe("an estimate", () => {
  it.each([
    [0.2, "a few seconds"],
    [42, "42 seconds"],
    [100, "2 minutes"],
    [7200, "2.0 hours"],
  ])("of %d s is told as %s", (seconds, text) => {
    expect(workText("mine", { numReadings: 8, numScored: 90, seconds })).toContain(
      `about ${text}: it reads 8 prompts`,
    );
  });
});
