/**
 * Numbers over rows of float32 in linear memory. Every pointer is 16-byte aligned; every row is padded to a
 * multiple of 16 logits (`length` counts the padding). Sums of 16 products are taken in float32 and added up in
 * float64, so that a sum over a vocabulary is as exact as its terms. Results go to `out` as float64.
 */
import { exp4, total, widen } from "./exp";

const ZERO = f32x4.splat(0);
/** As in rows.ts: logits further below their row's best count as this far below. */
const DEEPEST: f32 = -1e9;

export function heapBase(): usize {
  return (__heap_base + 15) & ~15;
}

/** out[0] = the row's largest logit; out[1] = 0, or NaN if any logit is not finite. */
export function scan(row: usize, length: u32, out: usize): void {
  let best0 = f32x4.splat(-Infinity);
  let best1 = best0;
  let bad0 = ZERO;
  let bad1 = ZERO;
  const end = row + (length << 2);
  for (let at = row; at < end; at += 32) {
    const x0 = v128.load(at);
    const x1 = v128.load(at, 16);
    best0 = f32x4.pmax(best0, x0);
    best1 = f32x4.pmax(best1, x1);
    bad0 = f32x4.add(bad0, f32x4.mul(x0, ZERO));
    bad1 = f32x4.add(bad1, f32x4.mul(x1, ZERO));
  }
  const best = f32x4.pmax(best0, best1);
  const bad = f32x4.add(bad0, bad1);
  let most = f32x4.extract_lane(best, 0);
  most = max(most, f32x4.extract_lane(best, 1));
  most = max(most, f32x4.extract_lane(best, 2));
  most = max(most, f32x4.extract_lane(best, 3));
  store<f64>(out, <f64>most);
  store<f64>(
    out,
    <f64>f32x4.extract_lane(bad, 0) +
      <f64>f32x4.extract_lane(bad, 1) +
      <f64>f32x4.extract_lane(bad, 2) +
      <f64>f32x4.extract_lane(bad, 3),
    8,
  );
}

/** weights = exp(row − best); returns their sum. */
export function exponentiate(row: usize, weights: usize, length: u32, best: f32): f64 {
  const pivot = f32x4.splat(best);
  let sum = f64x2.splat(0);
  const end = row + (length << 2);
  for (; row < end; row += 64, weights += 64) {
    const w0 = exp4(f32x4.sub(v128.load(row), pivot));
    const w1 = exp4(f32x4.sub(v128.load(row, 16), pivot));
    const w2 = exp4(f32x4.sub(v128.load(row, 32), pivot));
    const w3 = exp4(f32x4.sub(v128.load(row, 48), pivot));
    v128.store(weights, w0);
    v128.store(weights, w1, 16);
    v128.store(weights, w2, 32);
    v128.store(weights, w3, 48);
    sum = f64x2.add(sum, widen(f32x4.add(f32x4.add(w0, w1), f32x4.add(w2, w3))));
  }
  return total(sum);
}

/** Σ exp(row − best). */
export function sumExp(row: usize, length: u32, best: f32): f64 {
  const pivot = f32x4.splat(best);
  let sum = f64x2.splat(0);
  const end = row + (length << 2);
  for (; row < end; row += 16) sum = f64x2.add(sum, widen(exp4(f32x4.sub(v128.load(row), pivot))));
  return total(sum);
}

/** x − best, not below the deepest. */
// @ts-ignore: decorator
@inline
function relative(x: v128, best: v128): v128 {
  return f32x4.pmax(f32x4.sub(x, best), f32x4.splat(DEEPEST));
}

/** All ones where the token takes part: its base logit ≥ baseFloor or its expert logit ≥ expertFloor. */
// @ts-ignore: decorator
@inline
function takesPart(base: v128, expert: v128, baseFloor: v128, expertFloor: v128): v128 {
  return v128.or(f32x4.ge(base, baseFloor), f32x4.ge(expert, expertFloor));
}

