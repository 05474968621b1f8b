import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PrefillBudget } from "../../../src/engine/prefill-budget.js";

/** A machine whose steps cost a fixed time and so much a prompt token. */
function settle(
  decodeMs: number,
  promptTokenMs: number,
  steps = 60,
): { budget: PrefillBudget; longest: number } {
  const budget = new PrefillBudget(512);
  for (let i = 0; i < 10; i++) budget.observe({ ms: decodeMs, numDecoding: 2, numPromptTokens: 0 });
  let longest = 0;
  for (let i = 0; i < steps; i++) {
    const ms = decodeMs + promptTokenMs * budget.tokensFor(1, 2);
    if (i > 0) longest = Math.max(longest, ms);
    budget.observe({ ms, numDecoding: 2, numPromptTokens: budget.tokensFor(1, 2) });
  }
  return { budget, longest };
}

describe("PrefillBudget", () => {
  it.each([
    [10, 0.1, 150],
    [50, 1, 75],
    [4, 0.02, 300],
  ])(
    "with steps of %d ms and %d ms a prompt token settles near %d tokens",
    (decodeMs, promptTokenMs, expected) => {
      const tokens = settle(decodeMs, promptTokenMs).budget.tokensFor(1, 2);
      expect(Math.abs(tokens - expected)).toBeLessThanOrEqual(expected * 0.1);
    },
  );

  it("after its first step keeps within three times the step without prompts, where 8 tokens fit in that", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1, max: 200, noNaN: true }),
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        (ms, share) => {
          const promptTokenMs = (share * ms) / 8;
          expect(settle(ms, promptTokenMs).longest).toBeLessThanOrEqual(3 * ms);
        },
      ),
    );
  });

  it("never falls below 8 tokens, nor rises above the batch", () => {
    expect(settle(1, 50).budget.tokensFor(1, 2)).toBe(8);
    expect(settle(1000, 0.001).budget.tokensFor(1, 2)).toBe(512);
  });

  it("is as many times larger as more wait than decode, up to four, and never above the batch", () => {
    const { budget } = settle(50, 1);
    const tokens = budget.tokensFor(4, 4);
    expect([1, 2, 3, 8, 100].map((numReading) => budget.tokensFor(numReading, 2))).toEqual(
      [1, 1, 1.5, 4, 4].map((factor) => Math.min(512, Math.round(factor * tokens))),
    );
    // What it has learned does not change by that: a step of four times the tokens takes as much longer.
    budget.observe({ ms: 50 + 4 * tokens, numDecoding: 2, numPromptTokens: 4 * tokens });
    expect(budget.tokensFor(1, 2)).toBeGreaterThan(0.9 * tokens);
  });

  it("learns nothing from steps in which nobody decodes", () => {
    const budget = new PrefillBudget(512);
    const before = budget.tokensFor(1, 2);
    budget.observe({ ms: 5000, numDecoding: 0, numPromptTokens: 512 });
    expect(budget.tokensFor(1, 2)).toBe(before);
  });
});
