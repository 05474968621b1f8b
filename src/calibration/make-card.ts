import type { ComponentConfig } from "../config/fusion-config.js";
import {
  type AnswerScore,
  type Asked,
  type Example,
  answerTokens,
  featureOfPrompt,
  scoreAnswer,
} from "./ask.js";
import { CARD_VERSION, type Card, type ExpertCard } from "./card.js";
import { chooseComponent, mostTrials } from "./choose-component.js";
import { defaultFeature } from "./feature.js";
import { fingerprintOf } from "./fingerprint.js";
import { fitPrior } from "./fit-prior.js";
import type { CalibratedModels } from "./match-card.js";

export interface CardParts {
  asked: Asked;
  models: CalibratedModels;
  vocabularySize: number;
  /** Examples of each expert in the order of the config, then those that fit none, if any. */
  groups: readonly { expert: string | null; examples: readonly Example[] }[];
  /** Requests at a time. */
  concurrency: number;
  date: Date;
  /** `fraction` from 0 to 1 of what is named. */
  onProgress: (what: string, fraction: number) => void;
}

/** Results in the order of the values, `concurrency` at a time. */
async function inParallel<T, R>(
  values: readonly T[],
  concurrency: number,
  run: (value: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = values.entries();
  const work = async (): Promise<void> => {
    for (const [index, value] of queue) results[index] = await run(value);
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return results;
}

/** How likely the answers of an expert's examples are under its component; empty: no answers were given. */
async function scoring(
  { asked, concurrency }: Pick<CardParts, "asked" | "concurrency">,
  expert: string,
  examples: readonly Example[],
): Promise<(component: ComponentConfig, onDone: () => void) => Promise<AnswerScore[]>> {
  const answered = examples.flatMap(({ prompt, answer }) => (answer === null ? [] : [{ prompt, answer }]));
  const given = await inParallel(answered, concurrency, async ({ prompt, answer }) => ({
    prompt,
    expert,
    tokens: await answerTokens(asked, prompt, answer),
  }));
  return (component, onDone) =>
    inParallel(given, concurrency, async (one) => {
      const score = await scoreAnswer(asked, one, component);
      onDone();
      return score;
    });
}

async function calibrateExpert(parts: CardParts, expert: string): Promise<ExpertCard> {
  const { models, groups, onProgress } = parts;
  const examples = groups.find((group) => group.expert === expert)?.examples ?? [];
  const numAnswers = examples.filter(({ answer }) => answer !== null).length;
  const known = {
    id: expert,
    model: fingerprintOf(
      models.expertPaths[models.config.experts.findIndex(({ id }) => id === expert)] ?? "",
    ),
    numPrompts: examples.length,
    numAnswers,
  };
  if (numAnswers === 0) return { ...known, component: null, trials: [] };
  const what = `answers of ${expert}`;
  const score = await scoring(parts, expert, examples);
  let numDone = 0;
  const onDone = (): void => onProgress(what, Math.min(0.99, ++numDone / (numAnswers * mostTrials)));
  const chosen = await chooseComponent((component) => score(component, onDone));
  onProgress(what, 1);
  return { ...known, ...chosen };
}

/**
 * Asks the models what a card of a config says: where prompts of each expert lie, and under which settings their
 * answers are likely.
 * @throws ShouldersError `calibration_invalid`, and what the engine refuses.
 */
export async function makeCard(parts: CardParts): Promise<Card> {
  const { asked, models, groups, concurrency, onProgress } = parts;
  const numPrompts = groups.reduce((sum, { examples }) => sum + examples.length, 0);
  let numRead = 0;
  const features: { expert: string | null; features: Float64Array[] }[] = [];
  for (const { expert, examples } of groups)
    features.push({
      expert,
      features: await inParallel(examples, concurrency, async ({ prompt }) => {
        const feature = await featureOfPrompt(asked, prompt);
        onProgress("prompts", ++numRead / numPrompts);
        return feature;
      }),
    });
  const { prior, figures } = fitPrior(features, defaultFeature.dimension);
  const experts: ExpertCard[] = [];
  for (const { id } of models.config.experts) experts.push(await calibrateExpert(parts, id));
  return {
    version: CARD_VERSION,
    config: models.config.id,
    date: parts.date.toISOString(),
    base: fingerprintOf(models.basePath),
    reference: fingerprintOf(models.referencePath ?? ""),
    experts,
    vocabularySize: parts.vocabularySize,
    feature: defaultFeature,
    figures,
    prior,
  };
}
