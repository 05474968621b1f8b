import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PrefillBudget } from "../../../src/engine/prefill-budget.js";

/** So many sequences of each party: `of({ a: 2, b: 1 })` */
function of(counts: Record<string, number>): { party: string }[] {
  return Object.entries(counts).flatMap(([party, count]) => Array.from({ length: count }, () => ({ party })));
}

/** What fits beside two that decode. */
function usual(budget: PrefillBudget): number {
  return budget.tokensFor(of({ a: 1 }), of({ a: 2 }));
}

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
    const ms = decodeMs + promptTokenMs * usual(budget);
    if (i > 0) longest = Math.max(longest, ms);
    budget.observe({ ms, numDecoding: 2, numPromptTokens: usual(budget) });
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
      const tokens = usual(settle(decodeMs, promptTokenMs).budget);
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
    expect(usual(settle(1, 50).budget)).toBe(8);
    expect(usual(settle(1000, 0.001).budget)).toBe(512);
  });

  it.each([
    ["one long prompt beside four answers", { a: 1 }, { a: 4 }, false],
    ["as many wait as decode", { a: 2 }, { a: 2 }, false],
    ["more of a party wait than decode", { a: 2 }, { a: 1 }, true],
    ["three parties wait, and one decodes", { b: 1, c: 1, d: 1 }, { a: 1 }, true],
    ["a party's crowd beside another's answer", { b: 7 }, { a: 1 }, false],
    ["a party's crowd beside the answers of two others", { b: 60 }, { a: 1, c: 1 }, false],
    ["two parties' crowds beside one's answer", { b: 2, c: 1 }, { a: 1 }, true],
    ["a party that itself waits for more, beside another's crowd", { a: 2, b: 7 }, { a: 1 }, true],
    ["crowds of parties that decode more", { a: 3, b: 3 }, { a: 4, b: 4 }, false],
  ])(
    "holds all of a batch where more wait than decode, each party as one: %s",
    (_, reading, decoding, is) => {
      const { budget } = settle(50, 1);
      expect(usual(budget)).toBeLessThan(100);
      expect(budget.tokensFor(of(reading), of(decoding))).toBe(is ? 512 : usual(budget));
    },
  );

  it("learns from steps in which all of a batch was read what it learns from others", () => {
    const { budget } = settle(50, 1);
    const before = usual(budget);
    budget.observe({ ms: 50 + 500, numDecoding: 2, numPromptTokens: 500 });
    expect(Math.abs(usual(budget) - before)).toBeLessThanOrEqual(0.1 * before);
  });

  it("learns nothing from steps in which nobody decodes", () => {
    const budget = new PrefillBudget(512);
    const before = usual(budget);
    budget.observe({ ms: 5000, numDecoding: 0, numPromptTokens: 512 });
    expect(usual(budget)).toBe(before);
  });
});
