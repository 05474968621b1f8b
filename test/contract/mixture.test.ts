import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { fuseRows, type RowStrategy as Strategy } from "../support/fuse-rows.js";
import { createKernel, kernelNames } from "../../src/fusion/kernel/kernel.js";
import type { Component } from "../../src/strategies/mixture-row.js";
import { posterior } from "../../src/strategies/shares.js";
import type { Fusion, LogitsRows } from "../../src/fusion/types.js";
import { numRuns } from "../support/num-runs.js";
import { anyRows, makeRows } from "../support/rows.js";

const joint = { ratio: 0.1, of: "joint" } as const;
const anyComponent = fc.record<Component>({
  kind: fc.constantFrom("fused", "alone"),
  weight: fc.constantFrom<Component["weight"][]>(0.5, 1, 1.7, "solved"),
  bounds: fc.constant([0, 2] as const),
  plausibility: fc.constantFrom(null, joint, { ratio: 0.3, of: "expert" } as const),
});
const anyMixture = fc.record({
  rows: anyRows,
  components: fc.array(anyComponent, { minLength: 3, maxLength: 3 }),
  shares: fc.array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 }),
});
const free = [Infinity, Infinity, Infinity];

/** Probabilities, copied out of the kernel. */
const lawOf = ({ row }: Fusion) => Array.from(row.logits, (logit) => Math.exp(logit - row.logNormalizer));
const worstOf = (a: readonly number[], b: readonly number[]) =>
  Math.max(0, ...a.map((value, i) => Math.abs(value - (b[i] as number))));

/** The strategy of a single expert that a component is to be, over rows of its own. */
function singleOf(component: Component, rows: LogitsRows, expert: number): [LogitsRows, Strategy] {
  const { kind, weight, bounds, plausibility } = component;
  const experts = [rows.experts[expert] as Float32Array];
  if (kind === "alone")
    return [
      { base: rows.base, reference: rows.base, experts },
      { type: "static", weights: [1], plausibility },
    ];
  const strategy: Strategy =
    weight === "solved"
      ? { type: "dynamic", solver: "exact", bounds: [bounds], plausibility }
      : { type: "static", weights: [weight], plausibility };
  return [{ ...rows, experts }, strategy];
}

