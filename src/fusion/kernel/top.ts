import type { TokenLogprob } from "../types.js";

export interface TopOptions {
  /** Tokens that do not count although their logit is finite. */
  isExcluded?: (token: number) => boolean;
  /** Index of the first logit from `from` on that is above `least`, or the row's length: a faster scan. */
  nextAbove?: (from: number, least: number) => number;
}

/**
 * The k best of a row [V] of unnormalised logits with log-probabilities logit − logNormalizer (nats), best
 * first; equal logits: the lower token first. Tokens at −Infinity are left out. One pass, O(V + inserts·k).
 */
export function topOf(
  row: Float32Array,
  k: number,
  logNormalizer: number,
  { isExcluded = () => false, nextAbove = scanFrom(row) }: TopOptions = {},
): TokenLogprob[] {
  const best: { token: number; logit: number }[] = [];
  let least = -Infinity;
  for (let token = nextAbove(0, least); token < row.length && k > 0; token = nextAbove(token + 1, least)) {
    if (isExcluded(token)) continue;
    const logit = row[token] as number;
    let at = best.length;
    while (at > 0 && (best[at - 1] as { logit: number }).logit < logit) at--;
    best.splice(at, 0, { token, logit });
    if (best.length > k) best.pop();
    if (best.length === k) least = (best[k - 1] as { logit: number }).logit;
  }
  return best.map(({ token, logit }) => ({ token, logprob: logit - logNormalizer }));
}

function scanFrom(row: Float32Array): (from: number, least: number) => number {
  return (from, least) => {
    let token = from;
    while (token < row.length && !((row[token] as number) > least)) token++;
    return token;
  };
}
