import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { commonPrefix, isCoveredBy, longestMatch, type PrefixHolder } from "../../../src/engine/prefix.js";

const holder = (owner: string, ...held: number[][]): PrefixHolder => ({
  owner,
  heldOf: new Map(held.map((tokens, model) => [model, tokens])),
});
const seeker = (owner: string, ...wanted: number[][]) => ({
  owner,
  wantedOf: new Map(wanted.map((tokens, model) => [model, tokens])),
  wholeOnly: new Set<number>(),
});

describe("longestMatch", () => {
  it("shares what is wanted and no more", () => {
    const match = longestMatch(seeker("a", [1, 2, 3]), [holder("a", [1, 2, 3, 4])]);
    expect(match?.lengthOf.get(0)).toBe(3);
    expect(longestMatch(seeker("a", [1, 2, 3]), [holder("a", [1, 2, 4])])?.lengthOf.get(0)).toBe(2);
  });

  it("counts each model by itself", () => {
    const match = longestMatch(seeker("a", [1, 2, 3, 4], [9, 8, 7]), [holder("a", [1, 2, 5], [9, 8, 7, 6])]);
    expect(match?.lengthOf).toEqual(
      new Map([
        [0, 2],
        [1, 3],
      ]),
    );
  });

  it("never crosses owners", () => {
    expect(longestMatch(seeker("a", [1, 2, 3]), [holder("b", [1, 2, 3])])).toBeNull();
  });

  it("prefers what saves most in the first model", () => {
    const better = holder("a", [1, 2, 3], []);
    const match = longestMatch(seeker("a", [1, 2, 3, 4], [5, 6, 7, 8]), [
      holder("a", [1, 2], [5, 6, 7]),
      better,
    ]);
    expect(match?.holder).toBe(better);
  });

  it("shares all that a recurrent state holds, or nothing of it", () => {
    const wanted = { ...seeker("a", [1, 2, 3, 4], [5, 6, 7]), wholeOnly: new Set([0]) };
    const lengths = (...held: number[][]) => [
      ...longestMatch(wanted, [holder("a", ...held)])!.lengthOf.values(),
    ];
    expect(lengths([1, 2, 3], [5, 6, 9])).toEqual([3, 2]);
    expect(lengths([1, 2, 3, 9], [5, 6, 9])).toEqual([0, 2]);
    expect(lengths([1, 2, 3, 4, 5], [5, 6])).toEqual([0, 2]);
    expect(longestMatch(wanted, [holder("a", [1, 2, 9])])).toBeNull();
  });

  it("is null when nothing is wanted, or shared", () => {
    expect(longestMatch(seeker("a", []), [holder("a", [1, 2])])).toBeNull();
    expect(longestMatch(seeker("a", [1, 2]), [holder("a", [2, 1])])).toBeNull();
  });

  const tokens = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 12 });

  it("shares only equal tokens, and is never beaten", () => {
    fc.assert(
      fc.property(tokens, fc.array(tokens, { maxLength: 5 }), (wanted, helds) => {
        const holders = helds.map((held) => holder("a", held));
        const match = longestMatch(seeker("a", wanted), holders);
        const length = match?.lengthOf.get(0) ?? 0;
        if (match) expect(match.holder.heldOf.get(0)?.slice(0, length)).toEqual(wanted.slice(0, length));
        for (const held of helds) expect(commonPrefix(wanted, held)).toBeLessThanOrEqual(length);
      }),
    );
  });
});

describe("isCoveredBy", () => {
  it("needs every model's tokens to be the beginning of the other's", () => {
    const isCovered = (inner: PrefixHolder, outer: PrefixHolder, wholeOnly: number[] = []) =>
      isCoveredBy(inner, outer, new Set(wholeOnly));
    expect(isCovered(holder("a", [1, 2], [3]), holder("a", [1, 2, 3], [3, 4]))).toBe(true);
    expect(isCovered(holder("a", [1, 2], [4]), holder("a", [1, 2, 3], [3, 4]))).toBe(false);
    expect(isCovered(holder("a", [1, 2], [3]), holder("a", [1, 2, 3]))).toBe(false);
    expect(isCovered(holder("a", [1]), holder("b", [1]))).toBe(false);
    // A recurrent state after three tokens is none after two.
    expect(isCovered(holder("a", [1, 2], [3]), holder("a", [1, 2, 3], [3, 4]), [0])).toBe(false);
    expect(isCovered(holder("a", [1, 2], [3]), holder("a", [1, 2], [3, 4]), [0])).toBe(true);
  });
});