describe.each(kernelNames)("a mixture with the %s kernel", (name) => {
  const kernel = createKernel(name, { vocabularySize: 512, numExperts: 3 });
  const mix = (
    rows: LogitsRows,
    components: readonly Component[],
    shares: readonly number[],
    budgets = free,
  ) => fuseRows(kernel, rows, { type: "mixture", components }, { shares, budgets });

  it("is the sum of the laws of its components, by their shares", () => {
    fc.assert(
      fc.property(anyMixture, ({ rows, components, shares }) => {
        const used = shares.slice(0, rows.experts.length + 1);
        const total = used.reduce((sum, share) => sum + share, 0);
        const laws = [lawOf(fuseRows(kernel, rows, { type: "base" }))];
        rows.experts.forEach((_, t) =>
          laws.push(lawOf(fuseRows(kernel, ...singleOf(components[t]!, rows, t)))),
        );
        const fusion = mix(rows, components, used);
        const expected = laws[0]!.map((_, i) =>
          laws.reduce((sum, law, c) => sum + (used[c]! / total) * law[i]!, 0),
        );
        expect(worstOf(lawOf(fusion), expected)).toBeLessThan(2e-5);
        // ln P_c of each, by which the shares are to change.
        const token = expected.indexOf(Math.max(...expected));
        const logprobs = fusion.row.componentLogprobs(token);
        fusion.mixed.forEach((expert, place) =>
          expect(
            Math.abs(Math.exp(logprobs[place]!) - laws[expert === null ? 0 : expert + 1]![token]!),
          ).toBeLessThan(2e-5),
        );
      }),
      { numRuns: numRuns(60) },
    );
  });

  it("of one component is exactly that of the single expert's strategy", () => {
    fc.assert(
      fc.property(anyMixture, fc.nat(2), ({ rows, components }, which) => {
        const expert = which % rows.experts.length;
        const shares = [0, ...rows.experts.map((_, t) => (t === expert ? 1 : 0))];
        const single = fuseRows(kernel, ...singleOf(components[expert]!, rows, expert));
        const expected = lawOf(single);
        const fusion = mix(rows, components, shares);
        expect(lawOf(fusion)).toEqual(expected);
        expect(fusion.mixed).toEqual([]);
        expect(fusion.weights[expert]).toBe(single.weights[0]);
        expect(fusion.targets[expert]).toEqual(single.targets[0]);
        expect([fusion.divergence, fusion.nats]).toEqual([single.divergence, single.nats]);
      }),
      { numRuns: numRuns(60) },
    );
  });

  it("with all shares on the base is the base", () => {
    const rows = makeRows({
      seed: 3,
      length: 100,
      numExperts: 2,
      spread: 3,
      shift: 2,
      numPeaks: 2,
      offset: 5,
    });
    const component: Component = { kind: "fused", weight: 1, bounds: [0, 2], plausibility: joint };
    const fusion = mix(rows, [component, component], [1, 0, 0]);
    expect(Array.from(fusion.row.logits)).toEqual(Array.from(rows.base));
    expect(fusion).toMatchObject({ chosen: null, nats: 0, divergence: { forward: 0, reverse: 0 } });
  });

  it("does not depend on the order of the experts", () => {
    fc.assert(
      fc.property(anyMixture, ({ rows, components, shares }) => {
        const order = [...rows.experts.keys()].reverse();
        const fusion = mix(rows, components, shares.slice(0, rows.experts.length + 1));
        const [law, weights] = [lawOf(fusion), fusion.weights];
        const turned = mix(
          { ...rows, experts: order.map((t) => rows.experts[t]!) },
          order.map((t) => components[t]!),
          [shares[0]!, ...order.map((t) => shares[t + 1]!)],
        );
        expect(worstOf(lawOf(turned), law)).toBeLessThan(1e-6);
        expect(order.map((_, place) => turned.weights[place])).toEqual(order.map((t) => weights[t]));
      }),
      { numRuns: numRuns(60) },
    );
  });

  it("leaves out an expert that is the reference, shifted or not", () => {
    fc.assert(
      fc.property(anyMixture, fc.constantFrom(0, 0.25, 8), ({ rows, components, shares }, constant) => {
        fc.pre(rows.base.length > 1);
        const others = shares.slice(0, rows.experts.length + 1);
        const expected = lawOf(mix(rows, components, others));
        const idle = rows.reference!.map((logit) => logit + constant);
        const fused: Component = { kind: "fused", weight: 1, bounds: [0, 2], plausibility: joint };
        const more = createKernel(name, { vocabularySize: 512, numExperts: 4 });
        const fusion = fuseRows(
          more,
          { ...rows, experts: [...rows.experts, idle] },
          { type: "mixture", components: [...components.slice(0, rows.experts.length), fused] },
          { shares: [...others, 0.7], budgets: [...free, Infinity] },
        );
        expect(lawOf(fusion)).toEqual(expected);
        expect(fusion.mixed).not.toContain(rows.experts.length);
      }),
      { numRuns: numRuns(40) },
    );
  });

  it("of nobody but experts that are the reference is the base", () => {
    const rows = makeRows({
      seed: 3,
      length: 50,
      numExperts: 2,
      spread: 3,
      shift: 2,
      numPeaks: 2,
      offset: 0,
    });
    const reference = rows.reference as Float32Array;
    const component: Component = { kind: "fused", weight: 1, bounds: [0, 2], plausibility: null };
    const experts = [reference, reference.map((logit) => logit + 8)];
    const fusion = mix({ ...rows, experts }, [component, component], [0, 1, 1]);
    expect(fusion.mixed).toHaveLength(2);
    expect(fusion.chosen).toBeNull();
    const base = lawOf(fuseRows(kernel, rows, { type: "base" }));
    expect(worstOf(lawOf(mix({ ...rows, experts }, [component, component], [0, 1, 1])), base)).toBeLessThan(
      1e-6,
    );
  });

  it("names the expert whose row is not finite", () => {
    const rows = makeRows({
      seed: 3,
      length: 50,
      numExperts: 3,
      spread: 3,
      shift: 2,
      numPeaks: 2,
      offset: 0,
    });
    rows.experts[1]![7] = NaN;
    const component: Component = { kind: "fused", weight: 1, bounds: [0, 2], plausibility: null };
    const run = () => mix(rows, [component, component, component], [1, 1, 1, 1]);
    expect(run).toThrow(ShouldersError);
    expect(run).toThrow(/row of expert 1 holds NaN at token 7/);
  });

  describe("a budget", () => {
    const natsOf = (law: readonly number[], base: readonly number[]) =>
      law.reduce((sum, p, i) => sum + (p > 0 ? p * Math.log(p / base[i]!) : 0), 0);
    const strategies = (rows: LogitsRows, components: readonly Component[]): Strategy[] => [
      { type: "mixture", components },
      ...[null, joint].flatMap((plausibility): Strategy[] => [
        { type: "static", weights: rows.experts.map(() => 0.8), plausibility },
        { type: "dynamic", solver: "exact", bounds: rows.experts.map(() => [0, 2] as const), plausibility },
      ]),
    ];

    it("is never exceeded, and not cut where it does not bind", () => {
      fc.assert(
        fc.property(anyMixture, fc.constantFrom(0, 0.01, 0.3, 2), ({ rows, components, shares }, budget) => {
          const base = lawOf(fuseRows(kernel, rows, { type: "base" }));
          for (const strategy of strategies(rows, components)) {
            const settings = { shares: shares.slice(0, rows.experts.length + 1), budgets: free };
            const whole = fuseRows(kernel, rows, strategy, settings);
            const wholeLaw = lawOf(whole);
            expect(Math.abs(natsOf(wholeLaw, base) - whole.nats)).toBeLessThan(1e-4 + 1e-3 * whole.nats);
            const cut = fuseRows(kernel, rows, strategy, { ...settings, budgets: free.map(() => budget) });
            const cutLaw = lawOf(cut);
            expect(cut.nats).toBeLessThanOrEqual(budget + 1e-9);
            expect(natsOf(cutLaw, base)).toBeLessThanOrEqual(budget + 1e-4 + 1e-3 * budget);
            if (strategy.type !== "mixture" && whole.nats <= budget) expect(cutLaw).toEqual(wholeLaw);
            // A single step is cut to a thousandth below the budget.
            if (strategy.type === "static" && strategy.plausibility === null && whole.nats > budget)
              expect(cut.nats).toBeGreaterThanOrEqual(0.998 * budget);
          }
        }),
        { numRuns: numRuns(40) },
      );
    });

    it("lets all tokens take part where the plausible ones alone cost more", () => {
      const rows: LogitsRows = {
        base: Float32Array.of(3, 0, 0, 0, 0),
        reference: Float32Array.of(0, 0, 0, 0, 0),
        experts: [Float32Array.of(0, 4, 0, 0, 0)],
      };
      const strategy = { type: "static", weights: [1], plausibility: { ratio: 0.5, of: "expert" } } as const;
      const whole = fuseRows(kernel, rows, strategy);
      expect(Array.from(whole.row.logits, (logit) => logit > -Infinity)).toEqual([
        false,
        true,
        false,
        false,
        false,
      ]);
      const cut = fuseRows(kernel, rows, strategy, { shares: [1, 1], budgets: [0.2] });
      expect(Array.from(cut.row.logits).every(Number.isFinite)).toBe(true);
      expect(cut.nats).toBeGreaterThan(0.199);
      expect(cut.nats).toBeLessThanOrEqual(0.2);
      expect(cut.weights[0]).toBeLessThan(1);
    });
  });
});

