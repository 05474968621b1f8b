import type { LogitsRows } from "../../src/fusion/types.js";

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
export function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Standard normal (Box and Muller). */
export function makeNormal(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export type RowShape = "peaked" | "flat";

export const rowShapes: Record<RowShape, string> = {
  peaked:
    "logits −1.5·ln(rank) + N(0, 1) over shuffled ranks; the reference near the base (0.8·b + N(0, 1)); shifts N(0, 0.5), and +6 on ten of its best 200 tokens",
  flat: "logits N(0, 1), no token stands out; shifts N(0, 0.5)",
};

/** Rows [V] of base, reference and experts of one shape; the same seed gives the same rows. */
export function makeRows(
  shape: RowShape,
  vocabularySize: number,
  numExperts: number,
  seed: number,
): LogitsRows {
  const random = makeRandom(seed);
  const normal = makeNormal(random);
  const ranks = Uint32Array.from({ length: vocabularySize }, (_, token) => token);
  for (let token = vocabularySize - 1; token > 0; token--) {
    const other = Math.floor(random() * (token + 1));
    [ranks[token], ranks[other]] = [ranks[other] as number, ranks[token] as number];
  }
  const rankOf = (token: number) => ranks[token] as number;
  const level = shape === "peaked" ? (token: number) => 20 - 1.5 * Math.log(rankOf(token) + 1) : () => 0;
  const base = new Float32Array(vocabularySize).map((_, token) => level(token) + normal());
  const reference = base.map((logit) => (shape === "peaked" ? 0.8 * logit : 0) + normal());
  const experts = Array.from({ length: numExperts }, () => {
    const boosted = new Set(
      shape === "peaked" ? Array.from({ length: 10 }, () => Math.floor(random() * 200)) : [],
    );
    return reference.map((logit, token) => logit + 0.5 * normal() + (boosted.has(rankOf(token)) ? 6 : 0));
  });
  return { base, reference, experts };
}
