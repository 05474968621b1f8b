/** The mixture of several rows. */
import { exponentiate } from "./rows";
import { addLanes, exp4, LANES_BYTES, ln4, PART_BYTES, SHIFTS, total, WEIGHTS, zero2 } from "./vector";

/** ln Σ_c exp(x_c) of four tokens whose largest x is `best` and whose Σ_c exp(x_c − best) is `sum`. */
// @ts-ignore: decorator
@inline
function join(best: v128, sum: v128): v128 {
  return f32x4.add(best, ln4(sum));
}

/** exp(x_c + offset − best) of four tokens; nothing is left of it where all are −Infinity. */
// @ts-ignore: decorator
@inline
function share(x: v128, offset: v128, best: v128): v128 {
  const least = f32x4.pmax(best, f32x4.splat(-f32.MAX_VALUE));
  return exp4(f32x4.sub(f32x4.add(x, offset), least));
}

/**
 * row = ln Σ_c exp(x_c + o_c) over `count` rows; `table` holds for each the pointer to its logits x_c, and o_c.
 * A block in which one row alone has tokens is that row's, moved.
 */
export function mixRows(row: usize, table: usize, count: u32, length: u32): void {
  const none = f32x4.splat(-Infinity);
  const size = <usize>length << 2, end = table + (<usize>count << 3);
  for (let at: usize = 0; at < size; at += 64) {
    let b0 = none, b1 = none, b2 = none, b3 = none, numAlive = 0;
    for (let entry = table; entry < end; entry += 8) {
      const x = <usize>load<u32>(entry) + at, o = v128.load32_splat(entry, 4);
      const x0 = v128.load(x), x1 = v128.load(x, 16), x2 = v128.load(x, 32), x3 = v128.load(x, 48);
      if (!v128.any_true(f32x4.gt(f32x4.pmax(f32x4.pmax(x0, x1), f32x4.pmax(x2, x3)), none))) continue;
      numAlive++;
      b0 = f32x4.pmax(b0, f32x4.add(x0, o));
      b1 = f32x4.pmax(b1, f32x4.add(x1, o));
      b2 = f32x4.pmax(b2, f32x4.add(x2, o));
      b3 = f32x4.pmax(b3, f32x4.add(x3, o));
    }
    if (numAlive > 1) {
      let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
      for (let entry = table; entry < end; entry += 8) {
        const x = <usize>load<u32>(entry) + at, o = v128.load32_splat(entry, 4);
        s0 = f32x4.add(s0, share(v128.load(x), o, b0));
        s1 = f32x4.add(s1, share(v128.load(x, 16), o, b1));
        s2 = f32x4.add(s2, share(v128.load(x, 32), o, b2));
        s3 = f32x4.add(s3, share(v128.load(x, 48), o, b3));
      }
      // A lane without a token has sums near 0 of which no logarithm is wanted.
      const one = f32x4.splat(1);
      b0 = join(b0, f32x4.pmax(s0, one));
      b1 = join(b1, f32x4.pmax(s1, one));
      b2 = join(b2, f32x4.pmax(s2, one));
      b3 = join(b3, f32x4.pmax(s3, one));
    }
    v128.store(row + at, b0);
    v128.store(row + at, b1, 16);
    v128.store(row + at, b2, 32);
    v128.store(row + at, b3, 48);
  }
}

/**
 * How far a row y is from the base's row b, with y′ = y − pivot and b′ = b − baseBest: out = Σm, Σm·(y′ − b′), Σp,
 * Σp·(b′ − y′), m = exp(y′), p = exp(b′). A sum is Infinity where one row alone excludes a token.
 */
export function compareRows(
  row: usize, base: usize, length: u32, pivot: f32, baseBest: f32, out: usize,
): void {
  const none = f32x4.splat(-Infinity), y0 = f32x4.splat(pivot), b0 = f32x4.splat(baseBest);
  let m: f64 = 0, p: f64 = 0, md = zero2(), pd = md;
  const size = <usize>length << 2;
  for (let part: usize = 0; part < size; part += PART_BYTES) {
    const partEnd = min(part + PART_BYTES, size), numTokens = <u32>((partEnd - part) >> 2);
    // What the exponential leaves of −Infinity is far below what the sums resolve.
    m += exponentiate(row + part, WEIGHTS, numTokens, pivot);
    p += exponentiate(base + part, SHIFTS, numTokens, baseBest);
    for (let at = part; at < partEnd; ) {
      let s0 = f32x4.splat(0), s1 = s0;
      for (const stop = min(at + LANES_BYTES, partEnd); at < stop; at += 16) {
        const y = f32x4.sub(v128.load(row + at), y0), b = f32x4.sub(v128.load(base + at), b0);
        const d = f32x4.sub(y, b), to = at - part;
        s0 = f32x4.add(s0, v128.and(f32x4.mul(v128.load(WEIGHTS + to), d), f32x4.gt(y, none)));
        s1 = f32x4.sub(s1, v128.and(f32x4.mul(v128.load(SHIFTS + to), d), f32x4.gt(b, none)));
      }
      md = addLanes(md, s0);
      pd = addLanes(pd, s1);
    }
  }
  store<f64>(out, m);
  store<f64>(out, total(md), 8);
  store<f64>(out, p, 16);
  store<f64>(out, total(pd), 24);
}
