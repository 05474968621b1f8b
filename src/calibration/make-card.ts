import type { LocalMember } from "../config/members.js";
import type { Prompt } from "../protocol/protocol.js";
import type { ComponentConfig } from "../strategies/fields.js";
import { defaultStrategy, type StrategyConfig } from "../strategies/registry.js";
import {
  type Answer,
  type AnswerScore,
  answerOf,
  type Asked,
  type Example,
  featureOfPrompt,
  mixtureOf,
  readingsOf,
  run,
  scoreAnswer,
} from "./ask.js";
import { backgroundPrompts } from "./background.js";
import { CARD_VERSION, type Card, type ExpertCard } from "../routing/card.js";
import { chooseConfidence, knownVerdicts } from "./choose-confidence.js";
import { chooseComponent, type Chosen, trialReadings } from "./choose-component.js";
import type { Group } from "./classes.js";
import { compared, type Comparison, strategyFor, type Today } from "./compare.js";
import { defaultFeature } from "../routing/feature.js";
import { fingerprintOf } from "../routing/fingerprint.js";
import { fitPrior } from "./fit-prior.js";
import { inParallel } from "./in-parallel.js";
import type { CalibratedModels } from "../routing/match-card.js";
import { readerOf } from "./reference-alone.js";
import { sharesOutOfDomain } from "./stand-in.js";

export interface CardParts {
  asked: Asked;
  models: CalibratedModels;
  vocabularySize: number;
  /** Examples of each expert in the order of the config, then those that fit none, if any. */
  groups: readonly { expert: string | null; examples: readonly Example[] }[];
  /** What the config does before it has this card. */
  today: Today;
  /** Requests at a time. */
  concurrency: number;
  date: Date;
  /** `fraction` from 0 to 1 of what is named. */
  onProgress: (what: string, fraction: number) => void;
}

/** A card, and what it is worth. */
export interface Calibration {
  card: Card;
  /** null: no answers were given. */
  comparison: Comparison | null;
}

/** An answer to an example, and what its prompt, as it was given, looks like. */
interface Given extends Answer {
  feature: Float64Array;
}

/** An expert alone in a mixture, in a component of its own or else the default; null: the base alone. */
const strategyOf = (expert: string | null, component: ComponentConfig | null): StrategyConfig =>
  expert === null
    ? { type: "base" }
    : mixtureOf({ [expert]: 1 }, component === null ? {} : { [expert]: component });

type Steps = Pick<CardParts, "asked" | "concurrency" | "onProgress">;

/** By what answers are scored: strategies, and the only expert that they run; null: all may be run. */
interface ScoredBy {
  strategiesFor: (given: Given) => readonly StrategyConfig[];
  expert: string | null;
  onDone: () => void;
}

/** How likely every answer is under each of the strategies that it is to be scored by: for each of them, all answers. */
async function scoreAll(
  { asked, concurrency }: Steps,
  given: readonly Given[],
  { strategiesFor, expert, onDone }: ScoredBy,
): Promise<AnswerScore[][]> {
  const ofAnswers = await inParallel(given, concurrency, async (one) => {
    const scored = await scoreAnswer(asked, one, { strategies: strategiesFor(one), expert });
    onDone();
    return scored;
  });
  return (ofAnswers[0] ?? []).map((_, strategy) =>
    ofAnswers.map((scores) => scores[strategy] as AnswerScore),
  );
}

/** Counts towards a whole, and shows how far it is. */
function counter({ onProgress }: Steps, what: string, total: number): () => void {
  let numDone = 0;
  return () => onProgress(what, Math.min(0.99, ++numDone / total));
}

/** Features of the examples, and of prompts of no task. */
async function readPrompts(
  parts: CardParts,
): Promise<{ features: Group[]; background: readonly Float64Array[] }> {
  const { groups, concurrency, onProgress } = parts;
  const asked = { ...parts.asked, configId: await readerOf(parts.asked, groups) };
  const others = backgroundPrompts(groups.flatMap(({ examples }) => examples));
  const read = groups.map(({ expert, examples }) => ({
    expert,
    readings: examples.map(({ prompt }) => readingsOf(prompt)),
  }));
  const numReadings = read.flatMap(({ readings }) => readings.flat()).length;
  const count = counter(parts, "prompts", numReadings + others.length);
  const features: Group[] = [];
  for (const { expert, readings } of read) {
    const examples = await inParallel(readings, concurrency, async (prompts) => {
      const seen: Float64Array[] = [];
      for (const prompt of prompts) {
        seen.push(await featureOfPrompt(asked, prompt));
        count();
      }
      return seen;
    });
    features.push({ expert, examples });
  }
  const background = await inParallel(others, concurrency, async (prompt) => {
    const feature = await featureOfPrompt(asked, prompt);
    count();
    return feature;
  });
  onProgress("prompts", 1);
  return { features, background };
}

/** The answers that are wanted of an expert or, where none is known, its own. */
async function answersOf(
  { asked, concurrency, groups }: CardParts,
  expert: string,
  features: readonly Group[],
): Promise<{ given: Given[]; areOwn: boolean }> {
  const examples = groups.find((group) => group.expert === expert)?.examples ?? [];
  const seen = features.find((group) => group.expert === expert)?.examples ?? [];
  const all = examples.map((example, index) => ({ example, feature: seen[index]?.[0] as Float64Array }));
  const answered = all.filter(({ example }) => example.answer !== null);
  const areOwn = answered.length === 0;
  const given = await inParallel(areOwn ? all : answered, concurrency, async ({ example, feature }) => ({
    ...(await answerOf(asked, example)),
    feature,
  }));
  return { given: given.filter(({ tokens }) => tokens.length > 0), areOwn };
}