/**
 * Sums on the axis of an expert over the tokens that take part, d = (e − best e) − (r − best r):
 * out = Σp, Σp·d, Σq, Σq·d, Σx, Σx·d with p = exp(b − best b), q = exp(r − best r), x = exp(e − best e);
 * p and q are given.
 */
export function sumShift(
  base: usize, reference: usize, expert: usize, baseWeights: usize, referenceWeights: usize, length: u32,
  referenceBest: f32, expertBest: f32, baseFloor: f32, expertFloor: f32, out: usize,
): void {
  const rBest = f32x4.splat(referenceBest);
  const eBest = f32x4.splat(expertBest);
  const bFloor = f32x4.splat(baseFloor);
  const eFloor = f32x4.splat(expertFloor);
  let p0 = f64x2.splat(0), p1 = p0, q0 = p0, q1 = p0, x0 = p0, x1 = p0;
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 64) {
    let bp0 = ZERO, bp1 = ZERO, bq0 = ZERO, bq1 = ZERO, bx0 = ZERO, bx1 = ZERO;
    for (let k: usize = at; k < at + 64; k += 16) {
      const e = v128.load(expert + k);
      const part = takesPart(v128.load(base + k), e, bFloor, eFloor);
      const below = relative(e, eBest);
      const d = f32x4.sub(below, relative(v128.load(reference + k), rBest));
      const p = v128.and(v128.load(baseWeights + k), part);
      const q = v128.and(v128.load(referenceWeights + k), part);
      const x = v128.and(exp4(below), part);
      bp0 = f32x4.add(bp0, p);
      bp1 = f32x4.add(bp1, f32x4.mul(p, d));
      bq0 = f32x4.add(bq0, q);
      bq1 = f32x4.add(bq1, f32x4.mul(q, d));
      bx0 = f32x4.add(bx0, x);
      bx1 = f32x4.add(bx1, f32x4.mul(x, d));
    }
    p0 = f64x2.add(p0, widen(bp0));
    p1 = f64x2.add(p1, widen(bp1));
    q0 = f64x2.add(q0, widen(bq0));
    q1 = f64x2.add(q1, widen(bq1));
    x0 = f64x2.add(x0, widen(bx0));
    x1 = f64x2.add(x1, widen(bx1));
  }
  store<f64>(out, total(p0));
  store<f64>(out, total(p1), 8);
  store<f64>(out, total(q0), 16);
  store<f64>(out, total(q1), 24);
  store<f64>(out, total(x0), 32);
  store<f64>(out, total(x1), 40);
}

/**
 * Sets aside the tokens of an axis that take part: log-probabilities l = b − logNormalizer and centred shifts
 * d = (e − best e) − (r − best r) − centre, one after another, the last block filled up with l = deepest, d = 0.
 * Returns their number.
 */
export function gather(
  base: usize, reference: usize, expert: usize, length: u32, referenceBest: f32, expertBest: f32,
  baseFloor: f32, expertFloor: f32, logNormalizer: f32, centre: f32, logs: usize, shifts: usize,
): u32 {
  const rBest = f32x4.splat(referenceBest);
  const eBest = f32x4.splat(expertBest);
  const bFloor = f32x4.splat(baseFloor);
  const eFloor = f32x4.splat(expertFloor);
  const z = f32x4.splat(logNormalizer);
  const c = f32x4.splat(centre);
  const masked = f32x4.splat(-Infinity);
  let count: usize = 0;
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const b = v128.load(base + at);
    const e = v128.load(expert + at);
    const part = v128.and(takesPart(b, e, bFloor, eFloor), f32x4.gt(b, masked));
    const lanes = i32x4.bitmask(part);
    if (lanes == 0) continue;
    const l = relative(b, z);
    const d = f32x4.sub(f32x4.sub(relative(e, eBest), relative(v128.load(reference + at), rBest)), c);
    if (lanes == 15) {
      v128.store(logs + count, l);
      v128.store(shifts + count, d);
      count += 16;
      continue;
    }
    if (lanes & 1) {
      v128.store_lane<f32>(logs + count, l, 0);
      v128.store_lane<f32>(shifts + count, d, 0);
      count += 4;
    }
    if (lanes & 2) {
      v128.store_lane<f32>(logs + count, l, 1);
      v128.store_lane<f32>(shifts + count, d, 1);
      count += 4;
    }
    if (lanes & 4) {
      v128.store_lane<f32>(logs + count, l, 2);
      v128.store_lane<f32>(shifts + count, d, 2);
      count += 4;
    }
    if (lanes & 8) {
      v128.store_lane<f32>(logs + count, l, 3);
      v128.store_lane<f32>(shifts + count, d, 3);
      count += 4;
    }
  }
  for (let at = count; at & 63; at += 4) {
    store<f32>(logs + at, DEEPEST);
    store<f32>(shifts + at, 0);
  }
  return <u32>(count >> 2);
}

