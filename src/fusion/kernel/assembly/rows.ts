import { addBlock, exp4, largest, total, zero2 } from "./vector";

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

/** weights = exp(row − best); returns their sum. */
export function exponentiate(row: usize, weights: usize, length: u32, best: f32): f64 {
  const pivot = f32x4.splat(best);
  let sum = zero2();
  const end = row + (<usize>length << 2);
  for (; row < end; row += 64, weights += 64) {
    const w0 = exp4(f32x4.sub(v128.load(row), pivot));
    const w1 = exp4(f32x4.sub(v128.load(row, 16), pivot));
    const w2 = exp4(f32x4.sub(v128.load(row, 32), pivot));
    const w3 = exp4(f32x4.sub(v128.load(row, 48), pivot));
    v128.store(weights, w0);
    v128.store(weights, w1, 16);
    v128.store(weights, w2, 32);
    v128.store(weights, w3, 48);
    sum = addBlock(sum, w0, w1, w2, w3);
  }
  return total(sum);
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
