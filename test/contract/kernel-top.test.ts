import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKernel, kernelNames } from "../../src/fusion/kernel/kernel.js";

describe.each(kernelNames)("top of the %s kernel", (name) => {
  const value = fc.oneof(
    { weight: 9, arbitrary: fc.float({ min: -20, max: 20, noNaN: true }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 5, -Infinity) },
  );

  it("is the sorted row's beginning, ties by the lower token, wherever the best ones lie", () => {
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 20 }),
        (values, k) => {
          fc.pre(values.some((logit) => logit > -Infinity));
          const base = Float32Array.from(values);
          const kernel = createKernel(name, { vocabularySize: 200, numExperts: 1 });
          kernel.load({ base, reference: null, experts: [] }, null);
          const expected = [...base.keys()]
            .filter((token) => base[token]! > -Infinity)
            .sort((a, b) => base[b]! - base[a]! || a - b)
            .slice(0, k);
          const best = Math.max(...base);
          const logSum = best + Math.log(base.reduce((sum, logit) => sum + Math.exp(logit - best), 0));
          const top = kernel.top("base", k);
          expect(top.map(({ token }) => token)).toEqual(expected);
          for (const { token, logprob } of top)
            expect(Math.abs(logprob - (base[token]! - logSum))).toBeLessThan(1e-4);
        },
      ),
    );
  });
});
