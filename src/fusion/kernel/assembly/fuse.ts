/** The fused row. While it is made, `row` holds shifts s, −Infinity where a token takes no part. */
import { addMoments, exponentiate } from "./rows";
import { addBlock, exp4, largest, madd, PART_BYTES, SHIFTS, shiftAt, takesPart, total, WEIGHTS, zero2 } from "./vector";

/** row = −Infinity: no token takes part yet. */
export function excludeAll(row: usize, length: u32): void {
  const end = row + (<usize>length << 2);
  for (; row < end; row += 16) v128.store(row, f32x4.splat(-Infinity));
}

/** row = 0 where a token takes part by this expert; the others keep what they have. */
export function include(
  row: usize, base: usize, expert: usize, length: u32, baseFloor: f32, expertFloor: f32,
): void {
  const bFloor = f32x4.splat(baseFloor), eFloor = f32x4.splat(expertFloor);
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const part = takesPart(v128.load(base + at), v128.load(expert + at), bFloor, eFloor);
    v128.store(row + at, v128.bitselect(f32x4.splat(0), v128.load(row + at), part));
  }
}

/** row += alpha · d. */
export function addShift(
  row: usize, reference: usize, expert: usize, length: u32, centre: f32, alpha: f32,
): void {
  const c = f32x4.splat(centre), a = f32x4.splat(alpha);
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const d = shiftAt(reference + at, expert + at, c);
    v128.store(row + at, f32x4.add(v128.load(row + at), f32x4.mul(a, d)));
  }
}

/** The base's largest logit of the tokens that take part. */
export function largestIncluded(row: usize, base: usize, length: u32): f32 {
  const none = f32x4.splat(-Infinity);
  const size = <usize>length << 2;
  let best = none;
  for (let at: usize = 0; at < size; at += 16) {
    const part = f32x4.gt(v128.load(row + at), none);
    best = f32x4.pmax(best, v128.bitselect(v128.load(base + at), none, part));
  }
  return largest(best);
}

/**
 * row = b + s, and over the tokens that take part out = pivot, Σw, Σw·s, Σp, Σp·s with p = exp(b − best b),
 * w = exp(b − best b + s − pivot), pivot the largest b − best b + s.
 */
export function fuseRow(row: usize, base: usize, length: u32, baseBest: f32, out: usize): void {
  const bBest = f32x4.splat(baseBest), none = f32x4.splat(-Infinity), zero = f32x4.splat(0);
  const size = <usize>length << 2;
  let best = none;
  for (let at: usize = 0; at < size; at += 16)
    best = f32x4.pmax(best, f32x4.add(f32x4.sub(v128.load(base + at), bBest), v128.load(row + at)));
  const pivot = largest(best);
  const m = f32x4.splat(pivot);
  let sw = zero2(), sws = sw, sp = sw, sps = sw;
  for (let at: usize = 0; at < size; at += 16) {
    const shift = v128.load(row + at);
    const part = f32x4.gt(shift, none);
    const s = v128.and(shift, part);
    const b = v128.load(base + at);
    const l = f32x4.sub(b, bBest);
    const w = v128.and(exp4(f32x4.sub(f32x4.add(l, s), m)), part);
    const p = v128.and(exp4(l), part);
    v128.store(row + at, f32x4.add(b, shift));
    sw = addBlock(sw, w, zero, zero, zero);
    sws = addBlock(sws, f32x4.mul(w, s), zero, zero, zero);
    sp = addBlock(sp, p, zero, zero, zero);
    sps = addBlock(sps, f32x4.mul(p, s), zero, zero, zero);
  }
  store<f64>(out, <f64>pivot);
  store<f64>(out, total(sw), 8);
  store<f64>(out, total(sws), 16);
  store<f64>(out, total(sp), 24);
  store<f64>(out, total(sps), 32);
}

/** row = b + alpha·d where a token takes part, −Infinity elsewhere: only one expert moves. */
export function shiftRow(
  row: usize, base: usize, reference: usize, expert: usize, length: u32, centre: f32, alpha: f32, baseFloor: f32,
  expertFloor: f32,
): void {
  const c = f32x4.splat(centre), a = f32x4.splat(alpha);
  const bFloor = f32x4.splat(baseFloor), eFloor = f32x4.splat(expertFloor), none = f32x4.splat(-Infinity);
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const b = v128.load(base + at);
    const part = takesPart(b, v128.load(expert + at), bFloor, eFloor);
    const fused = f32x4.add(b, f32x4.mul(a, shiftAt(reference + at, expert + at, c)));
    v128.store(row + at, v128.bitselect(fused, none, part));
  }
}

/**
 * The same where every token takes part that is not masked, with out = Σw, Σw·d, w = exp(b + alpha·d − pivot):
 * give a pivot near the logarithm of the row's normaliser.
 */
export function fuseAxis(
  row: usize, base: usize, reference: usize, expert: usize, length: u32, centre: f32, alpha: f32,
  pivot: f32, out: usize,
): void {
  const c = f32x4.splat(centre), a = f32x4.splat(alpha), z = f32x4.splat(pivot);
  let sum: f64 = 0;
  memory.fill(out, 0, 24);
  const size = <usize>length << 2;
  for (let part: usize = 0; part < size; part += PART_BYTES) {
    const partEnd = min(part + PART_BYTES, size), numTokens = <u32>((partEnd - part) >> 2);
    for (let at = part; at < partEnd; at += 16) {
      const b = v128.load(base + at), d = shiftAt(reference + at, expert + at, c);
      v128.store(row + at, madd(a, d, b));
      v128.store(WEIGHTS + (at - part), madd(a, d, f32x4.sub(b, z)));
      v128.store(SHIFTS + (at - part), d);
    }
    sum += exponentiate(WEIGHTS, WEIGHTS, numTokens, 0);
    addMoments(WEIGHTS, SHIFTS, numTokens, out);
  }
  store<f64>(out, sum);
}
