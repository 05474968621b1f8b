import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contestOf } from "../../src/engine/token-record.js";
import { createKernel, kernelNames } from "../../src/fusion/kernel/kernel.js";
import type { FusionKernel, LogitsRows } from "../../src/fusion/types.js";
import type { Component } from "../../src/strategies/mixture-row.js";
import { fuseRows, type RowStrategy } from "../support/fuse-rows.js";
import { numRuns } from "../support/num-runs.js";
import { anyRows } from "../support/rows.js";

/** What each of several models says by itself, and what follows from it. */

const gated = { ratio: 0.1, of: "gated" } as const;
const anySum = fc.record({
  rows: anyRows,
  weights: fc.array(fc.constantFrom(-0.5, 0.5, 1, 1.7), { minLength: 3, maxLength: 3 }),
  plausibility: fc.constantFrom(null, gated, { ratio: 0.3, of: "expert" } as const),
  budgets: fc.array(fc.constantFrom(0.1, 2, Infinity), { minLength: 3, maxLength: 3 }),
});
const component: Component = { kind: "fused", weight: 1, bounds: [0, 2], plausibility: gated };
const mixture: RowStrategy = { type: "mixture", components: [component, component, component] };

const open = (weight: number) => ({ type: "static", weights: [weight], plausibility: null }) as const;

function contest(kernel: FusionKernel, rows: LogitsRows, strategy: RowStrategy, shares?: number[]) {
  const { singles, row } = fuseRows(kernel, rows, strategy, shares && { shares });
  return contestOf(singles, row.top(1)[0]!.token);
}

describe.each(kernelNames)("what each says by itself, with the %s kernel", (name) => {
  const kernel = createKernel(name, { vocabularySize: 512, numExperts: 3 });

  it("is what a config with that expert alone would say, and changes nothing about the sum", () => {
    fc.assert(
      fc.property(anySum, ({ rows, weights, plausibility, budgets }) => {
        const strategy = { type: "static", weights, plausibility } as const;
        const fusion = fuseRows(kernel, rows, strategy, { budgets });
        const logits = Float32Array.from(fusion.row.logits);
        const { singles } = fusion;
        if (rows.experts.length < 2) expect(singles).toEqual([]);
        for (const { expert, best } of singles) {
          const alone = fuseRows(
            kernel,
            { ...rows, experts: [rows.experts[expert!]!] },
            { ...strategy, weights: [weights[expert!]!] },
            { budgets: [budgets[expert!]!] },
          );
          expect(alone.row.top(1)[0]).toEqual(best);
        }
        // The row itself: what the kernel makes of the same weights without having looked at anybody.
        const kept = fusion.weights.some((weight, t) => Math.abs(weight - weights[t]!) > 1e-9);
        if (kept || budgets.some((budget) => budget < Infinity)) return;
        kernel.load(rows, plausibility);
        expect(Float32Array.from(kernel.fuse(weights).row.logits)).toEqual(logits);
      }),
      { numRuns: numRuns(60) },
    );
  });

  it("is not asked of an expert that is the reference, nor of one at weight 0 or without a share", () => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        const [first] = rows.experts;
        const same = { ...rows, experts: [first!, rows.reference!] };
        const sum = { type: "static", weights: [1, 1], plausibility: gated } as const;
        expect(contest(kernel, same, sum)).toBeNull();
        // Nor has it a say about which tokens take part.
        const together = lawOf(kernel, same, sum);
        const alone = lawOf(kernel, { ...same, experts: [first!] }, { ...sum, weights: [1] });
        alone.forEach((p, token) => expect(together[token]).toBeCloseTo(p, 6));
        const two = { ...rows, experts: [first!, rows.experts.at(-1)!] };
        expect(contest(kernel, two, { type: "static", weights: [1, 0], plausibility: gated })).toBeNull();
        expect(contest(kernel, same, mixture, [0, 0.5, 0.5])).toBeNull();
        expect(contest(kernel, two, mixture, [0, 1, 0])).toBeNull();
      }),
      { numRuns: numRuns(40) },
    );
  });

  it("is the same whatever the order of the experts", () => {
    fc.assert(
      fc.property(
        anyRows.filter(({ experts }) => experts.length === 3),
        fc.boolean(),
        (rows, isMixed) => {
          const strategy: RowStrategy = isMixed
            ? mixture
            : { type: "static", weights: [1, 1, 1], plausibility: null };
          const shares = isMixed ? [0.1, 0.3, 0.3, 0.3] : undefined;
          const [a, b, c] = rows.experts;
          // Which token is on top must not be a matter of the sum's last bits.
          const [top, next] = fuseRows(kernel, rows, strategy, shares && { shares }).row.top(2);
          fc.pre(next === undefined || top!.logprob - next.logprob > 1e-4);
          const found = contest(kernel, rows, strategy, shares);
          const turned = contest(kernel, { ...rows, experts: [c!, a!, b!] }, strategy, shares);
          // Of two that are equally sure of one token either may be named.
          expect(turned?.by.best.token).toBe(found?.by.best.token);
          expect(turned?.against.best.token).toBe(found?.against.best.token);
        },
      ),
      { numRuns: numRuns(60) },
    );
  });

  // Why there is no mode that steers a middle model by a small one and the large by the middle: its model cancels.
  it("chained fusion is direct fusion: b + α₂((m + α₁(e − r)) − m) = b + α₁α₂(e − r)", () => {
    fc.assert(
      fc.property(
        anyRows,
        fc.constantFrom(0.5, 1, 1.7),
        fc.constantFrom(0.5, 1, 1.5),
        (rows, first, second) => {
          const [expert, middle = rows.base] = [rows.experts[0]!, rows.experts[1]];
          const length = rows.base.length;
          const exact = (row: Float32Array) => Float64Array.from(row);
          const [b, m, e, r] = [rows.base, middle, expert, rows.reference!].map(exact) as [
            Float64Array,
            Float64Array,
            Float64Array,
            Float64Array,
          ];
          for (let token = 0; token < length; token++) {
            const steered = m[token]! + first * (e[token]! - r[token]!);
            const chained = b[token]! + second * (steered - m[token]!);
            const direct = b[token]! + first * second * (e[token]! - r[token]!);
            expect(Math.abs(chained - direct)).toBeLessThan(1e-6);
          }
          // And so the kernel's own laws, as far as float32 rows of a middle model carry it.
          const steered = fuseRows(
            kernel,
            { base: middle, reference: rows.reference, experts: [expert] },
            { type: "static", weights: [first], plausibility: null },
          );
          const whole = Float32Array.from(steered.row.logits);
          const chained = lawOf(
            kernel,
            { base: rows.base, reference: middle, experts: [whole] },
            open(second),
          );
          const direct = lawOf(kernel, { ...rows, experts: [expert] }, open(first * second));
          chained.forEach((p, token) => expect(Math.abs(p - direct[token]!)).toBeLessThan(1e-3));
        },
      ),
      { numRuns: numRuns(40) },
    );
  });
});