/** out = pivot, Σw, Σw·d, Σw·d² over gathered tokens, w = exp(l + αd − pivot), pivot the largest l + αd. */
export function sumWeighted(logs: usize, shifts: usize, length: u32, alpha: f32, out: usize): void {
  const a = f32x4.splat(alpha);
  const size = ((<usize>length << 2) + 63) & ~63;
  let best0 = f32x4.splat(-Infinity), best1 = best0;
  for (let at: usize = 0; at < size; at += 32) {
    best0 = f32x4.pmax(best0, f32x4.add(v128.load(logs + at), f32x4.mul(a, v128.load(shifts + at))));
    best1 = f32x4.pmax(best1, f32x4.add(v128.load(logs + at, 16), f32x4.mul(a, v128.load(shifts + at, 16))));
  }
  const pivot = largest(f32x4.pmax(best0, best1));
  const m = f32x4.splat(pivot);
  let s0 = f64x2.splat(0), s1 = s0, s2 = s0;
  for (let at: usize = 0; at < size; at += 64) {
    let b0 = ZERO, b1 = ZERO, b2 = ZERO;
    for (let k: usize = at; k < at + 64; k += 16) {
      const d = v128.load(shifts + k);
      const w = exp4(f32x4.sub(f32x4.add(v128.load(logs + k), f32x4.mul(a, d)), m));
      const wd = f32x4.mul(w, d);
      b0 = f32x4.add(b0, w);
      b1 = f32x4.add(b1, wd);
      b2 = f32x4.add(b2, f32x4.mul(wd, d));
    }
    s0 = f64x2.add(s0, widen(b0));
    s1 = f64x2.add(s1, widen(b1));
    s2 = f64x2.add(s2, widen(b2));
  }
  store<f64>(out, <f64>pivot);
  store<f64>(out, total(s0), 8);
  store<f64>(out, total(s1), 16);
  store<f64>(out, total(s2), 24);
}

/** Whether every token of a row of gathered shifts takes part only by rounding: see constantShiftResolution. */
export function isConstantShift(
  base: usize, reference: usize, expert: usize, length: u32, referenceBest: f32, expertBest: f32,
  baseFloor: f32, expertFloor: f32, centre: f32, resolution: f32,
): bool {
  const rBest = f32x4.splat(referenceBest);
  const eBest = f32x4.splat(expertBest);
  const masked = f32x4.splat(-Infinity);
  const bests = f32x4.splat(abs(referenceBest) + abs(expertBest));
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const b = v128.load(base + at);
    const e = v128.load(expert + at);
    const r = v128.load(reference + at);
    const part = v128.and(
      takesPart(b, e, f32x4.splat(baseFloor), f32x4.splat(expertFloor)),
      f32x4.gt(b, masked),
    );
    const d = f32x4.sub(f32x4.sub(relative(e, eBest), relative(r, rBest)), f32x4.splat(centre));
    const size = f32x4.add(f32x4.add(f32x4.abs(e), f32x4.abs(r)), bests);
    const moves = f32x4.gt(f32x4.abs(d), f32x4.mul(size, f32x4.splat(resolution)));
    if (v128.any_true(v128.and(moves, part))) return false;
  }
  return true;
}

