import path from "node:path";
import type { Calibration } from "../calibration/make-card.js";
import { type Figures, isBetter } from "../calibration/choose-component.js";
import type { Comparison } from "../calibration/compare.js";
import type { Work } from "../calibration/estimate.js";
import type { Card, ExpertCard } from "../routing/card.js";
import { cardFindings } from "../routing/card-findings.js";
import { type ComponentConfig, componentInWords } from "../strategies/fields.js";
import { strategyOf, type StrategyConfig } from "../strategies/registry.js";
import { type ExampleGroup, promptCounts } from "./calibrate-options.js";
import { renderTable } from "./table.js";
import { formatDuration } from "./units.js";

/** What `calibrate` says, for a person to read. */

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const right = (header: string) => ({ header, align: "right" }) as const;
const left = (header: string) => ({ header, align: "left" }) as const;

/** What it is going to do, and for how long. */
export function workText(id: string, { numReadings, numScored, seconds }: Work): string {
  return (
    `Calibrating ${id} takes about ${formatDuration(seconds)}: ` +
    `it reads ${numReadings} prompts, and answers ${numScored} times, each time by several settings at once.\n`
  );
}

/** Who had the largest share of each expert's prompts, when they were left out of the fit. */
function confusionTable({ figures, experts }: Card): string {
  const names = ["base", ...experts.map(({ id }) => id)];
  const rows = figures.confusion.map(({ given, largest }) => [
    given === "base" ? "none" : given,
    ...names.map((name) => String(largest[name] ?? 0)),
  ]);
  return renderTable([left("prompts of"), ...names.map((name) => right(`taken for ${name}`))], rows);
}

/** `choice (90 %) and base (10 %)`: the largest first. */
function whoText(shares: Record<string, number>): string {
  const sorted = Object.entries(shares).sort(([, a], [, b]) => b - a);
  const [[first] = ["base"]] = sorted;
  return sorted.length < 2
    ? `the ${first}`
    : sorted.map(([id, share]) => `${id} (${percent(share)})`).join(" and ");
}

const settingText = (id: string, component: ComponentConfig): string =>
  componentInWords(id, component) +
  (component.plausibility === null ? "" : ` (${component.plausibility.ratio})`);

function trialsTable({ id, trials, component, numAnswers }: ExpertCard): string {
  const chosen = component === null ? null : settingText(id, component);
  const whose = numAnswers > 0 ? "answers" : "its own answers";
  const rows = trials.map((trial) => [
    settingText(id, trial) === chosen ? "→" : "",
    settingText(id, trial),
    percent(trial.exact),
    percent(trial.agreed),
    trial.logprob.toFixed(2),
  ]);
  return renderTable(
    [
      left(""),
      left(`how ${id} can speak`),
      right(`${whose} right as a whole`),
      right("tokens right"),
      right("log-likelihood of a token"),
    ],
    rows,
  );
}

function comparisonTable({ figures }: Comparison): string {
  const names = {
    base: "the base alone",
    expert: "the right expert alone",
    today: "the config as it is today",
    card: "the config with this card",
  };
  return renderTable(
    [left("the example answers by"), right("right as a whole"), right("tokens right")],
    Object.entries(names).map(([way, name]) => {
      const { exact, agreed } = figures[way as keyof typeof names];
      return [name, percent(exact), percent(agreed)];
    }),
  );
}

/** One sentence: what to use, and what it gives against the config as it is today. */
export function advice(
  comparison: Comparison | null,
  strategy: StrategyConfig,
  experts: readonly { id: string }[],
  file: string,
): string {
  const config = path.basename(file);
  const usesCard = strategyOf(strategy).usesCard(strategy, experts);
  const use = usesCard
    ? `Leave ${config} as it is, it uses the card`
    : `Remove "strategy" from ${config} to use the card`;
  if (comparison === null)
    return (
      `${use}; what that gives is not known: without answers, settings are compared by how likely they find the ` +
      `experts' own answers, which is weaker.`
    );
  const { numAnswers, figures } = comparison;
  const { today, card } = figures;
  // Long free answers never come out whole.
  const areLong = Math.max(today.exact, card.exact) < 0.05;
  const shown = (of: Figures) => percent(areLong ? of.agreed : of.exact);
  const what = areLong
    ? `of the tokens of ${numAnswers} example answers are right`
    : `of ${numAnswers} example answers are right as a whole`;
  if (!usesCard && isBetter(today, card))
    return (
      `Keep "strategy" in ${config}: ${shown(today)} ${what} with it, ` +
      `${shown(card)} with the card, which it does not use.`
    );
  return `${use}: ${shown(card)} ${what} with it, ${shown(today)} as the config is today.`;
}

/** What few examples cost, a line each. */
function remarks({ experts }: Card, groups: readonly ExampleGroup[]): string[] {
  const few = groups.filter(({ expert, examples }) => expert !== null && examples.length < promptCounts.good);
  const unanswered = experts.filter(({ numAnswers }) => numAnswers === 0);
  return [
    ...few.map(
      ({ expert, examples: { length } }) =>
        `few         ${length} examples of ${expert ?? ""}: prompts of other kinds are told from its own less surely, and ` +
        `${length < 5 ? "no setting can be shown to be better than the usual" : "only large differences between settings show"}; ` +
        `give ${promptCounts.good} to ${promptCounts.most}`,
    ),
    ...unanswered.map(
      ({ id }) => `no answers  of ${id}: its settings are compared by its own answers, which is weaker`,
    ),
    ...groups
      .filter(({ numLeftOut }) => numLeftOut > 0)
      .map(
        ({ expert, numLeftOut }) =>
          `not used    ${numLeftOut} prompts of ${expert ?? "none"}: ${promptCounts.most} are enough`,
      ),
  ];
}

/** What calibration found out. */
export function describeCalibration(
  { card, comparison }: Calibration,
  groups: readonly ExampleGroup[],
  { cardFile, config, strategy }: { cardFile: string; config: string; strategy: StrategyConfig },
): string {
  const { figures, experts, prior } = card;
  const doubt = cardFindings({ config: { id: card.config, strategy, experts }, card }).find(
    ({ code }) => code === "card_tells_little",
  );
  return [
    confusionTable(card),
    `right       ${percent(figures.accuracy)} of the prompts, each by a fit that has not seen it`,
    `log-loss    ${figures.logLoss.toFixed(3)} nats for the expert that a prompt is of`,
    ...(figures.leftOut === null
      ? []
      : [
          `unseen      ${percent(figures.leftOut)} sure that prompts of an expert left out fit none of the others`,
        ]),
    `outside     prompts that are out-of-domain go to ${whoText(prior.none.shares)}`,
    ...(card.confidence === undefined
      ? []
      : [
          `verdicts    lean on the base by ${card.confidence.alpha}, where it is ${percent(card.confidence.threshold)} sure`,
        ]),
    ...remarks(card, groups),
    "",
    ...experts.filter(({ trials }) => trials.length > 0).map(trialsTable),
    ...(comparison === null ? [] : [comparisonTable(comparison)]),
    `${cardFile} is written.`,
    ...(doubt === undefined
      ? [advice(comparison, strategy, experts, config)]
      : [`Do not serve it so: ${doubt.message}.`, doubt.advice]),
    "",
  ].join("\n");
}
