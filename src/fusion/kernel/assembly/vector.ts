/** What all files share: exp and ln of four float32, sums that end in float64, and d of four tokens. */

/** One constant a vector, read where it is used: V8 would put each v128.const together anew in every round. */
const CONSTANTS = memory.data<f32>(
  [
    -86, -86, -86, -86,
    1.44269504088896341, 1.44269504088896341, 1.44269504088896341, 1.44269504088896341,
    12582912, 12582912, 12582912, 12582912,
    1.49209562e-4, 1.49209562e-4, 1.49209562e-4, 1.49209562e-4,
    1.33918633e-3, 1.33918633e-3, 1.33918633e-3, 1.33918633e-3,
    9.62006114e-3, 9.62006114e-3, 9.62006114e-3, 9.62006114e-3,
    5.55036068e-2, 5.55036068e-2, 5.55036068e-2, 5.55036068e-2,
    2.40226343e-1, 2.40226343e-1, 2.40226343e-1, 2.40226343e-1,
    6.93147182e-1, 6.93147182e-1, 6.93147182e-1, 6.93147182e-1,
    1, 1, 1, 1,
  ],
  16,
);

/**
 * exp(x) = 2ʸ, y = x / ln 2 = n + f, |f| ≤ ½. n = round(y) by adding 1.5·2²³: the low bits of the sum ARE n, and
 * go into the exponent. 2ᶠ: minimax polynomial of degree 6, relative error 7e-9. The rounding of y makes the
 * relative error |x|·6e-8: no matter where x is the logarithm of a share, whose absolute error is then below
 * 4e-8. Below −86 the result stays at exp(−86) ≈ 4.5e-38; x ≤ 88.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const magic = v128.load(CONSTANTS, 32);
  const y = f32x4.mul(f32x4.pmax(x, v128.load(CONSTANTS)), v128.load(CONSTANTS, 16));
  const shifted = f32x4.add(y, magic);
  const f = f32x4.sub(y, f32x4.sub(shifted, magic));
  let p = v128.load(CONSTANTS, 48);
  p = f32x4.add(f32x4.mul(p, f), v128.load(CONSTANTS, 64));
  p = f32x4.add(f32x4.mul(p, f), v128.load(CONSTANTS, 80));
  p = f32x4.add(f32x4.mul(p, f), v128.load(CONSTANTS, 96));
  p = f32x4.add(f32x4.mul(p, f), v128.load(CONSTANTS, 112));
  p = f32x4.add(f32x4.mul(p, f), v128.load(CONSTANTS, 128));
  p = f32x4.add(f32x4.mul(p, f), v128.load(CONSTANTS, 144));
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** Coefficients of Cephes' logf, one a vector. */
const LOGARITHM = memory.data<f32>(
  [
    7.0376836292e-2, 7.0376836292e-2, 7.0376836292e-2, 7.0376836292e-2,
    -1.1514610310e-1, -1.1514610310e-1, -1.1514610310e-1, -1.1514610310e-1,
    1.1676998740e-1, 1.1676998740e-1, 1.1676998740e-1, 1.1676998740e-1,
    -1.2420140846e-1, -1.2420140846e-1, -1.2420140846e-1, -1.2420140846e-1,
    1.4249322787e-1, 1.4249322787e-1, 1.4249322787e-1, 1.4249322787e-1,
    -1.6668057665e-1, -1.6668057665e-1, -1.6668057665e-1, -1.6668057665e-1,
    2.0000714765e-1, 2.0000714765e-1, 2.0000714765e-1, 2.0000714765e-1,
    -2.4999993993e-1, -2.4999993993e-1, -2.4999993993e-1, -2.4999993993e-1,
    3.3333331174e-1, 3.3333331174e-1, 3.3333331174e-1, 3.3333331174e-1,
  ],
  16,
);

