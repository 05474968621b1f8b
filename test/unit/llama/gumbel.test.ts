import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawByGumbel } from "../../../src/llama/gumbel.js";
import { chiSquared } from "../../support/statistics.js";

const draw = (logits: Float32Array, seed: number, position: number) =>
  drawByGumbel({ ids: null, logits, stride: 1, offset: 0, count: logits.length }, { seed, position });

const probabilities = [0.35, 0.25, 0.15, 0.1, 0.08, 0.04, 0.02, 0.01];
const logits = Float32Array.from(probabilities, (p) => Math.log(p) + 11);
const numDraws = 40_000;
const count = (drawAt: (index: number) => number): number[] => {
  const counts = probabilities.map(() => 0);
  for (let index = 0; index < numDraws; index++) counts[drawAt(index)]!++;
  return counts;
};

describe("a draw by Gumbel-max", () => {
  it.each([
    ["positions of one seed", (index: number) => draw(logits, 7, index)],
    ["seeds at one position", (index: number) => draw(logits, index, 3)],
    ["seeds far apart", (index: number) => draw(logits, Math.imul(index, 0x10001) >>> 0, index % 11)],
  ])("has the law of the row over %s", (_name, drawAt) => {
    expect(chiSquared(count(drawAt), probabilities)).toBeLessThan(29.9);
  });

  it("has it also where the candidates are large in number and lie in any order", () => {
    const length = 5_000;
    const row = new Float32Array(length).fill(-Infinity);
    const places = probabilities.map((_, i) => (i * 617 + 4_000) % length);
    places.forEach((place, i) => (row[place] = logits[i]!));
    const counts = count((index) => places.indexOf(draw(row, 5, index)));
    expect(chiSquared(counts, probabilities)).toBeLessThan(29.9);
  });

  it("of one token does not depend on that of the position before", () => {
    const two = Float32Array.of(0, 0);
    const pairs = [0, 0, 0, 0];
    for (let index = 0; index < numDraws; index++)
      pairs[2 * draw(two, 9, index) + draw(two, 9, index + 1)]!++;
    expect(chiSquared(pairs, [0.25, 0.25, 0.25, 0.25])).toBeLessThan(21.2);
  });

  it("stays what it is when a token that was not drawn is excluded, and when all logits move alike", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 2, maxLength: 60 }),
        fc.nat(),
        fc.nat(500),
        fc.nat(59),
        (values, seed, position, other) => {
          const row = Float32Array.from(values);
          const token = draw(row, seed, position);
          const without = row.slice();
          if (other % row.length !== token) without[other % row.length] = -Infinity;
          expect(draw(without, seed, position)).toBe(token);
          expect(
            draw(
              row.map((logit) => logit + 64),
              seed,
              position,
            ),
          ).toBe(
            draw(
              row.map((logit) => Math.fround(logit + 64)),
              seed,
              position,
            ),
          );
        },
      ),
    );
  });

  it("is of candidates by their ids, wherever they lie", () => {
    const ids = Int32Array.of(5, 0, 0, 3, 0, 0, 1, 0, 0);
    const floats = new Float32Array(9);
    const row = new Float32Array(6).fill(-Infinity);
    [5, 3, 1].forEach((token, index) => (row[token] = floats[3 * index + 1] = token / 3));
    for (let position = 0; position < 50; position++) {
      const index = drawByGumbel(
        { ids, logits: floats, stride: 3, offset: 1, count: 3 },
        { seed: 2, position },
      );
      expect(ids[3 * index]).toBe(draw(row, 2, position));
    }
  });

  it("never takes what is excluded or no number, and says when nothing is left", () => {
    expect(draw(Float32Array.of(-Infinity, NaN, 0), 1, 1)).toBe(2);
    expect(draw(Float32Array.of(-Infinity, NaN), 1, 1)).toBe(-1);
    expect(draw(new Float32Array(0), 1, 1)).toBe(-1);
  });
});
