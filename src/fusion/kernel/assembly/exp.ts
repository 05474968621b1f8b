/**
 * exp(x) of four float32 at once, x ≤ 88; below −86 the result stays at exp(−86) ≈ 4.5e-38.
 *
 *   n = round(x / ln 2), by adding 1.5·2²³: the sum's low bits ARE n. f = x − n·ln 2, ln 2 in two parts so that
 *   the product with the first is exact. exp(x) = 2ⁿ·exp(f), |f| ≤ ln 2 / 2; n goes into the exponent's bits.
 *
 * Polynomial of the Cephes library's expf (S. Moshier): relative error below 2e-7.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const magic = f32x4.splat(12582912.0);
  x = f32x4.pmax(x, f32x4.splat(-86.0));
  const shifted = f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504088896341)), magic);
  const n = f32x4.sub(shifted, magic);
  let f = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  f = f32x4.add(f, f32x4.mul(n, f32x4.splat(2.12194440e-4)));
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(5.0000001201e-1));
  p = f32x4.add(f32x4.mul(p, f32x4.mul(f, f)), f32x4.add(f, f32x4.splat(1.0)));
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** The four float32 of a block's sum, widened and added up in float64. */
// @ts-ignore: decorator
@inline
export function widen(sum: v128): v128 {
  const high = v128.shuffle<i32>(sum, sum, 2, 3, 2, 3);
  return f64x2.add(f64x2.promote_low_f32x4(sum), f64x2.promote_low_f32x4(high));
}

// @ts-ignore: decorator
@inline
export function total(sum: v128): f64 {
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}
