import type { ComponentConfig } from "../config/fusion-config.js";
import type { AnswerScore } from "./ask.js";
import type { Trial } from "./card.js";

/** The expert by itself. */
const alone: ComponentConfig = { kind: "alone", weight: 1, plausibility: null };
/** The base by itself: an expert that should not speak. */
const silent: ComponentConfig = { kind: "fused", weight: 0, plausibility: null };

const sets: ComponentConfig["plausibility"][] = [
  { ratio: 0.1, of: "gated" },
  { ratio: 0.1, of: "joint" },
  { ratio: 0.1, of: "expert" },
  null,
];
const weights: ComponentConfig["weight"][] = [0.75, 0.5, 1.5, "solved"];
const ratios = [0.2, 0.02];

const fused = (
  weight: ComponentConfig["weight"],
  plausibility: ComponentConfig["plausibility"],
): ComponentConfig => ({
  kind: "fused",
  weight,
  plausibility,
});

export type Figures = Pick<Trial, "exact" | "agreed" | "logprob">;

/** What answers come to. */
export function figuresOf(scores: readonly AnswerScore[]): Figures {
  const sum = (of: (score: AnswerScore) => number): number =>
    scores.reduce((total, score) => total + of(score), 0);
  const numTokens = sum((score) => score.numTokens);
  return {
    exact: sum((score) => (score.numAgreed === score.numTokens ? 1 : 0)) / scores.length,
    agreed: sum((score) => score.numAgreed) / numTokens,
    logprob: sum((score) => score.logprob) / numTokens,
  };
}

/**
 * Greedy decoding gives an answer just when each of its tokens is the most likely one after those before it, so
 * `exact` is the score that greedy answers would have; likelihood alone prefers blends that hedge. Ties go by tokens,
 * then by likelihood.
 */
export function isBetter(a: Figures, b: Figures): boolean {
  if (a.exact !== b.exact) return a.exact > b.exact;
  if (a.agreed !== b.agreed) return a.agreed > b.agreed;
  return a.logprob > b.logprob;
}

export const bestOf = (trials: readonly Trial[]): Trial =>
  trials.reduce((best, trial) => (isBetter(trial, best) ? trial : best));

/** At most so many settings are tried for an expert. */
export const mostTrials = 2 + sets.length + weights.length + ratios.length;

/**
 * Finds the component of an expert under which given answers are likeliest. One thing after the other instead of a full
 * grid, because every setting costs a pass over all answers: who speaks and over which tokens, then how strongly, then how
 * strictly.
 *
 * @param score the answers under a setting.
 * @returns what was tried, in order, and the best of it.
 */
export async function chooseComponent(
  score: (component: ComponentConfig) => Promise<AnswerScore[]>,
): Promise<{ component: ComponentConfig; trials: Trial[] }> {
  const trials: Trial[] = [];
  const tryAll = async (components: readonly ComponentConfig[]): Promise<Trial> => {
    for (const component of components) trials.push({ ...component, ...figuresOf(await score(component)) });
    return bestOf(trials);
  };
  let best = await tryAll([...sets.map((set) => fused(1, set)), alone, silent]);
  if (best.kind === "fused" && best.weight !== 0) {
    best = await tryAll(weights.map((weight) => fused(weight, best.plausibility)));
    const { weight, plausibility } = best;
    if (plausibility !== null)
      best = await tryAll(ratios.map((ratio) => fused(weight, { ...plausibility, ratio })));
  }
  const { kind, weight, plausibility } = best;
  return { component: { kind, weight, plausibility }, trials };
}
