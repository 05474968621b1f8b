import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Shares, type SharesOptions } from "../../../src/strategies/shares.js";

const open: SharesOptions = { floor: 0, isPinned: false, loss: 0 };
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Shares of the base and of experts 0, 1, …, in proportion. */
const makeShares = (
  prior: readonly number[],
  options: Partial<SharesOptions> = {},
  bias: readonly number[] = [],
) =>
  new Shares<number>(
    prior.map((share, index) => ({ expert: index === 0 ? null : index - 1, share, bias: bias[index] ?? 0 })),
    { ...open, ...options },
  );
const valuesOf = (shares: Shares<number>) => shares.voices.map(({ share }) => share);
/** Which experts are decoded. */
const activeOf = (shares: Shares<number>) =>
  shares.voices.filter(({ expert }) => expert !== null).map(({ isActive }) => isActive);
/** Takes in a token, mixed of the voices at these places. */
const learn = (shares: Shares<number>, places: readonly number[], logprobs: readonly number[]) =>
  shares.learn(
    places.map((place) => shares.voices[place]!),
    logprobs,
  );

describe("Shares", () => {
  it("are the prior in proportion, biased in the logarithm", () => {
    const shares = makeShares([2, 1, 1], {}, [0, Math.log(2), 0]);
    expect(valuesOf(shares).map((share) => Number(share.toFixed(12)))).toEqual([0.4, 0.4, 0.2]);
  });

  it("are shares however small the prior and however strong the bias", () => {
    const shares = makeShares([1e-300, 0, 1e-300], {}, [-100, 100, -100]);
    expect(valuesOf(shares)).toEqual([0.5, 0, 0.5]);
  });

  it("let experts below the floor leave, but never the largest, and never bring them back", () => {
    const shares = makeShares([0, 0.005, 0.1, 0.895], { floor: 0.01 });
    expect(activeOf(shares)).toEqual([false, true, true]);
    expect(shares.skipped).toBeCloseTo(0.005, 12);
    learn(shares, [2, 3], [Math.log(1e-4), 0]);
    expect(activeOf(shares)).toEqual([false, false, true]);
    expect(sum(valuesOf(shares))).toBeCloseTo(1, 12);
    expect(valuesOf(shares)[1]).toBeCloseTo(0.005, 12);
    expect(activeOf(makeShares([1, 1, 1], { floor: 1 }))).toEqual([false, false]);
    expect(activeOf(makeShares([0, 1, 2], { floor: 1 }))).toEqual([false, true]);
  });

  it("stay as they are when pinned", () => {
    const shares = makeShares([1, 3], { isPinned: true });
    learn(shares, [1, 0], [-50, 0]);
    expect(valuesOf(shares)).toEqual([0.25, 0.75]);
  });

  it("leave the base's component out where its share is within the loss, once and for good", () => {
    const shares = makeShares([0.1, 0.3, 0.6], { loss: 0.05 });
    expect([shares.lost, valuesOf(shares)[0]]).toEqual([0, expect.closeTo(0.1, 12)]);
    learn(shares, [0, 1, 2], [Math.log(0.1), 0, 0]);
    expect(shares.lost).toBeCloseTo(0.01 / 0.91, 12);
    expect(valuesOf(shares).map((share) => Number(share.toFixed(9)))).toEqual([0, 0.333333333, 0.666666667]);
    learn(shares, [1, 2], [0, -1]);
    expect(shares.lost).toBeCloseTo(0.01 / 0.91, 12);
    expect(makeShares([1, 0, 0], { loss: 0.5 }).lost).toBe(0);
    expect(makeShares([0.001, 0.999], { loss: 0 }).lost).toBe(0);
  });

  it("are then of a law of texts that is off by what was lost, at most", () => {
    // Laws over two tokens, and after each of them over two more.
    const chance = fc.double({ min: 0.01, max: 0.99, noNaN: true });
    const law = fc.tuple(chance, chance, chance);
    const ofText = ([first, after0, after1]: [number, number, number], [x, y]: [number, number]) => {
      const second = x === 0 ? after0 : after1;
      return (x === 0 ? first : 1 - first) * (y === 0 ? second : 1 - second);
    };
    const texts = [0, 1].flatMap((x) => [0, 1].map((y) => [x, y] as [number, number]));
    const share = fc.double({ min: 0.01, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.tuple(law, law, law), fc.tuple(share, share, share), (laws, prior) => {
        const whole = valuesOf(makeShares(prior));
        const shares = makeShares(prior, { loss: 0.49 });
        fc.pre(shares.lost > 0);
        const mixed = (weights: readonly number[], text: [number, number]) =>
          sum(laws.map((one, c) => weights[c]! * ofText(one, text)));
        const variation =
          sum(texts.map((text) => Math.abs(mixed(whole, text) - mixed(valuesOf(shares), text)))) / 2;
        expect(variation).toBeLessThanOrEqual(shares.lost + 1e-12);
      }),
    );
  });

  it("after a text are Bayes over the text: the order of its tokens does not matter", () => {
    const share = fc.double({ min: 0.01, max: 1, noNaN: true });
    const logprob = fc.double({ min: -30, max: 0, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(share, { minLength: 3, maxLength: 3 }),
        fc.array(fc.array(logprob, { minLength: 3, maxLength: 3 }), { maxLength: 8 }),
        (prior, text) => {
          const shares = makeShares(prior);
          for (const token of text) learn(shares, [1, 2, 0], [token[1]!, token[2]!, token[0]!]);
          const joint = prior.map((value, c) => Math.log(value) + sum(text.map((token) => token[c]!)));
          const most = Math.max(...joint);
          const total = sum(joint.map((value) => Math.exp(value - most)));
          joint.forEach((value, c) =>
            expect(valuesOf(shares)[c]).toBeCloseTo(Math.exp(value - most) / total, 9),
          );
        },
      ),
    );
  });
});
