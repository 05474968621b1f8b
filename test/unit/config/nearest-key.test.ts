import { describe, expect, it } from "vitest";
import { describeUnknownKey, nearestKey } from "../../../src/config/nearest-key.js";

describe("nearestKey", () => {
  const known = ["temperature", "top_p", "maxTokens", "id", "base", "reference"];

  it.each([
    ["tempurature", "temperature"],
    ["temprature", "temperature"],
    ["Temperature", "temperature"],
    ["topP", "top_p"],
    ["max_tokens", "maxTokens"],
    ["refrence", "reference"],
    ["bsae", "base"],
  ])("%s → %s", (given, meant) => {
    expect(nearestKey(given, known)).toBe(meant);
  });

  it.each(["", "zzzzzz", "experts", "x".repeat(100_000)])("finds nothing near %.20s", (given) => {
    expect(nearestKey(given, known)).toBeNull();
  });

  it("names the known keys when none is near, and never repeats an endless key", () => {
    expect(describeUnknownKey("zzzzzz", ["a", "b"])).toBe('unknown key "zzzzzz"; known: a, b');
    expect(describeUnknownKey("y".repeat(5000), ["a"]).length).toBeLessThan(200);
  });
});
