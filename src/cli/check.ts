import { existsSync } from "node:fs";
import path from "node:path";
import { type Card, loadCard } from "../routing/card.js";
import {
  findFusionConfigs,
  isConfigName,
  type LoadedFusionConfig,
  loadFusionConfigs,
} from "../config/load.js";
import { expandHome } from "../config/home-path.js";
import type { Settings } from "../config/settings.js";
import type { ConfigDescription, Engine, EngineDescription, ModelDescription } from "../protocol/protocol.js";
import { invariant } from "../errors.js";
import { measureFigures } from "../calibration/measure-figures.js";
import { referenceAlone, referenceId } from "../calibration/reference-alone.js";
import { measuredCodes, measuredFindings } from "../engine/findings.js";
import { keptFigures } from "../engine/kept-figures.js";
import type { Logger } from "../log.js";
import { openEngine } from "./open-engine.js";
import { decodingLines, memoryLines } from "./engine-text.js";
import { type SettingFlags, prepare } from "./run-time.js";
import type { Stop } from "./stop-signal.js";
import { renderTable } from "./table.js";
import { formatBytes, formatCount } from "./units.js";

/** A config by the path of its file, or by its id among the configured ones; what is wrong with others is not asked. */
export function findConfig(given: string, settings: Settings): LoadedFusionConfig[] {
  const isPath = isConfigName(given) || given.includes("/") || given.includes(path.sep) || existsSync(given);
  if (isPath) return loadFusionConfigs(path.resolve(expandHome(given)));
  return findFusionConfigs(settings.fusionConfigs, [given], () => undefined);
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

/** What experts take as adapters, and what they would take as models of their own. */
function adapterLines(models: readonly ModelDescription[]): string[] {
  const adapters = models.filter(({ adapter }) => adapter !== null);
  if (adapters.length === 0) return [];
  const sum = (bytesOf: (model: ModelDescription) => number) =>
    formatBytes(adapters.reduce((bytes, model) => bytes + bytesOf(model), 0));
  const each = adapters.map(({ path: file, adapter }) => {
    const ranks = [...new Set(adapter?.ranks)].join(" to ");
    return `${path.basename(file)} (rank ${ranks}, alpha ${adapter?.alpha}, scale ${adapter?.scale})`;
  });
  const saved = `${sum(({ sizeBytes }) => sizeBytes)} beside the reference; merged models would take `;
  return [`adapters    ${each.join(", ")}: ${saved}${sum(({ adapter }) => adapter?.modelBytes ?? 0)}`];
}

function cardText(card: Card | null): string {
  if (card === null) return "no calibration card; `shoulders calibrate` makes one";
  const accuracy = `${(100 * card.figures.accuracy).toFixed(1)} %`;
  return `calibration card of ${card.date.slice(0, 10)}, right about ${accuracy} of its example prompts`;
}

/** Where another server computes the base; what a URL has of names and passwords is left out. */
function elsewhereLines({ remote }: LoadedFusionConfig["config"]["base"]): string[] {
  if (remote === undefined) return [];
  const { origin, pathname } = new URL(remote.url);
  const entries = remote.top === "all" ? "whole rows" : `${remote.top} entries of each row`;
  return [`base        ${remote.kind} at ${origin}${pathname === "/" ? "" : pathname}: ${entries}`];
}

function samplingLines({ sampling, samplingOfFile = [] }: ConfigDescription): string[] {
  if (samplingOfFile.length === 0) return [];
  const said = Object.entries(sampling).filter(([field]) => samplingOfFile.includes(field));
  return [
    `sampling    ${said.map(([field, value]) => `${field} ${value}`).join(", ")}, as the base's file says`,
  ];
}

/** What a config is made of and what it takes, for a person to read. */
function describeChecked(
  config: ConfigDescription,
  { base }: LoadedFusionConfig["config"],
  engine: EngineDescription,
  card: Card | null,
): string {
  const pathToModel = new Map(
    [config.base, config.reference, ...config.experts]
      .filter((model) => model !== null)
      .map((model) => [`${model.path} ${model.adapter?.scale}`, model]),
  );
  const models = [...pathToModel.values()];
  const devices = engine.library.devices.length > 0 ? ` (${engine.library.devices.join(", ")})` : "";
  const vocabulary =
    models.length === 1 || config.hasOtherVocabulary
      ? `${config.vocabularySize} tokens`
      : `the same ${config.vocabularySize} tokens in all models`;
  return [
    `${config.id}: ${config.description}`.replace(/: $/, ""),
    "",
    modelsTable(config),
    `vocabulary  ${[vocabulary, ...config.vocabularyNotes].join("\n            ")}`,
    `strategy    ${config.strategyInWords}`,
    ...(config.experts.length > 0 ? [`prior       ${cardText(card)}`] : []),
    ...elsewhereLines(base),
    ...samplingLines(config),
    `sequences   ${config.sequences} of ${config.contextTokens} tokens`,
    `memory      ${memoryLines(engine).join("\n            ")}`,
    ...adapterLines(models),
    `library     llama.cpp ${engine.library.llama} on ${engine.library.backend}${devices}`,
    `decoding    ${decodingLines(engine).join("\n            ")}`,
    ...config.warnings.flatMap(({ message, advice }) => [`warning     ${message}.`, `            ${advice}`]),
    "",
  ].join("\n");
}

/** What a few prompts show of a config; kept, so that the server knows it too. */
async function examine(
  engine: Engine,
  loaded: LoadedFusionConfig,
  described: ConfigDescription,
  { signal, log }: { signal: AbortSignal; log: Logger },
): Promise<ConfigDescription> {
  const { id, reference, example = null } = loaded.config;
  if (reference === null) return described;
  const figures = await measureFigures(
    { engine, configId: id, signal },
    { given: example, referenceConfig: referenceId(id) },
  );
  keptFigures(log).keep(described.digest, figures);
  const found = measuredFindings(figures);
  const known = described.warnings.filter(({ code }) => !measuredCodes.includes(code));
  return { ...described, warnings: [...known, ...found] };
}

/** `shoulders check`: loads a config as the server would, asks it a few prompts, and prints what it is made of. */
export async function check(given: string, flags: SettingFlags, stop: Stop): Promise<number> {
  const { settings, log } = prepare(flags, "warn");
  const found = findConfig(given, settings);
  const configs = [...found, ...found.flatMap(referenceAlone)];
  const engine = await openEngine({ configs, settings, log, signal: stop.signal });
  try {
    const { description } = engine;
    invariant(description !== null, "a started engine describes itself");
    const texts: string[] = [];
    for (const loaded of found) {
      const described = description.configs.find(({ id }) => id === loaded.config.id);
      invariant(described !== undefined, "a started engine describes its configs");
      const examined = await examine(engine, loaded, described, { signal: stop.signal, log });
      texts.push(
        describeChecked(examined, loaded.config, description, loadCard(loaded.file, loaded.config.id)),
      );
    }
    process.stdout.write(texts.join("\n"));
    return 0;
  } finally {
    await engine.close();
  }
}
