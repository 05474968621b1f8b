import { type ComponentConfig, componentSchema } from "../strategies/fields.js";
import type { AnswerScore } from "./ask.js";
import type { Trial } from "../routing/card.js";

/** The expert by itself. */
const alone: ComponentConfig = { kind: "alone", weight: 1, plausibility: null };
/** The base by itself: an expert that is not to answer. */
const baseAlone: ComponentConfig = { kind: "fused", weight: 0, plausibility: null };

/** What a config does without a card, and what stands unless another setting is clearly better (decision 9). */
export const usual: ComponentConfig = componentSchema.parse({});

/** Tokens that take part, at weight 1. */
const sets: ComponentConfig["plausibility"][] = [
  { ratio: 0.02, of: "expert" },
  { ratio: 0.1, of: "expert" },
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

/**
 * What is tried first: who speaks, and over which tokens.
 *
 * @param areOwn see `chooseComponent`.
 */
export const firstTrials = (areOwn: boolean): readonly ComponentConfig[] => [
  usual,
  ...sets.map((set) => fused(1, set)),
  ...(areOwn ? [] : [alone, baseAlone]),
];

const isExact = ({ numAgreed, numTokens }: AnswerScore): boolean => numAgreed === numTokens;

export type Figures = Pick<Trial, "exact" | "agreed" | "logprob">;

/** What answers come to. */
export function figuresOf(scores: readonly AnswerScore[]): Figures {
  const sum = (of: (score: AnswerScore) => number): number =>
    scores.reduce((total, score) => total + of(score), 0);
  const numTokens = sum((score) => score.numTokens);
  return {
    exact: sum((score) => Number(isExact(score))) / scores.length,
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

/** What of an answer is compared: whether it comes out whole, or how many of its tokens are the most likely ones. */
const measures = {
  exact: (score: AnswerScore) => Number(isExact(score)),
  agreed: (score: AnswerScore) => score.numAgreed,
};

/**
 * Whether more of the same answers come out better than chance explains: gained − lost > spread·√(gained + lost), the
 * sign test, which of whole answers is McNemar's; at a spread of 2 at about 95 %. The best of many settings on few
 * answers is otherwise the luckiest.
 */
export function isClearlyBetter(
  scores: readonly AnswerScore[],
  than: readonly AnswerScore[],
  { of = "exact", spread = 2 }: { of?: keyof typeof measures; spread?: number } = {},
): boolean {
  const measure = measures[of];
  const changes = scores.map((score, index) =>
    Math.sign(measure(score) - measure(than[index] as AnswerScore)),
  );
  const gained = changes.filter((change) => change > 0).length;
  const lost = changes.filter((change) => change < 0).length;
  return gained - lost > spread * Math.sqrt(gained + lost);
}

/** Own answers hold what the expert does not know as well: only large differences say something of its form. */
const ownSpread = 3;

/** How often an expert's answers are read to try all settings: once to see who speaks over which tokens, once how strongly. */
export const trialReadings = 2;

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
 * grid, because the best of fewer is less often the luckiest: who speaks and over which tokens, then how strongly.
 *
 * Who speaks is compared by tokens, so that it can be seen of long answers too, which never come out whole. How strongly is
 * compared by whole answers alone: where all before a token is given, a small weight looks better than it is.
 *
 * @param score the answers under each of several settings, always in the same order.
 * @param areOwn the answers are the expert's own: what it says alone is no setting then, it would win.
 * @returns what is chosen of what was tried: the usual setting, unless others are clearly better.
 */
export async function chooseComponent(
  score: (components: readonly ComponentConfig[]) => Promise<AnswerScore[][]>,
  areOwn: boolean,
): Promise<Chosen> {
  const tried: Tried[] = [];
  const tryAll = async (components: readonly ComponentConfig[]): Promise<Tried[]> => {
    const all = await score(components);
    const these = components.map((component, index) => {
      const scores = all[index] ?? [];
      return { component, scores, trial: { ...component, ...figuresOf(scores) } };
    });
    tried.push(...these);
    return these;
  };
  const bestBeside = (standing: Tried, others: readonly Tried[], by: Parameters<typeof isClearlyBetter>[2]) =>
    bestOf([standing, ...others.filter(({ scores }) => isClearlyBetter(scores, standing.scores, by))]);
  const whole = areOwn ? { spread: ownSpread } : {};
  const [first, ...others] = (await tryAll(firstTrials(areOwn))) as [Tried, ...Tried[]];
  const speaker = bestBeside(first, others, areOwn ? whole : { of: "agreed" });
  const { kind, weight, plausibility } = speaker.component;
  const isFused = kind === "fused" && weight !== 0;
  const stronger = isFused ? await tryAll(weights.map((other) => fused(other, plausibility))) : [];
  const chosen = bestBeside(speaker, stronger, whole);
  const scoresOf = (component: ComponentConfig) =>
    tried.find((one) => one.component === component)?.scores ?? [];
  return {
    component: chosen.component,
    trials: tried.map(({ trial }) => trial),
    ofBase: scoresOf(baseAlone),
    ofExpert: scoresOf(alone),
  };
}
