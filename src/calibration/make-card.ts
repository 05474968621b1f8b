import type { ComponentConfig } from "../strategies/fields.js";
import type { StrategyConfig } from "../strategies/registry.js";
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
import { CARD_VERSION, type Card, type ExpertCard } from "../routing/card.js";
import { chooseComponent, mostTrials } from "./choose-component.js";
import type { Group } from "./classes.js";
import { defaultFeature } from "../routing/feature.js";
import { fingerprintOf } from "../routing/fingerprint.js";
import { fitPrior } from "./fit-prior.js";
import type { CalibratedModels } from "../routing/match-card.js";
import { sharesOutOfDomain } from "./stand-in.js";

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

type Groups = CardParts["groups"];

interface Given {
  prompt: Example["prompt"];
  tokens: number[];
}

/** The answers of an expert's examples. */
async function givenAnswers(
  { asked, concurrency, groups }: Pick<CardParts, "asked" | "concurrency" | "groups">,
  expert: string,
): Promise<Given[]> {
  const examples = groups.find((group) => group.expert === expert)?.examples ?? [];
  const answered = examples.flatMap(({ prompt, answer }) => (answer === null ? [] : [{ prompt, answer }]));
  return inParallel(answered, concurrency, async ({ prompt, answer }) => ({
    prompt,
    tokens: await answerTokens(asked, prompt, answer),
  }));
}

/** An expert alone in a mixture, in a component of its own or else the default; null: the base alone. */
const strategyOf = (expert: string | null, component: ComponentConfig | null): StrategyConfig =>
  expert === null
    ? { type: "base" }
    : mixtureOf({ [expert]: 1 }, component === null ? {} : { [expert]: component });

async function calibrateExpert(
  { asked, concurrency, groups, onProgress }: CardParts,
  { id: expert, model }: { id: string; model: string },
  given: readonly Given[],
): Promise<ExpertCard> {
  const known = {
    id: expert,
    model: fingerprintOf(model),
    numPrompts: numExamples(groups, expert),
    numAnswers: given.length,
  };
  if (given.length === 0) return { ...known, component: null, trials: [] };
  const what = `answers of ${expert}`;
  let numDone = 0;
  const score = (component: ComponentConfig): Promise<AnswerScore[]> =>
    inParallel(given, concurrency, async (one) => {
      const scored = await scoreAnswer(asked, one, strategyOf(expert, component));
      onProgress(what, Math.min(0.99, ++numDone / (given.length * mostTrials)));
      return scored;
    });
  const chosen = await chooseComponent(score);
  onProgress(what, 1);
  return { ...known, ...chosen };
}

const numExamples = (groups: Groups, expert: string): number =>
  groups.find((group) => group.expert === expert)?.examples.length ?? 0;

/** Who answers prompts that fit no expert: every expert's answers are asked of every expert and of the base. */
async function outOfDomainShares(
  { asked, concurrency, onProgress }: CardParts,
  experts: readonly ExpertCard[],
  givenOf: ReadonlyMap<string, readonly Given[]>,
): Promise<Record<string, number>> {
  const owners = [...givenOf.keys()].filter((id) => (givenOf.get(id)?.length ?? 0) > 0);
  const numAnswers = owners.reduce((sum, id) => sum + (givenOf.get(id)?.length ?? 0), 0);
  let numDone = 0;
  return sharesOutOfDomain(
    experts.map(({ id, component }) => ({ expert: id, component })),
    owners,
    (owner, { expert, component }) =>
      inParallel(givenOf.get(owner) ?? [], concurrency, async (one) => {
        const scored = await scoreAnswer(asked, one, strategyOf(expert, component));
        onProgress("answers of other experts", ++numDone / (numAnswers * (experts.length + 1)));
        return scored;
      }),
  );
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
  const { prior, figures } = fitPrior(features, defaultFeature.dimension);
  const experts: ExpertCard[] = [];
  const givenOf = new Map<string, Given[]>();
  for (const { id, path } of models.members.experts) {
    const given = await givenAnswers(parts, id);
    givenOf.set(id, given);
    experts.push(await calibrateExpert(parts, { id, model: path }, given));
  }
  prior.none.shares = await outOfDomainShares(parts, experts, givenOf);
  return {
    version: CARD_VERSION,
    config: models.config.id,
    date: parts.date.toISOString(),
    base: fingerprintOf(models.members.base.path),
    reference: fingerprintOf(models.members.reference?.path ?? ""),
    experts,
    vocabularySize: parts.vocabularySize,
    feature: defaultFeature,
    figures,
    prior,
  };
}
