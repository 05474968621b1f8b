import { writeFileSync } from "node:fs";
import { mixtureOf } from "../calibration/ask.js";
import { type Card, type ExpertCard, cardPathOf, cardText } from "../routing/card.js";
import { makeCard } from "../calibration/make-card.js";
import type { ComponentConfig } from "../strategies/fields.js";
import { ShouldersError, invariant } from "../errors.js";
import { type CalibrateFlags, type ExampleGroup, loadExamples, promptCounts } from "./calibrate-options.js";
import { findConfig } from "./check.js";
import { openEngine, resolveConfigs } from "./open-engine.js";
import { createProgress } from "./progress.js";
import { prepare } from "./run-time.js";
import type { Stop } from "./stop-signal.js";
import { renderTable } from "./table.js";

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const right = (header: string) => ({ header, align: "right" }) as const;
const left = (header: string) => ({ header, align: "left" }) as const;

/** Who had the largest share of each expert's prompts, when they were left out of the fit. */
function confusionTable({ figures, experts }: Card): string {
  const names = ["base", ...experts.map(({ id }) => id)];
  const rows = figures.confusion.map(({ given, largest }) => [
    given === "base" ? "none" : given,
    ...names.map((name) => String(largest[name] ?? 0)),
  ]);
  return renderTable([left("prompts of"), ...names.map(right)], rows);
}

function componentText({ kind, weight, plausibility }: ComponentConfig): string {
  if (kind === "alone") return "expert alone";
  if (weight === 0) return "base alone";
  const tokens = plausibility === null ? "all tokens" : `${plausibility.of} ${plausibility.ratio}`;
  return `fused, ${weight === "solved" ? "solved weight" : `weight ${weight}`}, ${tokens}`;
}

/** `choice (90.0 %) and base (10.0 %)`: the largest first. */
function whoText(shares: Record<string, number>): string {
  const sorted = Object.entries(shares).sort(([, a], [, b]) => b - a);
  const [[first] = ["base"]] = sorted;
  return sorted.length < 2
    ? `the ${first}`
    : sorted.map(([id, share]) => `${id} (${percent(share)})`).join(" and ");
}

function trialsTable({ id, trials, component }: ExpertCard): string {
  const rows = trials.map((trial) => [
    component !== null && componentText(trial) === componentText(component) ? "→" : "",
    componentText(trial),
    percent(trial.exact),
    percent(trial.agreed),
    trial.logprob.toFixed(3),
  ]);
  return renderTable(
    [left(""), left(id), right("answers exact"), right("tokens"), right("nats a token")],
    rows,
  );
}

/** What calibration found out, for a person to read. */
export function describeCard(card: Card, groups: readonly ExampleGroup[], file: string): string {
  const { figures, experts, prior } = card;
  const leftOut = groups.filter(({ numLeftOut }) => numLeftOut > 0);
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
    ...leftOut.map(
      ({ expert, numLeftOut }) =>
        `not used    ${numLeftOut} prompts of ${expert ?? "none"}: ${promptCounts.most} are enough`,
    ),
    "",
    ...experts.filter(({ trials }) => trials.length > 0).map(trialsTable),
    `${file} is written.`,
    "",
  ].join("\n");
}

/** `shoulders calibrate`: finds out which prompts are for which expert, and how each speaks best; writes a card. */
export async function calibrate(
  given: string,
  { examples, ...settingFlags }: CalibrateFlags,
  stop: Stop,
): Promise<number> {
  const { settings, log } = prepare(settingFlags, "warn");
  const [found] = findConfig(given, settings);
  invariant(found !== undefined, "one config is found, or an error thrown");
  const { file, config } = found;

  if (config.experts.length === 0)
    throw new ShouldersError("settings_invalid", `${file}: no experts, so nothing to calibrate`);
  const groups = loadExamples(
    examples,
    config.experts.map(({ id }) => id),
  );
  // Only a mixture asks the reference which experts a prompt is for.
  const mixture = { ...found, config: { ...config, strategy: mixtureOf({ base: 1 }, {}) } };
  const opening = { configs: [mixture], settings, log, signal: stop.signal, ignoresCards: true };
  const [models] = await resolveConfigs(opening.configs, settings, stop.signal, true);
  const engine = await openEngine(opening);
  const progress = createProgress("Reading");
  try {
    const description = engine.description?.configs[0];
    invariant(models !== undefined && description !== undefined, "a started engine describes its config");
    const card = await makeCard({
      asked: { engine, configId: config.id, signal: stop.signal },
      models,
      vocabularySize: description.vocabularySize,
      groups,
      concurrency: config.context.sequences,
      date: new Date(),
      onProgress: (what, fraction) => progress.update(what, fraction),
    });
    progress.stop();
    const cardFile = cardPathOf(file, config.id);
    writeFileSync(cardFile, cardText(card));
    process.stdout.write(describeCard(card, groups, cardFile));
    return 0;
  } finally {
    progress.stop();
    await engine.close();
  }
}