/**
 * ln x for finite x ≥ 1: x = 2ᵉ·(1 + f), √½ ≤ 1 + f < √2, ln(1 + f) = f − f²/2 + f³·polynomial(f). Absolute error
 * 2e-7. Source: Cephes, logf.
 */
// @ts-ignore: decorator
@inline
export function ln4(x: v128): v128 {
  const exponent = i32x4.shr_s(i32x4.sub(x, i32x4.splat(0x3f3504f3)), 23);
  const f = f32x4.sub(i32x4.sub(x, i32x4.shl(exponent, 23)), f32x4.splat(1));
  let p = v128.load(LOGARITHM);
  for (let at: usize = 16; at < 144; at += 16) p = f32x4.add(f32x4.mul(p, f), v128.load(LOGARITHM + at));
  const square = f32x4.mul(f, f);
  p = f32x4.sub(f32x4.mul(f32x4.mul(p, f), square), f32x4.mul(square, f32x4.splat(0.5)));
  return f32x4.add(f32x4.add(p, f), f32x4.mul(f32x4.convert_i32x4_s(exponent), f32x4.splat(0.693147182)));
}

// @ts-ignore: decorator
@inline
export function zero2(): v128 {
  return f64x2.splat(0);
}

/** sum + the 16 float32 of a block: added up four at a time in float32, then in float64. */
// @ts-ignore: decorator
@inline
export function addBlock(sum: v128, x0: v128, x1: v128, x2: v128, x3: v128): v128 {
  const block = f32x4.add(f32x4.add(x0, x1), f32x4.add(x2, x3));
  const high = v128.shuffle<i32>(block, block, 2, 3, 2, 3);
  return f64x2.add(sum, f64x2.add(f64x2.promote_low_f32x4(block), f64x2.promote_low_f32x4(high)));
}

// @ts-ignore: decorator
@inline
export function total(sum: v128): f64 {
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

// @ts-ignore: decorator
@inline
export function largest(lanes: v128): f32 {
  const first = max(f32x4.extract_lane(lanes, 0), f32x4.extract_lane(lanes, 1));
  return max(first, max(f32x4.extract_lane(lanes, 2), f32x4.extract_lane(lanes, 3)));
}

/** d = (e − r) − centre of the four tokens at `expert` and `reference`. */
// @ts-ignore: decorator
@inline
export function shiftAt(reference: usize, expert: usize, centre: v128): v128 {
  return f32x4.sub(f32x4.sub(v128.load(expert), v128.load(reference)), centre);
}

/** All ones where a token takes part: not masked, and its base logit ≥ bFloor or its expert logit ≥ eFloor. */
// @ts-ignore: decorator
@inline
export function takesPart(base: v128, expert: v128, bFloor: v128, eFloor: v128): v128 {
  const isPlausible = v128.or(f32x4.ge(base, bFloor), f32x4.ge(expert, eFloor));
  return v128.and(isPlausible, f32x4.gt(base, f32x4.splat(-Infinity)));
}

/** For each set of lanes, the bytes that bring them to the front. */
const FRONT = memory.data<u8>(
  [
    0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
    0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
    4, 5, 6, 7, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
    0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 0, 1, 2, 3,
    8, 9, 10, 11, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
    0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 0, 1, 2, 3,
    4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 0, 1, 2, 3,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3,
    12, 13, 14, 15, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
    0, 1, 2, 3, 12, 13, 14, 15, 0, 1, 2, 3, 0, 1, 2, 3,
    4, 5, 6, 7, 12, 13, 14, 15, 0, 1, 2, 3, 0, 1, 2, 3,
    0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 0, 1, 2, 3,
    8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 0, 1, 2, 3,
    0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3,
    4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  ],
  16,
);

/** Stores the lanes of x that `lanes` names at `to`, one after another, and something in what is left of 16 bytes. */
// @ts-ignore: decorator
@inline
export function storeLanes(to: usize, x: v128, lanes: i32): void {
  v128.store(to, i8x16.swizzle(x, v128.load(FRONT + (<usize>lanes << 4))));
}
