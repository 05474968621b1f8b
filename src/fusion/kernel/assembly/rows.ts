import { addBlock, addLanes, constant, exp4With, largest, LANES_BYTES, madd, total, zero2 } from "./vector";

/** out = the row's largest logit, its smallest, and 0 or, if any logit is not finite, NaN. */
export function scan(row: usize, length: u32, out: usize): void {
  const zero = f32x4.splat(0);
  let best0 = v128.load(row), best1 = best0, least0 = best0, least1 = best0, bad0 = zero, bad1 = zero;
  const end = row + (<usize>length << 2);
  for (; row < end; row += 32) {
    const x0 = v128.load(row), x1 = v128.load(row, 16);
    best0 = f32x4.pmax(best0, x0);
    best1 = f32x4.pmax(best1, x1);
    least0 = f32x4.pmin(least0, x0);
    least1 = f32x4.pmin(least1, x1);
    bad0 = f32x4.add(bad0, f32x4.mul(x0, zero));
    bad1 = f32x4.add(bad1, f32x4.mul(x1, zero));
  }
  const sum = addBlock(zero2(), bad0, bad1, zero, zero);
  store<f64>(out, <f64>largest(f32x4.pmax(best0, best1)));
  store<f64>(out, <f64>-largest(f32x4.neg(f32x4.pmin(least0, least1))), 8);
  store<f64>(out, total(sum), 16);
}

/** weights = exp(row − best); returns their sum. All other passes take their exponentials from here, part by part. */
export function exponentiate(row: usize, weights: usize, length: u32, best: f32): f64 {
  const least = constant(0), scale = constant(1), magic = constant(2);
  const k5 = constant(3), k4 = constant(4), k3 = constant(5), k2 = constant(6), k1 = constant(7), k0 = constant(8);
  const pivot = f32x4.splat(best);
  let sum = zero2();
  const end = row + (<usize>length << 2);
  while (row < end) {
    let lanes = f32x4.splat(0);
    for (const stop = min(row + LANES_BYTES, end); row < stop; row += 32, weights += 32) {
      const x0 = f32x4.sub(v128.load(row), pivot), x1 = f32x4.sub(v128.load(row, 16), pivot);
      const w0 = exp4With(x0, least, scale, magic, k5, k4, k3, k2, k1, k0);
      const w1 = exp4With(x1, least, scale, magic, k5, k4, k3, k2, k1, k0);
      v128.store(weights, w0);
      v128.store(weights, w1, 16);
      lanes = f32x4.add(lanes, f32x4.add(w0, w1));
    }
    sum = addLanes(sum, lanes);
  }
  return total(sum);
}

/** out[1] += Σw·d, out[2] += Σw·d². */
export function addMoments(weights: usize, shifts: usize, length: u32, out: usize): void {
  let first = zero2(), second = first;
  const end = weights + (<usize>length << 2);
  while (weights < end) {
    let s1 = f32x4.splat(0), s2 = s1;
    for (const stop = min(weights + LANES_BYTES, end); weights < stop; weights += 32, shifts += 32) {
      const d0 = v128.load(shifts), d1 = v128.load(shifts, 16);
      const x0 = f32x4.mul(v128.load(weights), d0), x1 = f32x4.mul(v128.load(weights, 16), d1);
      s1 = f32x4.add(s1, f32x4.add(x0, x1));
      s2 = f32x4.add(s2, madd(x0, d0, f32x4.mul(x1, d1)));
    }
    first = addLanes(first, s1);
    second = addLanes(second, s2);
  }
  store<f64>(out, load<f64>(out, 8) + total(first), 8);
  store<f64>(out, load<f64>(out, 16) + total(second), 16);
}

/** Index of the first of the row's logits [from, length) that is above `least`; `length` where none is. */
export function nextAbove(row: usize, from: u32, length: u32, least: f32): u32 {
  let index = from;
  for (; index < length && (index & 15) != 0; index++) if (load<f32>(row + (<usize>index << 2)) > least) return index;
  const floor = f32x4.splat(least);
  for (; index + 16 <= length; index += 16) {
    const at = row + (<usize>index << 2);
    const any = v128.or(
      v128.or(f32x4.gt(v128.load(at), floor), f32x4.gt(v128.load(at, 16), floor)),
      v128.or(f32x4.gt(v128.load(at, 32), floor), f32x4.gt(v128.load(at, 48), floor)),
    );
    if (v128.any_true(any)) break;
  }
  for (; index < length; index++) if (load<f32>(row + (<usize>index << 2)) > least) return index;
  return length;
}
