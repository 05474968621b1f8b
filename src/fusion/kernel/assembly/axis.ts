/** The axis of one expert: base's logits b, reference's r, expert's e, shift d = (e − r) − centre. */
import { addMoments, exponentiate } from "./rows";
import {
  addLanes, largest, LANES_BYTES, madd, PART_BYTES, SHIFTS, shiftAt, storeLanes, takesPart, total, WEIGHTS, zero2,
} from "./vector";

/** out = Σp·d, Σp·d², Σq·d, Σx, Σx·d; p and q are given weights of base and reference, x = exp(e − best e). */
export function sumShift(
  reference: usize, expert: usize, p: usize, q: usize, length: u32, centre: f32, expertBest: f32, out: usize,
): void {
  const c = f32x4.splat(centre);
  let pd = zero2(), pdd = pd, qd = pd, xd = pd, x: f64 = 0;
  const size = <usize>length << 2;
  for (let part: usize = 0; part < size; part += PART_BYTES) {
    const partEnd = min(part + PART_BYTES, size);
    x += exponentiate(expert + part, WEIGHTS, <u32>((partEnd - part) >> 2), expertBest);
    for (let at = part; at < partEnd; ) {
      let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
      for (const stop = min(at + LANES_BYTES, partEnd); at < stop; at += 32) {
        const d0 = shiftAt(reference + at, expert + at, c), d1 = shiftAt(reference + at + 16, expert + at + 16, c);
        const w = WEIGHTS + (at - part);
        const p0 = f32x4.mul(v128.load(p + at), d0), p1 = f32x4.mul(v128.load(p + at, 16), d1);
        s0 = f32x4.add(s0, f32x4.add(p0, p1));
        s1 = f32x4.add(s1, madd(p0, d0, f32x4.mul(p1, d1)));
        s2 = f32x4.add(s2, madd(v128.load(q + at), d0, f32x4.mul(v128.load(q + at, 16), d1)));
        s3 = f32x4.add(s3, madd(v128.load(w), d0, f32x4.mul(v128.load(w, 16), d1)));
      }
      pd = addLanes(pd, s0);
      pdd = addLanes(pdd, s1);
      qd = addLanes(qd, s2);
      xd = addLanes(xd, s3);
    }
  }
  store<f64>(out, total(pd));
  store<f64>(out, total(pdd), 8);
  store<f64>(out, total(qd), 16);
  store<f64>(out, x, 24);
  store<f64>(out, total(xd), 32);
}

/** Whether every |d| of a token that is not masked is within `resolution` · (|e| + |r| + bests). */
export function isConstantShift(
  base: usize, reference: usize, expert: usize, length: u32, centre: f32, bests: f32, resolution: f32,
): bool {
  const c = f32x4.splat(centre);
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const d = shiftAt(reference + at, expert + at, c);
    const logits = f32x4.add(f32x4.abs(v128.load(expert + at)), f32x4.abs(v128.load(reference + at)));
    const noise = f32x4.mul(f32x4.add(logits, f32x4.splat(bests)), f32x4.splat(resolution));
    const isUnmasked = f32x4.gt(v128.load(base + at), f32x4.splat(-Infinity));
    if (v128.any_true(v128.and(f32x4.gt(f32x4.abs(d), noise), isUnmasked))) return false;
  }
  return true;
}

/**
 * Copies the logits of the tokens that take part, one after another, the last block filled up with masked
 * tokens. Returns their number.
 */
export function select(
  base: usize, reference: usize, expert: usize, length: u32, baseFloor: f32, expertFloor: f32,
  toBase: usize, toReference: usize, toExpert: usize,
): u32 {
  const bFloor = f32x4.splat(baseFloor), eFloor = f32x4.splat(expertFloor);
  let count: usize = 0;
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const b = v128.load(base + at), e = v128.load(expert + at);
    const lanes = i32x4.bitmask(takesPart(b, e, bFloor, eFloor));
    if (lanes == 0) continue;
    storeLanes(toBase + count, b, lanes);
    storeLanes(toReference + count, v128.load(reference + at), lanes);
    storeLanes(toExpert + count, e, lanes);
    count += <usize>popcnt(lanes) << 2;
  }
  for (let at = count; at & 63; at += 4) {
    store<f32>(toBase + at, -Infinity);
    store<f32>(toReference + at, -f32.MAX_VALUE);
    store<f32>(toExpert + at, -f32.MAX_VALUE);
  }
  return <u32>(count >> 2);
}

/**
 * Gathers the tokens of an axis that are not masked: log-probabilities l = b − logNormalizer and shifts d, one
 * after another, the last block filled up with l = −1e9, d = 0. May write over base and reference. Returns
 * their number.
 */
