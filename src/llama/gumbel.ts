/**
 * Draws by Gumbel-max: the token with the most logit + noise, noise −ln(−ln u) being the same for the same seed,
 * position and token. The law of such a draw is the softmax of the logits (Gumbel 1954), whatever else draws with the
 * same noise; two laws that are alike mostly draw alike. docs/fusion.md says what that is good for.
 */

/** Noise of a position of an answer. */
export interface NoiseKey {
  /** 32-bit unsigned. */
  seed: number;
  /** Index of the token in the answer. */
  position: number;
}

/** Where candidates lie: logit i is `logits[i·stride + offset]`, and its token `ids[i·stride]`, or i without ids. */
export interface Candidates {
  ids: Int32Array | null;
  logits: Float32Array;
  stride: number;
  offset: number;
  count: number;
}

const two32 = 2 ** 32;
const golden = 0x9e3779b1;
/** No noise of 32 bits is above this; what is further below the best needs none. */
const mostNoise = 32;
/** Least 32 bits of u with which −ln(−ln u) can reach d ∈ [j, j + 1). */
const leastBits = Float64Array.from({ length: mostNoise }, (_, j) =>
  Math.floor(two32 * Math.exp(-Math.exp(-j))),
);

/** The finalizer of MurmurHash3. */
function mix(bits: number): number {
  let hash = bits ^ (bits >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** @returns the index of the candidate that is drawn; −1: all are excluded (−Infinity, NaN), or there are none. */
export function drawByGumbel(
  { ids, logits, stride, offset, count }: Candidates,
  { seed, position }: NoiseKey,
): number {
  const first = mix((seed ^ 0x6a09e667) + Math.imul(position + 1, golden));
  const second = mix(first ^ 0x3c6ef372 ^ Math.imul(seed, 0x2c1b3c6d));
  let best = -Infinity;
  let drawn = -1;
  for (let index = 0; index < count; index++) {
    const at = index * stride;
    const logit = logits[at + offset] ?? -Infinity;
    const missing = best - logit;
    // Also for NaN.
    if (!(missing < mostNoise) || logit === -Infinity) continue;
    const token = ids?.[at] ?? index;
    let hash = mix(first + Math.imul(token + 1, golden)) ^ second;
    hash = Math.imul(hash, 0x297a2d39);
    const bits = (hash ^ (hash >>> 15)) >>> 0;
    if (missing >= 0 && bits < (leastBits[Math.floor(missing)] ?? 0)) continue;
    const more = mix(hash + second) >>> 0;
    const score = logit - Math.log(-Math.log((bits + (more + 0.5) / two32) / two32));
    if (score > best) {
      best = score;
      drawn = index;
    }
  }
  return drawn;
}
