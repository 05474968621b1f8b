/** Sums over tokens at one weight α: Σw, Σw·d, Σw·d², with w = P·exp(αd). */
export interface Moments {
  w: number;
  wd: number;
  wdd: number;
}

/**
 * The tokens that were left out of the sums because each is negligible for every α ∈ [0, high]; what they are
 * together is known at both ends, and g(α) = ln Σw is smooth and convex. Between the ends g is the polynomial of
 * degree 5 with g, g′ (mean of d) and g″ (variance of d) of both ends, and not above their chord. Exact where d is
 * normally distributed over the tail. So the tail's share is never more than at an end, and its error a small
 * part of that. docs/fusion.md, fact 5.
 */
export class Tail {
  readonly #high: number;
  /** Coefficients of g over α / high. */
  readonly #g: readonly [number, number, number, number, number, number];
  readonly #rise: number;

  constructor(atZero: Moments, atHigh: Moments, high: number) {
    this.#high = high;
    const [from, to] = [expand(atZero, high), expand(atHigh, high)];
    const rise = to.value - from.value;
    const a = rise - from.slope - from.curve / 2;
    const b = to.slope - from.slope - from.curve;
    const c = to.curve - from.curve;
    this.#rise = rise;
    this.#g = [
      from.value,
      from.slope,
      from.curve / 2,
      10 * a - 4 * b + c / 2,
      7 * b - 15 * a - c,
      6 * a - 3 * b + c / 2,
    ];
  }

  /** The tail's sums at α ∈ [0, high], divided by exp(pivot). */
  at(alpha: number, pivot: number): Moments {
    const [g0, g1, g2, g3, g4, g5] = this.#g;
    const t = alpha / this.#high;
    const value = g0 + t * (g1 + t * (g2 + t * (g3 + t * (g4 + t * g5))));
    const slope = g1 + t * (2 * g2 + t * (3 * g3 + t * (4 * g4 + t * 5 * g5)));
    const curve = 2 * g2 + t * (6 * g3 + t * (12 * g4 + t * 20 * g5));
    const w = Math.exp(Math.min(value, g0 + t * this.#rise) - pivot);
    const mean = slope / this.#high;
    return { w, wd: w * mean, wdd: w * (Math.max(0, curve) / this.#high ** 2 + mean * mean) };
  }
}

/** g, g′·high and g″·high² from the sums at an end. */
function expand({ w, wd, wdd }: Moments, high: number): { value: number; slope: number; curve: number } {
  const mean = wd / w;
  return { value: Math.log(w), slope: mean * high, curve: Math.max(0, wdd / w - mean * mean) * high * high };
}
