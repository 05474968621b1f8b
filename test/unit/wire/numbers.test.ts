import { expect, it } from "vitest";
import { toLogprob, toMs, toNats, toRounded } from "../../../src/wire/numbers.js";

it.each([
  [toRounded, 0.123456789, 0.123457],
  [toRounded, -4e-8, 0],
  [toNats, 4.1e-8, 0],
  [toNats, 76.93123449, 76.931234],
  [toNats, Infinity, null],
  [toNats, Number.NaN, null],
  [toLogprob, -0.5, -0.5],
  [toLogprob, 0.000001, 0],
  [toLogprob, -Infinity, -9999],
  [toLogprob, Number.NaN, -9999],
  [toMs, 0.30049, 0.3],
] as const)("%o of %d is sent as %d", (round, given, sent) => expect(round(given)).toBe(sent));

it("many rounded numbers add up as their sum does, within half a digit each", () => {
  const values = Array.from({ length: 2000 }, (_, index) => Math.sin(index) ** 2);
  const sum = (numbers: number[]) => numbers.reduce((total, value) => total + value, 0);
  expect(Math.abs(sum(values.map(toRounded)) - sum(values))).toBeLessThanOrEqual(2000 * 0.5e-6);
});
