import type { TokenLogprob } from "../types.js";

/**
 * The k best of a row [V] of unnormalised logits with log-probabilities logit − logNormalizer (nats), best
 * first; equal logits: the lower token first. Tokens at −Infinity are left out. One pass, O(V + inserts·k).
 */
export function topOf(
  row: Float32Array,
  k: number,
  logNormalizer: number,
  isExcluded: (token: number) => boolean = () => false,
): TokenLogprob[] {
  const best: { token: number; logit: number }[] = [];
  let least = -Infinity;
  for (let token = 0; token < row.length && k > 0; token++) {
    const logit = row[token] as number;
    if (!(logit > least) || isExcluded(token)) continue;
    let at = best.length;
    while (at > 0 && (best[at - 1] as { logit: number }).logit < logit) at--;
    best.splice(at, 0, { token, logit });
    if (best.length > k) best.pop();
    if (best.length === k) least = (best[k - 1] as { logit: number }).logit;
  }
  return best.map(({ token, logit }) => ({ token, logprob: logit - logNormalizer }));
}
