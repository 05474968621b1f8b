/** Which projection a feature is: cards made with another do not compare. */
export interface FeatureSettings {
  /** 32-bit seed of the signs. */
  seed: number;
  /** Number of sums, a power of two. */
  dimension: number;
  /** It is the mean over so many tokens at the end of the prompt, its last left out; fewer where there are fewer. */
  numRows: number;
}

/** Most rows that a card may want of a prompt. */
export const mostFeatureRows = 16;

export const defaultFeature: FeatureSettings = { seed: 0x5eed, dimension: 128, numRows: mostFeatureRows };

/** Sums that each logit is added to. */
const numSums = 4;

/** A number of 32 bits scattered over 32 bits: the finaliser of MurmurHash3. */
function scatter(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Adds l_i − l̄ of a row to each sum. Masked logits (−Infinity) count as the mean l̄. */
function addCentred(sums: Float64Array, row: Float32Array): void {
  let sum = 0;
  let count = 0;
  for (const logit of row) {
    if (!Number.isFinite(logit)) continue;
    sum += logit;
    count++;
  }
  const mean = count === 0 ? 0 : sum / count;
  for (let token = 0; token < row.length; token++) {
    const logit = row[token] as number;
    if (Number.isFinite(logit)) sums[token] = (sums[token] as number) + (logit - mean);
  }
}

/**
 * What rows of the reference say about its prompt, in few numbers: the mean over the rows of φ_j = Σ_i s_ij (l_i − l̄) / √V,
 * where each logit l_i goes into four of the sums with signs of its own (a count sketch, Charikar et al. 2002: one pass).
 * Logits are W·h, so φ is a random linear projection of the mean hidden state h. Taking the mean l̄ off makes φ blind to
 * a constant added to a row, hence the same for logits and log-probabilities.
 *
 * @param rows one or more, of logits over the common vocabulary, length V.
 * @returns `dimension` numbers.
 */
export function featureOf(
  rows: readonly Float32Array[],
  { seed, dimension }: Pick<FeatureSettings, "seed" | "dimension">,
): Float64Array {
  const sums = new Float64Array(rows[0]?.length ?? 0);
  for (const row of rows) addCentred(sums, row);
  const scale = 1 / (rows.length * Math.sqrt(sums.length));
  const feature = new Float64Array(dimension);
  sums.forEach((sum, token) => {
    const centred = sum * scale;
    for (let index = 0; index < numSums; index++) {
      const hash = scatter(Math.imul(token * numSums + index + 1, 0x9e3779b1) ^ seed);
      const place = hash & (dimension - 1);
      feature[place] = (feature[place] as number) + (hash >>> 31 === 1 ? -centred : centred);
    }
  });
  return feature;
}
