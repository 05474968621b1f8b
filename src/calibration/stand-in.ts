import type { ComponentConfig } from "../strategies/fields.js";
import type { AnswerScore } from "./ask.js";
import { type Figures, figuresOf, isBetter, isClearlyBetter } from "./choose-component.js";

/** What the base keeps of prompts that a stand-in answers: −ln 0.1 = 2.3 nats. */
const leastBase = 0.1;

/** Who answers: an expert in a component (null: the default), or the base where `expert` is null. */
export interface Speaker {
  expert: string | null;
  component: ComponentConfig | null;
}

/** Scores the answers of an expert's examples as each of several would give them: for each, always in the same order. */
export type ScoreAnswers = (owner: string, speakers: readonly Speaker[]) => Promise<AnswerScore[][]>;

/** The mean of each figure, every expert's answers counting alike. */
function meanFigures(all: readonly Figures[]): Figures {
  const mean = (of: keyof Figures) => all.reduce((sum, figures) => sum + figures[of], 0) / all.length;
  return { exact: mean("exact"), agreed: mean("agreed"), logprob: mean("logprob") };
}

/**
 * Shares of prompts that fit no expert, by expert id and base. Such prompts belong to the base, unless an expert stands
 * in for it: one under which more answers of the *other* experts come out whole than under the base, clearly, though it
 * knows nothing of their matter, but perhaps of the form. Of these it is the one under which all answers, each expert's
 * counting alike, come out best: with everybody's own among them all are measured by the same answers. Experts that help
 * nobody change nothing.
 *
 * The base keeps `leastBase`, and an answer that it predicts better can still become its own.
 *
 * @param owners the experts that have answers.
 */
export async function sharesOutOfDomain(
  speakers: readonly (Speaker & { expert: string })[],
  owners: readonly string[],
  score: ScoreAnswers,
): Promise<Record<string, number>> {
  // One alone has no others to stand in for.
  if (speakers.length < 2) return { base: 1 };
  const asked: readonly Speaker[] = [{ expert: null, component: null }, ...speakers];
  const scoresOf = new Map<string, AnswerScore[][]>();
  for (const owner of owners) scoresOf.set(owner, await score(owner, asked));
  let best: { expert: string; figures: Figures } | null = null;
  for (const [index, speaker] of speakers.entries()) {
    const others = owners.filter((owner) => owner !== speaker.expert);
    const of = (owner: string, at: number) => scoresOf.get(owner)?.[at] ?? [];
    const ofOthers = (at: number) => others.flatMap((owner) => of(owner, at));
    if (!isClearlyBetter(ofOthers(index + 1), ofOthers(0))) continue;
    const figures = meanFigures(owners.map((owner) => figuresOf(of(owner, index + 1))));
    if (best === null || isBetter(figures, best.figures)) best = { expert: speaker.expert, figures };
  }
  return best === null ? { base: 1 } : { base: leastBase, [best.expert]: 1 - leastBase };
}