type Shares = Readonly<Record<string, number>>;

interface Calibrated {
  card: ExpertCard;
  given: readonly Given[];
  /** null: the answers are the expert's own. */
  chosen: Chosen | null;
}

async function calibrateExpert(
  parts: CardParts,
  { id: expert, path, adapterPath, adapter }: LocalMember,
  features: readonly Group[],
): Promise<Calibrated> {
  const { given, areOwn } = await answersOf(parts, expert, features);
  const numPrompts = parts.groups.find((group) => group.expert === expert)?.examples.length ?? 0;
  const known = {
    id: expert,
    model: fingerprintOf(adapterPath ?? path),
    ...(adapter !== null && { scale: adapter.scale }),
    numPrompts,
    numAnswers: areOwn ? 0 : given.length,
  };
  if (given.length === 0) return { card: { ...known, component: null, trials: [] }, given, chosen: null };
  const what = `answers of ${expert}`;
  const onDone = counter(parts, what, given.length * trialReadings);
  const chosen = await chooseComponent((components) => {
    const strategies = components.map((component) => strategyOf(expert, component));
    return scoreAll(parts, given, { strategiesFor: () => strategies, expert, onDone });
  }, areOwn);
  parts.onProgress(what, 1);
  const { component, trials } = chosen;
  return { card: { ...known, component, trials }, given, chosen: areOwn ? null : chosen };
}

/** Who answers prompts that fit no expert: every expert's answers are asked of every expert and of the base. */
async function outOfDomainShares(
  parts: CardParts,
  experts: readonly Calibrated[],
): Promise<Record<string, number>> {
  const answered = experts.filter(({ chosen }) => chosen !== null);
  const numAnswers = answered.reduce((sum, { given }) => sum + given.length, 0);
  const what = "answers of other experts";
  const onDone = counter(parts, what, numAnswers);
  const givenOf = new Map(answered.map(({ card, given }) => [card.id, given]));
  const shares = await sharesOutOfDomain(
    experts.map(({ card: { id, component } }) => ({ expert: id, component })),
    [...givenOf.keys()],
    (owner, speakers) => {
      const strategies = speakers.map(({ expert, component }) => strategyOf(expert, component));
      const given = givenOf.get(owner) ?? [];
      return scoreAll(parts, given, { strategiesFor: () => strategies, expert: null, onDone });
    },
  );
  if (numAnswers > 0 && experts.length > 1) parts.onProgress(what, 1);
  return shares;
}

/** The shares with which several experts begin where no card knows: the engine finds them out of the prompt. */
async function sharesToday({ asked, models, today }: CardParts, prompt: Prompt): Promise<Shares | null> {
  const isOpen = today.card === null && today.strategy.type === "mixture" && today.strategy.prior === "card";
  if (!isOpen || models.members.experts.length < 2) return null;
  const { tokens } = await run(asked, { prompt, strategy: today.strategy, audit: "rows" });
  return tokens[0]?.record.shares ?? null;
}

/** What the given answers come to today and by the card. */
async function compare(
  parts: CardParts,
  card: Card,
  experts: readonly Calibrated[],
): Promise<Comparison | null> {
  const answered = experts.flatMap(({ chosen, given }) => (chosen === null ? [] : [{ chosen, given }]));
  const given = answered.flatMap((one) => one.given);
  if (given.length === 0) return null;
  const what = "answers as today and by the card";
  const begun = new Map<Given, Shares | null>();
  await inParallel(given, parts.concurrency, async (one) =>
    begun.set(one, await sharesToday(parts, one.prompt)),
  );
  const byCardNow: Today = { strategy: defaultStrategy(card.experts), card };
  const [today = [], byCard = []] = await scoreAll(parts, given, {
    strategiesFor: (one) => [
      strategyFor({ ...parts.today, shares: begun.get(one) ?? null }, one.feature),
      strategyFor(byCardNow, one.feature),
    ],
    expert: null,
    onDone: counter(parts, what, given.length),
  });
  parts.onProgress(what, 1);
  return compared({
    base: answered.flatMap(({ chosen }) => chosen.ofBase),
    expert: answered.flatMap(({ chosen }) => chosen.ofExpert),
    today,
    card: byCard,
  });
}

/**
 * Asks the models what a card of a config says: where prompts of each expert lie, and under which settings their
 * answers come out whole.
 * @throws ShouldersError `calibration_invalid`, and what the engine refuses.
 */
export async function makeCard(parts: CardParts): Promise<Calibration> {
  const { models } = parts;
  const { features, background } = await readPrompts(parts);
  const { prior, figures } = fitPrior(features, defaultFeature.dimension, background);
  const experts: Calibrated[] = [];
  for (const member of models.members.experts) experts.push(await calibrateExpert(parts, member, features));
  prior.none.shares = await outOfDomainShares(parts, experts);
  const settings = new Map(experts.map((expert) => [expert.card.id, expert.card.component]));
  const confidence = chooseConfidence(
    await knownVerdicts(
      parts.asked,
      parts.groups.flatMap(({ examples }) => examples),
      { strategyOf: (id) => strategyOf(id, settings.get(id) ?? null), concurrency: parts.concurrency },
    ),
  );
  const card: Card = {
    version: CARD_VERSION,
    config: models.config.id,
    date: parts.date.toISOString(),
    base: fingerprintOf(models.members.base.path),
    reference: fingerprintOf(models.members.reference?.path ?? ""),
    experts: experts.map((expert) => expert.card),
    vocabularySize: parts.vocabularySize,
    feature: defaultFeature,
    figures,
    prior,
    ...(confidence !== null && { confidence }),
  };
  return { card, comparison: await compare(parts, card, experts) };
}
