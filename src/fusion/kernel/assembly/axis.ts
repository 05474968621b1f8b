/** The axis of one expert: base's logits b, reference's r, expert's e, shift d = (e − r) − centre. */
import { addBlock, exp4, largest, shiftAt, storeLanes, takesPart, total, zero2 } from "./vector";

/** out = Σp·d, Σp·d², Σq·d, Σx, Σx·d; p and q are given weights of base and reference, x = exp(e − best e). */
export function sumShift(
  reference: usize, expert: usize, p: usize, q: usize, length: u32, centre: f32, expertBest: f32, out: usize,
): void {
  const c = f32x4.splat(centre), best = f32x4.splat(expertBest);
  let pd = zero2(), pdd = pd, qd = pd, x = pd, xd = pd;
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 64) {
    const r = reference + at, e = expert + at;
    const d0 = shiftAt(r, e, c), d1 = shiftAt(r + 16, e + 16, c);
    const d2 = shiftAt(r + 32, e + 32, c), d3 = shiftAt(r + 48, e + 48, c);
    let w0 = exp4(f32x4.sub(v128.load(e), best)), w1 = exp4(f32x4.sub(v128.load(e, 16), best));
    let w2 = exp4(f32x4.sub(v128.load(e, 32), best)), w3 = exp4(f32x4.sub(v128.load(e, 48), best));
    x = addBlock(x, w0, w1, w2, w3);
    xd = addBlock(xd, f32x4.mul(w0, d0), f32x4.mul(w1, d1), f32x4.mul(w2, d2), f32x4.mul(w3, d3));
    w0 = f32x4.mul(v128.load(p + at), d0);
    w1 = f32x4.mul(v128.load(p + at, 16), d1);
    w2 = f32x4.mul(v128.load(p + at, 32), d2);
    w3 = f32x4.mul(v128.load(p + at, 48), d3);
    pd = addBlock(pd, w0, w1, w2, w3);
    pdd = addBlock(pdd, f32x4.mul(w0, d0), f32x4.mul(w1, d1), f32x4.mul(w2, d2), f32x4.mul(w3, d3));
    w0 = f32x4.mul(v128.load(q + at), d0);
    w1 = f32x4.mul(v128.load(q + at, 16), d1);
    w2 = f32x4.mul(v128.load(q + at, 32), d2);
    w3 = f32x4.mul(v128.load(q + at, 48), d3);
    qd = addBlock(qd, w0, w1, w2, w3);
  }
  store<f64>(out, total(pd));
  store<f64>(out, total(pdd), 8);
  store<f64>(out, total(qd), 16);
  store<f64>(out, total(x), 24);
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
  let h0 = zero2(), h1 = h0, h2 = h0;
  let count: usize = 0;
  const size = <usize>length << 2;
  for (let at: usize = 0; at < size; at += 64) {
    const b = base + at, r = reference + at, e = expert + at;
    const l0 = f32x4.sub(v128.load(b), z);
    const l1 = f32x4.sub(v128.load(b, 16), z);
    const l2 = f32x4.sub(v128.load(b, 32), z);
    const l3 = f32x4.sub(v128.load(b, 48), z);
    const d0 = shiftAt(r, e, c);
    const d1 = shiftAt(r + 16, e + 16, c);
    const d2 = shiftAt(r + 32, e + 32, c);
    const d3 = shiftAt(r + 48, e + 48, c);
    const y0 = f32x4.add(l0, f32x4.mul(h, d0));
    const y1 = f32x4.add(l1, f32x4.mul(h, d1));
    const y2 = f32x4.add(l2, f32x4.mul(h, d2));
    const y3 = f32x4.add(l3, f32x4.mul(h, d3));
    const head0 = f32x4.gt(f32x4.pmax(l0, y0), least);
    const head1 = f32x4.gt(f32x4.pmax(l1, y1), least);
    const head2 = f32x4.gt(f32x4.pmax(l2, y2), least);
    const head3 = f32x4.gt(f32x4.pmax(l3, y3), least);
    const lanes0 = i32x4.bitmask(head0), lanes1 = i32x4.bitmask(head1);
    const lanes2 = i32x4.bitmask(head2), lanes3 = i32x4.bitmask(head3);
    storeLanes(logs + count, l0, lanes0);
    storeLanes(shifts + count, d0, lanes0);
    count += <usize>popcnt(lanes0) << 2;
    storeLanes(logs + count, l1, lanes1);
    storeLanes(shifts + count, d1, lanes1);
    count += <usize>popcnt(lanes1) << 2;
    storeLanes(logs + count, l2, lanes2);
    storeLanes(shifts + count, d2, lanes2);
    count += <usize>popcnt(lanes2) << 2;
    storeLanes(logs + count, l3, lanes3);
    storeLanes(shifts + count, d3, lanes3);
    count += <usize>popcnt(lanes3) << 2;
    let w0 = v128.andnot(exp4(y0), head0);
    let w1 = v128.andnot(exp4(y1), head1);
    let w2 = v128.andnot(exp4(y2), head2);
    let w3 = v128.andnot(exp4(y3), head3);
    h0 = addBlock(h0, w0, w1, w2, w3);
    w0 = f32x4.mul(w0, d0);
    w1 = f32x4.mul(w1, d1);
    w2 = f32x4.mul(w2, d2);
    w3 = f32x4.mul(w3, d3);
    h1 = addBlock(h1, w0, w1, w2, w3);
    h2 = addBlock(h2, f32x4.mul(w0, d0), f32x4.mul(w1, d1), f32x4.mul(w2, d2), f32x4.mul(w3, d3));
  }
  fillUp(logs, shifts, count);
  store<f64>(out, total(h0));
  store<f64>(out, total(h1), 8);
  store<f64>(out, total(h2), 16);
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
  const a = f32x4.splat(alpha), m = f32x4.splat(pivot);
  const size = ((<usize>length << 2) + 63) & ~63;
  let s0 = zero2(), s1 = s0, s2 = s0;
  for (let at: usize = 0; at < size; at += 64) {
    const l = logs + at, d = shifts + at;
    const d0 = v128.load(d), d1 = v128.load(d, 16), d2 = v128.load(d, 32), d3 = v128.load(d, 48);
    const w0 = exp4(f32x4.sub(f32x4.add(v128.load(l), f32x4.mul(a, d0)), m));
    const w1 = exp4(f32x4.sub(f32x4.add(v128.load(l, 16), f32x4.mul(a, d1)), m));
    const w2 = exp4(f32x4.sub(f32x4.add(v128.load(l, 32), f32x4.mul(a, d2)), m));
    const w3 = exp4(f32x4.sub(f32x4.add(v128.load(l, 48), f32x4.mul(a, d3)), m));
    const x0 = f32x4.mul(w0, d0), x1 = f32x4.mul(w1, d1), x2 = f32x4.mul(w2, d2), x3 = f32x4.mul(w3, d3);
    s0 = addBlock(s0, w0, w1, w2, w3);
    s1 = addBlock(s1, x0, x1, x2, x3);
    s2 = addBlock(s2, f32x4.mul(x0, d0), f32x4.mul(x1, d1), f32x4.mul(x2, d2), f32x4.mul(x3, d3));
  }
  store<f64>(out, total(s0));
  store<f64>(out, total(s1), 8);
  store<f64>(out, total(s2), 16);
}
