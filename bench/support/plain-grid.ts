import type { LogitsRows } from "../../src/fusion/types.js";

/**
 * What one would write first: the paper's search over α = 0, 0.1, …, 2 in plain JavaScript, one expert at a
 * time, Math.exp in float64 over every token. From rows [V] to the fused row's logits.
 */
export function plainGrid({ base, reference, experts }: LogitsRows): { logits: Float32Array; alpha: number } {
  if (!reference) return { logits: base, alpha: 0 };
  const logBase = logSoftmax(base);
  const logReference = logSoftmax(reference);
  const targets = experts.map((expert) => divergences(logSoftmax(expert), logReference));
  let best = { objective: Infinity, expert: 0, alpha: 0 };
  const logits = new Float32Array(base.length);
  const logFused = new Float64Array(base.length);
  const fuse = (expert: Float32Array, alpha: number) => {
    for (let i = 0; i < logits.length; i++) logits[i] = base[i]! + alpha * (expert[i]! - reference[i]!);
  };
  for (const [t, expert] of experts.entries())
    for (let k = 0; k <= 20; k++) {
      fuse(expert, k / 10);
      const { forward, reverse } = divergences(logSoftmax(logits, logFused), logBase);
      let objective = 0;
      for (const target of targets)
        objective += (forward - target.forward) ** 2 + (reverse - target.reverse) ** 2;
      if (objective < best.objective) best = { objective, expert: t, alpha: k / 10 };
    }
  fuse(experts[best.expert]!, best.alpha);
  return { logits, alpha: best.alpha };
}

function logSoftmax(logits: Float32Array, result = new Float64Array(logits.length)): Float64Array {
  let most = -Infinity;
  for (const logit of logits) if (logit > most) most = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  const logNormalizer = most + Math.log(sum);
  for (let i = 0; i < logits.length; i++) result[i] = logits[i]! - logNormalizer;
  return result;
}

/** KL(new‖old) and KL(old‖new), nats. */
function divergences(newer: Float64Array, older: Float64Array): { forward: number; reverse: number } {
  let forward = 0;
  let reverse = 0;
  for (let i = 0; i < newer.length; i++) {
    const difference = newer[i]! - older[i]!;
    forward += Math.exp(newer[i]!) * difference;
    reverse -= Math.exp(older[i]!) * difference;
  }
  return { forward, reverse };
}