describe("posterior", () => {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

  it("is Bayes' rule among what was mixed, which keeps what it had together", () => {
    const next = posterior([0.4, 0.2], [Math.log(0.5), Math.log(0.25)]);
    // 0.4 · 0.5 : 0.2 · 0.25 = 4 : 1, of the 0.6 that both had
    expect(next[0]).toBeCloseTo(0.48, 12);
    expect(next[1]).toBeCloseTo(0.12, 12);
  });

  it("keeps the shares where nothing is learned, and their sum always", () => {
    expect(posterior([0.5, 0.5], [-Infinity, -Infinity])).toEqual([0.5, 0.5]);
    expect(posterior([], [])).toEqual([]);
    expect(posterior([0.5, 0.5], [-1, -Infinity])).toEqual([1, 0]);
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.double({ min: 1e-9, max: 1, noNaN: true }),
            fc.double({ min: -800, max: 0, noNaN: true }),
          ),
          {
            minLength: 2,
          },
        ),
        (components) => {
          const total = sum(components.map(([share]) => share));
          const shares = components.map(([share]) => share / total);
          const next = posterior(
            shares,
            components.map(([, logprob]) => logprob),
          );
          expect(sum(next)).toBeCloseTo(1, 9);
          expect(next.every((share) => share >= 0)).toBe(true);
        },
      ),
    );
  });
});
