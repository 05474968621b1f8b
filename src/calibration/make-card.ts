import type { ComponentConfig } from "../config/fusion-config.js";
import {
  type AnswerScore,
  type Asked,
  type Example,
  answerTokens,
  featureOfPrompt,
  mixtureOf,
  readingsOf,
  scoreAnswer,
} from "./ask.js";
import { CARD_VERSION, type Card, type ExpertCard } from "./card.js";
import { chooseComponent, figuresOf, isBetter, mostTrials } from "./choose-component.js";
import type { Group } from "./classes.js";
import { defaultFeature } from "./feature.js";
import { fingerprintOf } from "./fingerprint.js";
import { type FittedPrior, fitPrior } from "./fit-prior.js";
import type { CalibratedModels } from "./match-card.js";

/** What the base keeps of prompts that fit no expert where experts serve such prompts better: −ln 0.1 = 2.3 nats. */
const leastBase = 0.1;

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

interface Given {
  prompt: Example["prompt"];
  tokens: number[];
  /** Shares of the other experts, by those who do not know this one. */
  strangers: Record<string, number> | null;
}

type Groups = CardParts["groups"];

/** The answers of an expert's examples. */
async function givenAnswers(
  { asked, concurrency, groups }: Pick<CardParts, "asked" | "concurrency" | "groups">,
  expert: string,
  strangers: FittedPrior["strangers"],
): Promise<Given[]> {
  const examples = groups.find((group) => group.expert === expert)?.examples ?? [];
  const answered = examples.flatMap(({ prompt, answer }, index) =>
    answer === null ? [] : [{ prompt, answer, strangers: strangers?.get(expert)?.[index] ?? null }],
  );
  return inParallel(answered, concurrency, async ({ answer, ...one }) => ({
    ...one,
    tokens: await answerTokens(asked, one.prompt, answer),
  }));
}

async function calibrateExpert(
  { asked, concurrency, models, groups, onProgress }: CardParts,
  expert: string,
  given: readonly Given[],
): Promise<ExpertCard> {
  const known = {
    id: expert,
    model: fingerprintOf(
      models.expertPaths[models.config.experts.findIndex(({ id }) => id === expert)] ?? "",
    ),
    numPrompts: numExamples(groups, expert),
    numAnswers: given.length,
  };
  if (given.length === 0) return { ...known, component: null, trials: [] };
  const what = `answers of ${expert}`;
  let numDone = 0;
  const score = (component: ComponentConfig): Promise<AnswerScore[]> =>
    inParallel(given, concurrency, async (one) => {
      const strategy = mixtureOf({ [expert]: 1 }, { [expert]: component });
      const scored = await scoreAnswer(asked, one, strategy);
      onProgress(what, Math.min(0.99, ++numDone / (given.length * mostTrials)));
      return scored;
    });
  const chosen = await chooseComponent(score);
  onProgress(what, 1);
  return { ...known, ...chosen };
}

const numExamples = (groups: Groups, expert: string): number =>
  groups.find((group) => group.expert === expert)?.examples.length ?? 0;

/**
 * The base's part of what fits no expert. Such prompts belong to the base, unless the answers tell that experts serve it
 * better who know nothing of the matter, but perhaps of the form: every expert's answers are asked of the others, as if
 * it were not there, and of the base alone. Where the others do better the base keeps `leastBase`, and an answer that it
 * predicts better can still become its own.
 */
async function baseOfNone(
  { asked, concurrency, onProgress }: CardParts,
  given: readonly Given[],
  experts: readonly ExpertCard[],
): Promise<number> {
  const components = Object.fromEntries(
    experts.flatMap(({ id, component }) => (component === null ? [] : [[id, component] as const])),
  );
  const answers = given.flatMap(({ strangers, ...one }) =>
    strangers === null ? [] : [{ ...one, strangers }],
  );
  if (answers.length === 0) return 1;
  let numDone = 0;
  const scores = await inParallel(answers, concurrency, async ({ strangers, ...one }) => {
    const others = await scoreAnswer(asked, one, mixtureOf(strangers, components));
    const base = await scoreAnswer(asked, one, { type: "base" });
    onProgress("answers by strangers", ++numDone / answers.length);
    return { others, base };
  });
  const others = figuresOf(scores.map((score) => score.others));
  return isBetter(others, figuresOf(scores.map((score) => score.base))) ? leastBase : 1;
}

/**
 * Asks the models what a card of a config says: where prompts of each expert lie, and under which settings their
 * answers are likely.
 * @throws ShouldersError `calibration_invalid`, and what the engine refuses.
 */
export async function makeCard(parts: CardParts): Promise<Card> {
  const { asked, models, groups, concurrency, onProgress } = parts;
  const read = groups.map(({ expert, examples }) => ({
    expert,
    readings: examples.map(({ prompt }) => readingsOf(prompt)),
  }));
  const numReadings = read.flatMap(({ readings }) => readings.flat()).length;
  let numRead = 0;
  const features: Group[] = [];
  for (const { expert, readings } of read) {
    const examples = await inParallel(readings, concurrency, async (prompts) => {
      const seen: Float64Array[] = [];
      for (const prompt of prompts) {
        seen.push(await featureOfPrompt(asked, prompt));
        onProgress("prompts", ++numRead / numReadings);
      }
      return seen;
    });
    features.push({ expert, examples });
  }
  const { prior, figures, strangers } = fitPrior(features, defaultFeature.dimension);
  const experts: ExpertCard[] = [];
  const answers: Given[] = [];
  for (const { id } of models.config.experts) {
    const given = await givenAnswers(parts, id, strangers);
    answers.push(...given);
    experts.push(await calibrateExpert(parts, id, given));
  }
  prior.none.base = await baseOfNone(parts, answers, experts);
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
