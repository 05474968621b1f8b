/** Which projection a feature is: cards made with another do not compare. */
export interface FeatureSettings {
  /** 32-bit seed of the signs. */
  seed: number;
  /** Number of sums, a power of two. */
  dimension: number;
}

export const defaultFeature: FeatureSettings = { seed: 0x5eed, dimension: 128 };

/** Sums that each logit is added to. */
const numSums = 4;

/** A number of 32 bits scattered over 32 bits: the finaliser of MurmurHash3. */
function scatter(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * What a row of the reference says about its prompt, in few numbers: φ_j = Σ_i s_ij (l_i − l̄) / √V, where each
 * logit l_i goes into four of the sums with signs of its own (a count sketch, Charikar et al. 2002: one pass).
 * Logits are W·h, so φ is a random linear projection of the hidden state h. Taking the mean l̄ off makes φ blind to
 * a constant added to the row, hence the same for logits and log-probabilities. Masked logits (−Infinity) count as
 * the mean.
 *
 * @param row logits over the common vocabulary, length V.
 * @returns `dimension` numbers.
 */
export function featureOf(row: Float32Array, { seed, dimension }: FeatureSettings): Float64Array {
  let sum = 0;
  let count = 0;
  for (const logit of row) {
    if (!Number.isFinite(logit)) continue;
    sum += logit;
    count++;
  }
  const mean = count === 0 ? 0 : sum / count;
  const feature = new Float64Array(dimension);
  row.forEach((logit, token) => {
    if (!Number.isFinite(logit)) return;
    const centred = (logit - mean) / Math.sqrt(row.length);
    for (let index = 0; index < numSums; index++) {
      const hash = scatter(Math.imul(token * numSums + index + 1, 0x9e3779b1) ^ seed);
      const place = hash & (dimension - 1);
      feature[place] = (feature[place] as number) + (hash >>> 31 === 1 ? -centred : centred);
    }
  });
  return feature;
}
