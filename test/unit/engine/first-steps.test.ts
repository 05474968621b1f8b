import { describe, expect, it } from "vitest";
import { FirstSteps, type StepCandidate } from "../../../src/engine/first-steps.js";

interface Named extends StepCandidate {
  name: string;
}

const sequence = (name: string, numRemaining: number, isReading = true): Named => ({
  ...{ name, party: name.slice(0, 1), isReading },
  cursors: [{ numRemaining: 1 }, { numRemaining }],
});
const decoding = (name: string) => sequence(name, 1, false);
const chosen = (steps: FirstSteps, sequences: Named[], mostTokens = 32) =>
  steps.choose(sequences, mostTokens).map(({ name }) => name);

describe("FirstSteps", () => {
  it("gives the only answer of a party a step of its own beside a party that runs several, and then all go on", () => {
    const steps = new FirstSteps();
    const all = [decoding("a1"), sequence("a2", 20), sequence("b1", 20)];
    expect(chosen(steps, all)).toEqual(["b1"]);
    expect(steps.isOwn).toBe(true);
    // Its prompt takes another step: not at once.
    expect(chosen(steps, all)).toEqual(["a1", "a2", "b1"]);
    expect(steps.isOwn).toBe(false);
    expect(chosen(steps, all)).toEqual(["b1"]);
    expect(chosen(steps, [decoding("a1"), decoding("a2"), decoding("b1")])).toEqual(["a1", "a2", "b1"]);
  });

  it.each([
    ["parties that run one answer each", [decoding("a1"), sequence("b1", 20), sequence("c1", 20)]],
    [
      "a party that runs several itself",
      [decoding("a1"), decoding("a2"), decoding("b1"), sequence("b2", 20)],
    ],
    ["prompts that others would feel", [decoding("a1"), decoding("a2"), sequence("b1", 33)]],
    ["nobody", []],
  ])("leaves nobody out for %s", (_case, sequences) => {
    expect(chosen(new FirstSteps(), sequences)).toEqual(sequences.map(({ name }) => name));
  });

  it("takes as many newcomers together as fit", () => {
    const all = [decoding("a1"), decoding("a2"), sequence("b1", 20), sequence("c1", 20), sequence("d1", 12)];
    expect(chosen(new FirstSteps(), all)).toEqual(["b1", "d1"]);
  });
});
