import { existsSync } from "node:fs";
import path from "node:path";
import { type Card, loadCard } from "../routing/card.js";
import { type LoadedFusionConfig, loadFusionConfigs, selectFusionConfigs } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import type { ConfigDescription, EngineDescription, ModelDescription } from "../protocol/protocol.js";
import { invariant } from "../errors.js";
import { openEngine } from "./open-engine.js";
import { decodingLines, memoryLines } from "./engine-text.js";
import { type SettingFlags, prepare } from "./run-time.js";
import type { Stop } from "./stop-signal.js";
import { renderTable } from "./table.js";
import { formatBytes, formatCount } from "./units.js";

/** A config by the path of its file, or by its id among the configured ones. */
export function findConfig(given: string, settings: Settings): LoadedFusionConfig[] {
  const isPath =
    given.endsWith(".json") || given.includes("/") || given.includes(path.sep) || existsSync(given);
  if (isPath) return loadFusionConfigs(path.resolve(given));
  return selectFusionConfigs(loadFusionConfigs(settings.fusionConfigs), [given]);
}

function modelsTable(config: ConfigDescription): string {
  const models: [role: string, model: ModelDescription][] = [["base", config.base]];
  if (config.reference !== null) models.push(["reference", config.reference]);
  for (const expert of config.experts) models.push([`expert ${expert.id}`, expert]);
  const rows = models.map(([role, model]) => [
    role,
    path.basename(model.path),
    model.architecture,
    model.quantization,
    formatCount(model.numParameters),
    formatBytes(model.sizeBytes),
    formatBytes(model.memoryBytes),
    String(model.gpuLayers),
    String(model.vocabularySize),
    String(model.contextTrain),
  ]);
  return renderTable(
    [
      { header: "role", align: "left" },
      { header: "file", align: "left" },
      { header: "architecture", align: "left" },
      { header: "type", align: "left" },
      { header: "parameters", align: "right" },
      { header: "weights", align: "right" },
      { header: "context", align: "right" },
      { header: "GPU layers", align: "right" },
      { header: "vocabulary", align: "right" },
      { header: "trained for", align: "right" },
    ],
    rows,
  );
}

function cardText(card: Card | null): string {
  if (card === null) return "no calibration card; `shoulders calibrate` makes one";
  const accuracy = `${(100 * card.figures.accuracy).toFixed(1)} %`;
  return `calibration card of ${card.date.slice(0, 10)}, right about ${accuracy} of its example prompts`;
}

/** What a config is made of and what it takes, for a person to read. */
export function describeChecked(
  config: ConfigDescription,
  engine: EngineDescription,
  card: Card | null,
): string {
  const pathToModel = new Map(
    [config.base, config.reference, ...config.experts]
      .filter((model) => model !== null)
      .map((model) => [model.path, model]),
  );
  const models = [...pathToModel.values()];
  const devices = engine.library.devices.length > 0 ? ` (${engine.library.devices.join(", ")})` : "";
  const vocabulary =
    models.length === 1
      ? `${config.vocabularySize} tokens`
      : `the same ${config.vocabularySize} tokens in all models`;
  return [
    `${config.id}: ${config.description}`.replace(/: $/, ""),
    "",
    modelsTable(config),
    `vocabulary  ${vocabulary}`,
    `strategy    ${config.strategyInWords}`,
    ...config.warnings.map(({ message, advice }) => `warning     ${message}. ${advice}`),
    ...(config.experts.length > 0 ? [`prior       ${cardText(card)}`] : []),
    `sequences   ${config.sequences} of ${config.contextTokens} tokens`,
    `memory      ${memoryLines(engine).join("\n            ")}`,
    `library     llama.cpp ${engine.library.llama} on ${engine.library.backend}${devices}`,
    `decoding    ${decodingLines(engine).join("\n            ")}`,
    "",
  ].join("\n");
}

/** `shoulders check`: loads a config as the server would, and prints what it is made of. */
export async function check(given: string, flags: SettingFlags, stop: Stop): Promise<number> {
  const { settings, log } = prepare(flags, "warn");
  const configs = findConfig(given, settings);
  const engine = await openEngine({ configs, settings, log, signal: stop.signal });
  try {
    const { description } = engine;
    invariant(description !== null, "a started engine describes itself");
    const texts = description.configs.map((config) => {
      const file = configs.find((loaded) => loaded.config.id === config.id)?.file;
      return describeChecked(config, description, file === undefined ? null : loadCard(file, config.id));
    });
    process.stdout.write(texts.join("\n"));
    return 0;
  } finally {
    await engine.close();
  }
}