/** shifts = −Infinity everywhere: no token takes part yet. */
export function excludeAll(shifts: usize, length: u32): void {
  const end = shifts + (length << 2);
  for (; shifts < end; shifts += 16) v128.store(shifts, f32x4.splat(-Infinity));
}

/** shifts = 0 where a token takes part by this expert; the others keep what they have. */
export function include(
  shifts: usize, base: usize, expert: usize, length: u32, baseFloor: f32, expertFloor: f32,
): void {
  const masked = f32x4.splat(-Infinity);
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const b = v128.load(base + at);
    const part = v128.and(
      takesPart(b, v128.load(expert + at), f32x4.splat(baseFloor), f32x4.splat(expertFloor)),
      f32x4.gt(b, masked),
    );
    v128.store(shifts + at, v128.bitselect(ZERO, v128.load(shifts + at), part));
  }
}

/** shifts += alpha · d, d = (e − best e) − (r − best r) − centre; −Infinity stays. */
export function addShift(
  shifts: usize, reference: usize, expert: usize, length: u32, referenceBest: f32, expertBest: f32,
  centre: f32, alpha: f32,
): void {
  const rBest = f32x4.splat(referenceBest);
  const eBest = f32x4.splat(expertBest);
  const c = f32x4.splat(centre);
  const a = f32x4.splat(alpha);
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const below = relative(v128.load(expert + at), eBest);
    const d = f32x4.sub(f32x4.sub(below, relative(v128.load(reference + at), rBest)), c);
    v128.store(shifts + at, f32x4.add(v128.load(shifts + at), f32x4.mul(a, d)));
  }
}

/**
 * Turns shifts s into the fused row b + s (−Infinity where a token takes no part) and sums over the tokens that
 * take part: out = pivot, Σw, Σw·s, Σp, Σp·s with p = exp(b − best b), given, and w = exp(b − best b + s − pivot).
 */
export function fuseRow(
  shifts: usize, base: usize, baseWeights: usize, length: u32, baseBest: f32, out: usize,
): void {
  const bBest = f32x4.splat(baseBest);
  const none = f32x4.splat(-Infinity);
  const size = <usize>length << 2;
  let best = none;
  for (let at: usize = 0; at < size; at += 16) {
    best = f32x4.pmax(best, f32x4.add(relative(v128.load(base + at), bBest), v128.load(shifts + at)));
  }
  const pivot = largest(best);
  const m = f32x4.splat(pivot);
  let w0 = f64x2.splat(0), w1 = w0, p0 = w0, p1 = w0;
  for (let at: usize = 0; at < size; at += 64) {
    let bw0 = ZERO, bw1 = ZERO, bp0 = ZERO, bp1 = ZERO;
    for (let k: usize = at; k < at + 64; k += 16) {
      const b = v128.load(base + k);
      const shift = v128.load(shifts + k);
      const part = f32x4.gt(shift, none);
      const s = v128.and(shift, part);
      const w = v128.and(exp4(f32x4.sub(f32x4.add(relative(b, bBest), s), m)), part);
      const p = v128.and(v128.load(baseWeights + k), part);
      bw0 = f32x4.add(bw0, w);
      bw1 = f32x4.add(bw1, f32x4.mul(w, s));
      bp0 = f32x4.add(bp0, p);
      bp1 = f32x4.add(bp1, f32x4.mul(p, s));
      v128.store(shifts + k, f32x4.add(b, shift));
    }
    w0 = f64x2.add(w0, widen(bw0));
    w1 = f64x2.add(w1, widen(bw1));
    p0 = f64x2.add(p0, widen(bp0));
    p1 = f64x2.add(p1, widen(bp1));
  }
  store<f64>(out, <f64>pivot);
  store<f64>(out, total(w0), 8);
  store<f64>(out, total(w1), 16);
  store<f64>(out, total(p0), 24);
  store<f64>(out, total(p1), 32);
}

function largest(lanes: v128): f32 {
  const first = max(f32x4.extract_lane(lanes, 0), f32x4.extract_lane(lanes, 1));
  return max(first, max(f32x4.extract_lane(lanes, 2), f32x4.extract_lane(lanes, 3)));
}