function lawOf(kernel: FusionKernel, rows: LogitsRows, strategy: RowStrategy): number[] {
  const { row } = fuseRows(kernel, rows, strategy);
  return Array.from(row.logits, (_, token) => Math.exp(row.logprob(token)));
}

describe("a contested token", () => {
  const says = (expert: number | null, token: number, logprob: number, share = 1) => ({
    expert,
    share,
    best: { token, logprob },
  });

  it("is one that the surest would not have said, with whoever would", () => {
    const sure = says(0, 5, -0.1);
    const less = says(1, 7, -0.5);
    expect(contestOf([sure, less], 7)).toEqual({ by: sure, against: less });
    expect(contestOf([less, sure], 7)).toEqual({ by: sure, against: less });
    expect(contestOf([sure, less], 5)).toBeNull();
  });

  it("weighs sureness by share", () => {
    const likely = says(0, 5, -0.5, 0.9);
    const unlikely = says(null, 7, 0, 0.1);
    expect(contestOf([unlikely, likely], 5)).toBeNull();
    expect(contestOf([unlikely, likely], 7)).toEqual({ by: likely, against: unlikely });
  });

  it("names the surest of the others where none says the fused token", () => {
    const [first, second, third] = [says(0, 5, -0.1), says(1, 7, -0.5), says(2, 9, -0.3)];
    expect(contestOf([first, second, third], 11)).toEqual({ by: first, against: third });
    expect(contestOf([first, second, third], 7)).toEqual({ by: first, against: second });
  });

  it("of two that are equally sure asks the one that was not heard", () => {
    const [heard, other] = [says(0, 5, 0), says(1, 7, 0)];
    expect(contestOf([heard, other], 5)).toEqual({ by: other, against: heard });
  });

  it("needs two", () => {
    expect(contestOf([], 5)).toBeNull();
    expect(contestOf([says(0, 7, 0)], 5)).toBeNull();
  });
});
