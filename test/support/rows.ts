import fc from "fast-check";
import type { LogitsRows } from "../../src/fusion/types.js";

/** A generator of numbers in [0, 1), the same for the same seed (mulberry32). */
export function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export interface RowsShape {
  seed: number;
  length: number;
  numExperts: number;
  /** Standard deviation of base and reference logits, and of the shifts. */
  spread: number;
  shift: number;
  /** Logits that stand out, as in a confident model. */
  numPeaks: number;
  /** How far each row is from 0. */
  offset: number;
}

export function makeRows(shape: RowsShape): LogitsRows {
  const random = makeRandom(shape.seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const row = (logit: (token: number) => number) => {
    const offset = (random() - 0.5) * 2 * shape.offset;
    const logits = new Float32Array(shape.length).map((_, token) => logit(token) + offset);
    for (let peak = 0; peak < shape.numPeaks; peak++)
      logits[Math.floor(random() * shape.length)]! += 4 * shape.spread;
    return logits;
  };
  const small = Float64Array.from({ length: shape.length }, () => shape.spread * normal());
  return {
    base: row(() => shape.spread * normal()),
    reference: row((token) => small[token]!),
    experts: Array.from({ length: shape.numExperts }, () =>
      row((token) => small[token]! + shape.shift * normal()),
    ),
  };
}

/** Rows of every kind: one token to a few hundred, flat to nearly certain, shifts from none to tens of nats. */
export const anyRows = fc
  .record({
    seed: fc.integer(),
    length: fc.integer({ min: 1, max: 300 }),
    numExperts: fc.integer({ min: 1, max: 3 }),
    spread: fc.constantFrom(0.1, 1, 3, 10),
    shift: fc.constantFrom(0.01, 0.3, 2, 8),
    numPeaks: fc.integer({ min: 0, max: 4 }),
    offset: fc.constantFrom(0, 10, 100),
  })
  .map(makeRows);