export function gatherAll(
  base: usize, reference: usize, expert: usize, length: u32, centre: f32, logNormalizer: f32,
  logs: usize, shifts: usize,
): u32 {
  const c = f32x4.splat(centre), z = f32x4.splat(logNormalizer), masked = f32x4.splat(-Infinity);
  let count: usize = 0;
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 16) {
    const b = v128.load(base + at);
    const d = shiftAt(reference + at, expert + at, c);
    const lanes = i32x4.bitmask(f32x4.gt(b, masked));
    storeLanes(logs + count, f32x4.sub(b, z), lanes);
    storeLanes(shifts + count, d, lanes);
    count += <usize>popcnt(lanes) << 2;
  }
  fillUp(logs, shifts, count);
  return <u32>(count >> 2);
}

/**
 * The same for the tokens whose weight w = exp(l + αd) is above exp(cutoff) at an end of α ∈ [0, high]. The
 * others, the tail, are only added up: out = Σw, Σw·d, Σw·d² at `high`.
 */
export function gatherHead(
  base: usize, reference: usize, expert: usize, length: u32, centre: f32, logNormalizer: f32,
  cutoff: f32, high: f32, logs: usize, shifts: usize, out: usize,
): u32 {
  const c = f32x4.splat(centre), z = f32x4.splat(logNormalizer), h = f32x4.splat(high), least = f32x4.splat(cutoff);
  const nothing = f32x4.splat(-1000);
  let count: usize = 0, sum: f64 = 0;
  memory.fill(out, 0, 24);
  const size = <usize>length << 2;
  for (let part: usize = 0; part < size; part += PART_BYTES) {
    const partEnd = min(part + PART_BYTES, size), numTokens = <u32>((partEnd - part) >> 2);
    for (let at = part; at < partEnd; at += 16) {
      const l = f32x4.sub(v128.load(base + at), z);
      const d = shiftAt(reference + at, expert + at, c);
      const y = madd(h, d, l);
      const isHead = f32x4.gt(f32x4.pmax(l, y), least);
      const lanes = i32x4.bitmask(isHead);
      storeLanes(logs + count, l, lanes);
      storeLanes(shifts + count, d, lanes);
      count += <usize>popcnt(lanes) << 2;
      v128.store(WEIGHTS + (at - part), f32x4.add(y, v128.and(isHead, nothing)));
      v128.store(SHIFTS + (at - part), d);
    }
    sum += exponentiate(WEIGHTS, WEIGHTS, numTokens, 0);
    addMoments(WEIGHTS, SHIFTS, numTokens, out);
  }
  fillUp(logs, shifts, count);
  store<f64>(out, sum);
  return <u32>(count >> 2);
}

function fillUp(logs: usize, shifts: usize, size: usize): void {
  for (let at = size; at & 63; at += 4) {
    store<f32>(logs + at, -1e9);
    store<f32>(shifts + at, 0);
  }
}

/** The largest l + αd of gathered tokens. */
export function largestLog(logs: usize, shifts: usize, length: u32, alpha: f32): f32 {
  const a = f32x4.splat(alpha);
  const size = ((<usize>length << 2) + 63) & ~63;
  let best0 = f32x4.splat(-Infinity), best1 = best0;
  for (let at: usize = 0; at < size; at += 32) {
    best0 = f32x4.pmax(best0, f32x4.add(v128.load(logs + at), f32x4.mul(a, v128.load(shifts + at))));
    best1 = f32x4.pmax(best1, f32x4.add(v128.load(logs + at, 16), f32x4.mul(a, v128.load(shifts + at, 16))));
  }
  return largest(f32x4.pmax(best0, best1));
}

/** out = Σw, Σw·d, Σw·d² over gathered tokens, w = exp(l + αd − pivot). */
export function sumWeighted(logs: usize, shifts: usize, length: u32, alpha: f32, pivot: f32, out: usize): void {
  const a = f32x4.splat(alpha);
  let sum: f64 = 0;
  memory.fill(out, 0, 24);
  const size = ((<usize>length << 2) + 63) & ~63;
  for (let part: usize = 0; part < size; part += PART_BYTES) {
    const partEnd = min(part + PART_BYTES, size), numTokens = <u32>((partEnd - part) >> 2);
    for (let at = part; at < partEnd; at += 32) {
      const to = WEIGHTS + (at - part);
      v128.store(to, madd(a, v128.load(shifts + at), v128.load(logs + at)));
      v128.store(to, madd(a, v128.load(shifts + at, 16), v128.load(logs + at, 16)), 16);
    }
    sum += exponentiate(WEIGHTS, WEIGHTS, numTokens, pivot);
    addMoments(WEIGHTS, shifts + part, numTokens, out);
  }
  store<f64>(out, sum);
}
