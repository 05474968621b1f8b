/**
 * Which of K policies draws the next answer, learned from ratings: adversarial bandits over losses in [0, 1], of which
 * only that of the drawn one is seen. Weights depend on sums of loss estimates alone, so the order of ratings and who
 * adds them up do not matter.
 */

export const choosers = ["tsallis-inf", "exp3-ix", "best", "first"] as const;
export type ChooserName = (typeof choosers)[number];

/** What ratings have come to. */
export interface Sums {
  /** Estimated losses by policy, in sum. */
  losses: readonly number[];
  /** Ratings, those that were forgotten by a half-life in part. */
  rounds: number;
}

/** The next draw. */
export interface Draw {
  /** By policy; they add up to 1. */
  probabilities: readonly number[];
  /** What is added to a drawn policy's probability in the estimate of its loss (implicit exploration). */
  gamma: number;
}

/**
 * tsallis-inf: p_i = 4/(η(L_i − x))², x so that they add up to 1, η = 2/√t (Zimmert and Seldin 2021).
 * exp3-ix: p_i ∝ exp(−ηL_i), η = 2γ = √(ln K/(K t)) (Neu 2015).
 * best: the least mean loss; first: the first. `explore` is shared evenly by all.
 */
export function drawOf(
  name: ChooserName,
  { losses, rounds }: Sums,
  { explore, means }: { explore: number; means: readonly number[] },
): Draw {
  const numPolicies = losses.length;
  const t = rounds + 1;
  const eta = Math.sqrt(Math.log(Math.max(2, numPolicies)) / (numPolicies * t));
  const chosen = {
    "tsallis-inf": () => tsallis(losses, 2 / Math.sqrt(t)),
    "exp3-ix": () => exponential(losses, eta),
    best: () => onlyAt(means.indexOf(Math.min(...means)), numPolicies),
    first: () => onlyAt(0, numPolicies),
  }[name]();
  return {
    probabilities: chosen.map((p) => (1 - explore) * p + explore / numPolicies),
    gamma: name === "exp3-ix" ? eta / 2 : 0,
  };
}

/** An unbiased estimate of a drawn policy's loss, but for γ: its loss over its probability at the draw. */
export const estimateOf = (loss: number, probability: number, gamma: number): number =>
  loss / (probability + gamma);

const onlyAt = (place: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => Number(index === place));

function exponential(losses: readonly number[], eta: number): number[] {
  const least = Math.min(...losses);
  const weights = losses.map((loss) => Math.exp(-eta * (loss - least)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** By Newton's steps from below: the sum falls and is convex in L − x, so they never pass the solution. */
function tsallis(losses: readonly number[], eta: number): number[] {
  const least = Math.min(...losses);
  // At this x the best one alone has 1; the solution is further from it.
  let shift = 2 / eta;
  for (let step = 0; step < 100; step++) {
    let [sum, slope] = [0, 0];
    for (const loss of losses) {
      const root = eta * (loss - least + shift);
      sum += 4 / root ** 2;
      slope -= (8 * eta) / root ** 3;
    }
    const next = shift - (sum - 1) / slope;
    if (Math.abs(next - shift) <= 1e-14 * shift) break;
    shift = next;
  }
  const weights = losses.map((loss) => 4 / (eta * (loss - least + shift)) ** 2);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}
