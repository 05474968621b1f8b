import { setMaxListeners } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { mixtureOf } from "../calibration/ask.js";
import { estimate } from "../calibration/estimate.js";
import { makeCard } from "../calibration/make-card.js";
import { referenceAlone } from "../calibration/reference-alone.js";
import type { LoadedFusionConfig } from "../config/load.js";
import { ShouldersError, invariant } from "../errors.js";
import type { ResolvedFusionConfig } from "../protocol/protocol.js";
import { type Card, cardPathOf, cardText } from "../routing/card.js";
import { cardOf } from "../routing/match-card.js";
import { type CalibrateFlags, loadExamples } from "./calibrate-options.js";
import { describeCalibration, workText } from "./calibration-text.js";
import { findConfig } from "./check.js";
import { confirm, isInteractive } from "./confirm.js";
import { openEngine, resolveConfigs } from "./open-engine.js";
import { createProgress } from "./progress.js";
import { prepare } from "./run-time.js";
import type { Stop } from "./stop-signal.js";

/** The card that the config has today; null: none, or one of other models. */
function cardOfToday(file: string, models: ResolvedFusionConfig): Card | null {
  try {
    return cardOf(file, models);
  } catch (error) {
    if (error instanceof ShouldersError && error.code === "calibration_invalid") return null;
    throw error;
  }
}

/** @returns whether the card may be written. @throws ShouldersError `settings_invalid` where nobody can be asked. */
async function mayWrite(cardFile: string, isForced: boolean): Promise<boolean> {
  if (isForced || !existsSync(cardFile)) return true;
  if (!isInteractive())
    throw new ShouldersError("settings_invalid", `${cardFile} is there already; give --force to replace it`);
  return confirm(`${cardFile} is there already. Replace it?`);
}

function findOne(given: string, settings: Parameters<typeof findConfig>[1]): LoadedFusionConfig {
  const [found, ...others] = findConfig(given, settings);
  invariant(found !== undefined, "a config is found, or an error thrown");
  if (others.length > 0)
    throw new ShouldersError("settings_invalid", `${given} holds several configs; name one file or one id`);
  if (found.config.experts.length === 0)
    throw new ShouldersError("settings_invalid", `${found.file}: no experts, so nothing to calibrate`);
  return found;
}

/** `shoulders calibrate`: finds out which prompts are for which expert, and how each speaks best; writes a card. */
export async function calibrate(
  given: string,
  { examples, dryRun = false, force = false, ...settingFlags }: CalibrateFlags,
  stop: Stop,
): Promise<number> {
  const { settings, log } = prepare(settingFlags, "warn");
  // Every question that is under way listens.
  setMaxListeners(0, stop.signal);
  const found = findOne(given, settings);
  const { file, config } = found;
  const groups = loadExamples(
    examples,
    config.experts.map(({ id }) => id),
  );
  const cardFile = cardPathOf(file, config.id);
  if (!dryRun && !(await mayWrite(cardFile, force))) {
    process.stderr.write("Nothing is written.\n");
    return 1;
  }
  // Only a mixture asks the reference which experts a prompt is for.
  const mixture = { ...found, config: { ...config, strategy: mixtureOf({ base: 1 }, {}) } };
  const configs = [mixture, ...referenceAlone(mixture)];
  const opening = { configs, settings, log, signal: stop.signal, ignoresCards: true };
  const [models] = await resolveConfigs(opening.configs, settings, stop.signal, true);
  const engine = await openEngine(opening);
  const progress = createProgress("Reading");
  try {
    const description = engine.description?.configs.find(({ id }) => id === config.id);
    invariant(models !== undefined && description !== undefined, "a started engine describes its config");
    const asked = { engine, configId: config.id, signal: stop.signal };
    const concurrency = config.context.sequences;
    const work = workText(config.id, await estimate({ asked, groups, concurrency }));
    (dryRun ? process.stdout : process.stderr).write(work);
    if (dryRun) return 0;
    const calibration = await makeCard({
      asked,
      models,
      vocabularySize: description.vocabularySize,
      groups,
      today: { strategy: config.strategy, card: cardOfToday(file, models) },
      concurrency,
      date: new Date(),
      onProgress: (what, fraction) => progress.update(what, fraction),
    });
    progress.stop();
    writeFileSync(cardFile, cardText(calibration.card));
    process.stdout.write(
      describeCalibration(calibration, groups, { cardFile, config: file, strategy: config.strategy }),
    );
    return 0;
  } finally {
    progress.stop();
    await engine.close();
  }
}
