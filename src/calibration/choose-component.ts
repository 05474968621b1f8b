import type { ComponentConfig } from "../strategies/fields.js";
import type { AnswerScore } from "./ask.js";
import type { Trial } from "../routing/card.js";

/** The expert by itself. */
const alone: ComponentConfig = { kind: "alone", weight: 1, plausibility: null };
/** The base by itself: an expert that is not to answer. */
const baseAlone: ComponentConfig = { kind: "fused", weight: 0, plausibility: null };

/**
 * The setting that stands unless another is clearly better: of those that serve every task of the trained family well,
 * the one that was best on its validation sets (docs/several-experts).
 */
const usual: ComponentConfig = { kind: "fused", weight: 1, plausibility: { ratio: 0.02, of: "expert" } };

const sets: ComponentConfig["plausibility"][] = [
  { ratio: 0.1, of: "expert" },
  { ratio: 0.1, of: "gated" },
  { ratio: 0.1, of: "joint" },
  null,
];
const weights: ComponentConfig["weight"][] = [0.75, 0.5, 1.5, "solved"];

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

const isExact = (score: AnswerScore): boolean => score.numAgreed === score.numTokens;

/**
 * Whether more of the same answers are exact than chance explains: gained − lost > 2·√(gained + lost), the sign test of
 * McNemar at about 95 %. The best of many settings on few answers is otherwise the luckiest.
 */
export function isClearlyBetter(scores: readonly AnswerScore[], than: readonly AnswerScore[]): boolean {
  const changes = scores.map(
    (score, index) => Number(isExact(score)) - Number(isExact(than[index] as AnswerScore)),
  );
  const gained = changes.filter((change) => change > 0).length;
  const lost = changes.filter((change) => change < 0).length;
  return gained - lost > 2 * Math.sqrt(gained + lost);
}

/** At most so many settings are tried for an expert. */
export const mostTrials = 3 + sets.length + weights.length;

/** What was chosen for an expert, and how the answers came out under every setting. */
export interface Chosen {
  component: ComponentConfig;
  /** In the order in which they were tried. */
  trials: Trial[];
  ofBase: readonly AnswerScore[];
  ofExpert: readonly AnswerScore[];
}

interface Tried {
  component: ComponentConfig;
  scores: readonly AnswerScore[];
  trial: Trial;
}

const bestOf = (tried: readonly Tried[]): Tried =>
  tried.reduce((best, one) => (isBetter(one.trial, best.trial) ? one : best));

/**
 * Finds the component of an expert under which given answers come out best. One thing after the other instead of a full
 * grid, because every setting costs a pass over all answers: who speaks and over which tokens, then how strongly.
 *
 * @param score the answers under a setting, always in the same order.
 * @param areOwn the answers are the expert's own: what it says alone is no setting then, it would win.
 * @returns what is chosen of what was tried: the usual setting, unless others are clearly better.
 */
export async function chooseComponent(
  score: (component: ComponentConfig) => Promise<AnswerScore[]>,
  areOwn: boolean,
): Promise<Chosen> {
  const tried: Tried[] = [];
  const tryAll = async (components: readonly ComponentConfig[]): Promise<Tried> => {
    for (const component of components) {
      const scores = await score(component);
      tried.push({ component, scores, trial: { ...component, ...figuresOf(scores) } });
    }
    return bestOf(tried);
  };
  const unfused = areOwn ? [] : [alone, baseAlone];
  const { component: best } = await tryAll([usual, ...sets.map((set) => fused(1, set)), ...unfused]);
  if (best.kind === "fused" && best.weight !== 0)
    await tryAll(weights.map((weight) => fused(weight, best.plausibility)));
  const [first, ...others] = tried as [Tried, ...Tried[]];
  const chosen = bestOf([first, ...others.filter(({ scores }) => isClearlyBetter(scores, first.scores))]);
  const scoresOf = (component: ComponentConfig) =>
    tried.find((one) => one.component === component)?.scores ?? [];
  return {
    component: chosen.component,
    trials: tried.map(({ trial }) => trial),
    ofBase: scoresOf(baseAlone),
    ofExpert: scoresOf(alone),
  };
}
