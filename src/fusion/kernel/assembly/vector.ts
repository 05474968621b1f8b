/** What all files share: exp and ln of four float32, sums that end in float64, and d of four tokens. */

/** One constant a vector, read from memory: V8 would put each v128.const together anew where it is used. */
const CONSTANTS = memory.data<f32>(
  [
    -86, -86, -86, -86,
    1.44269504088896341, 1.44269504088896341, 1.44269504088896341, 1.44269504088896341,
    12582912, 12582912, 12582912, 12582912,
    1.326472714e-3, 1.326472714e-3, 1.326472714e-3, 1.326472714e-3,
    9.671512640e-3, 9.671512640e-3, 9.671512640e-3, 9.671512640e-3,
    5.550733743e-2, 5.550733743e-2, 5.550733743e-2, 5.550733743e-2,
    2.402224209e-1, 2.402224209e-1, 2.402224209e-1, 2.402224209e-1,
    6.931469776e-1, 6.931469776e-1, 6.931469776e-1, 6.931469776e-1,
    1, 1, 1, 1,
  ],
  16,
);

// @ts-ignore: decorator
@inline
export function constant(index: usize): v128 {
  return v128.load(CONSTANTS + (index << 4));
}

/** a·b + c; in the build for processors that can, in one step and with one rounding. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/**
 * exp(x) = 2ʸ, y = x / ln 2 = n + f, |f| ≤ ½. n = round(y) by adding 1.5·2²³: the low bits of the sum ARE n, and
 * go into the exponent. 2ᶠ: minimax polynomial of degree 5 that is 1 at 0, relative error 9e-8. The rounding of y
 * makes the relative error |x|·6e-8: no matter where x is the logarithm of a share, whose absolute error is then
 * below 4e-8. Below −86 the result stays at exp(−86) ≈ 4.5e-38; x ≤ 88.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  return exp4With(
    x, constant(0), constant(1), constant(2), constant(3), constant(4), constant(5), constant(6), constant(7),
    constant(8),
  );
}

/** The same with the constants at hand, for a loop that does little else: read once, they stay in registers. */
// @ts-ignore: decorator
@inline
export function exp4With(
  x: v128, least: v128, scale: v128, magic: v128, k5: v128, k4: v128, k3: v128, k2: v128, k1: v128, k0: v128,
): v128 {
  const z = f32x4.pmax(x, least);
  const shifted = madd(z, scale, magic);
  const f = madd(z, scale, f32x4.sub(magic, shifted));
  const square = f32x4.mul(f, f);
  const p = madd(madd(madd(k5, f, k4), square, madd(k3, f, k2)), square, madd(k1, f, k0));
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

/** Bytes of a row that are added up in float32, 16 numbers a lane, before they go into a float64 sum. */
// @ts-ignore: decorator
@inline
export const LANES_BYTES: usize = 512;

/** Bytes of a row that a pass works on at a time: these and what it makes of them stay in the nearest cache. */
// @ts-ignore: decorator
@inline
export const PART_BYTES: usize = 4096;
/** Two parts of a row for what is needed only within a pass. */
export const WEIGHTS = memory.data(4096, 16);
export const SHIFTS = memory.data(4096, 16);

// @ts-ignore: decorator
@inline
export function zero2(): v128 {
  return f64x2.splat(0);
}

/** sum + the four float32. */
// @ts-ignore: decorator
@inline
export function addLanes(sum: v128, x: v128): v128 {
  const high = v128.shuffle<i32>(x, x, 2, 3, 2, 3);
  return f64x2.add(sum, f64x2.add(f64x2.promote_low_f32x4(x), f64x2.promote_low_f32x4(high)));
}

/** sum + the 16 float32 of a block: added up four at a time in float32, then in float64. */
// @ts-ignore: decorator
@inline
export function addBlock(sum: v128, x0: v128, x1: v128, x2: v128, x3: v128): v128 {
  return addLanes(sum, f32x4.add(f32x4.add(x0, x1), f32x4.add(x2, x3)));
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
  const order = v128.load(FRONT + (<usize>lanes << 4));
  // Every byte of it is below 16, where both do the same.
  v128.store(to, ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(x, order) : i8x16.swizzle(x, order));
}
