import { basename } from "node:path";

import { cardRefused } from "../calibration/card.js";
import { mostFeatureRows } from "../calibration/feature.js";
import { componentSchema, type ComponentConfig } from "../strategies/fields.js";
import { choicesFor, strategyOf, takes } from "../strategies/registry.js";
import { ShouldersError } from "../errors.js";
import type { LoadedModel, ModelContext, NativeLibrary, ToolForm } from "../llama/types.js";
import { compareVocabularies } from "../llama/vocabulary.js";
import type {
  ConfigDescription,
  EngineSettings,
  ModelDescription,
  ResolvedFusionConfig,
} from "./protocol.js";
import { templateOf } from "./prompts.js";
import { plainToolForm } from "./tool-prompts.js";

/** A model with its one context, shared by every config that names its file. */
export interface ModelSlot {
  /** File name without directory and ending, made unique. */
  id: string;
  model: LoadedModel;
  context: ModelContext;
}

/** Most rows of a step that tell about prompts: those of four prompts. */
export const routingRows = 4 * mostFeatureRows;

/** A fusion config over loaded models; the numbers are indices into `LoadedModels.slots`. */
export interface LoadedConfig {
  resolved: ResolvedFusionConfig;
  base: number;
  reference: number | null;
  experts: number[];
  /** Length of the common part of the vocabularies; only its ids may be used. */
  vocabularySize: number;
  /** How answers call functions. */
  toolForm: ToolForm;
}

/** Everything native that the engine holds; released in one call. */
export interface LoadedModels extends AsyncDisposable {
  slots: readonly ModelSlot[];
  configs: ReadonlyMap<string, LoadedConfig>;
  numSequences: number;
}

interface FileNeed {
  path: string;
  gpuLayers: "auto" | number;
  /** Cells for the config that needs most. */
  numCells: number;
}

/**
 * Loads every distinct file of the configs once, checks that the models of each config share a vocabulary, and
 * makes one context per model. What was loaded is released again when a later step fails.
 *
 * @throws ShouldersError `model_file_invalid`, `vocabulary_mismatch`, `out_of_memory`, `fusion_config_invalid`.
 */
export async function loadModels(
  library: NativeLibrary,
  configs: readonly ResolvedFusionConfig[],
  settings: EngineSettings,
  onProgress: (modelPath: string, fraction: number) => void,
): Promise<LoadedModels> {
  const needs = collectNeeds(configs);
  const numSequences = Math.max(...configs.map(({ config }) => config.context.sequences));
  const models: LoadedModel[] = [];
  const slots: ModelSlot[] = [];
  const release = async () => {
    for (const slot of slots) await slot.context[Symbol.asyncDispose]();
    for (const model of models) await model[Symbol.asyncDispose]();
  };
  try {
    for (const need of needs) {
      models.push(
        await library.loadModel(need.path, {
          source: { gpuLayers: need.gpuLayers },
          contextTokens: need.numCells,
          onProgress: (fraction) => onProgress(need.path, fraction),
        }),
      );
    }
    const indexOf = (path: string) => needs.findIndex((need) => need.path === path);
    const loaded = configs.map((resolved) => joinConfig(resolved, indexOf, models));
    needs.forEach((need, index) => {
      const model = models[index] as LoadedModel;
      const context = model.createContext({
        numCells: need.numCells,
        numSequences: numSequences + settings.cacheSequences,
        batchTokens: Math.max(numSequences, Math.min(settings.batchTokens, need.numCells)),
        maxRows: numSequences + (loaded.some((config) => isRoutedBy(config, index)) ? routingRows : 0),
        // Until calibration has found out what is best.
        threads: settings.threads ?? 1,
      });
      slots.push({ id: uniqueId(need.path, slots), model, context });
    });
    return {
      slots,
      configs: new Map(loaded.map((config) => [config.resolved.config.id, config])),
      numSequences,
      [Symbol.asyncDispose]: release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Whether a model's rows can be asked which experts a prompt is for. */
function isRoutedBy({ reference, resolved }: LoadedConfig, model: number): boolean {
  return reference === model && (resolved.card !== null || takes(resolved.config.strategy, "shares"));
}

function collectNeeds(configs: readonly ResolvedFusionConfig[]): FileNeed[] {
  const needs = new Map<string, FileNeed>();
  for (const { config, basePath, referencePath, expertPaths } of configs) {
    const { tokens, sequences } = config.context;
    const files = [
      { path: basePath, source: config.base },
      ...(referencePath !== null && config.reference !== null
        ? [{ path: referencePath, source: config.reference }]
        : []),
      ...config.experts.map((expert, index) => ({
        path: expertPaths[index] as string,
        source: expert.model,
      })),
    ];
    for (const { path, source } of files) {
      const known = needs.get(path);
      const numCells = tokens * sequences;
      if (!known) needs.set(path, { path, gpuLayers: source.gpuLayers, numCells });
      else {
        known.numCells = Math.max(known.numCells, numCells);
        if (source.gpuLayers !== "auto") known.gpuLayers = source.gpuLayers;
      }
    }
  }
  return [...needs.values()];
}

function joinConfig(
  resolved: ResolvedFusionConfig,
  indexOf: (path: string) => number,
  models: readonly LoadedModel[],
): LoadedConfig {
  const { config } = resolved;
  const base = indexOf(resolved.basePath);
  const reference = resolved.referencePath === null ? null : indexOf(resolved.referencePath);
  const experts = resolved.expertPaths.map(indexOf);
  const others = reference === null ? experts : [reference, ...experts];
  const baseModel = models[base] as LoadedModel;
  for (const index of others)
    compareVocabularies(baseModel.vocabulary, (models[index] as LoadedModel).vocabulary, {
      base: baseModel.path,
      other: (models[index] as LoadedModel).path,
    });
  if (config.fewShot.length > 0 && others.includes(base))
    throw new ShouldersError(
      "fusion_config_invalid",
      `Config "${config.id}": fewShot gives the base a prompt of its own, so its file cannot also be the ` +
        `reference or an expert. Remove fewShot or use another file.`,
      { param: "fewShot" },
    );
  const sizes = [base, ...others].map((index) => (models[index] as LoadedModel).vocabulary.size);
  const roles = { base, reference, experts };
  const toolForm = models[templateOf(base, roles, models)]?.toolForm ?? plainToolForm;
  // Answers are read as text: a control token that begins a call must be seen.
  baseModel.vocabulary.show(Object.values(toolForm).join(" "));
  const vocabularySize = Math.min(...sizes);
  if (resolved.card !== null && resolved.card.vocabularySize !== vocabularySize)
    throw cardRefused(
      `the calibration card of config "${config.id}"`,
      `made for ${resolved.card.vocabularySize} tokens, the models have ${vocabularySize}`,
    );
  return { resolved, ...roles, vocabularySize, toolForm };
}

/** How an expert takes part in a mixture that says nothing of it: as the card found best, or the default. */
export function componentOf({ card }: ResolvedFusionConfig, expert: number): ComponentConfig {
  return card?.experts[expert]?.component ?? componentSchema.parse({});
}

/** What a config is made of, as the API shows it. */
export function describeConfig(
  config: LoadedConfig,
  slots: readonly ModelSlot[],
  digest: string,
): ConfigDescription {
  const settings = config.resolved.config;
  const strategy = strategyOf(settings.strategy);
  const describe = (index: number) => describeModel(slots[index] as ModelSlot);
  const experts = settings.experts.map((expert, index) => ({
    ...describe(config.experts[index] as number),
    id: expert.id,
    bounds: expert.bounds,
    component: componentOf(config.resolved, index),
  }));
  return {
    id: settings.id,
    description: settings.description,
    example: settings.example ?? null,
    base: describe(config.base),
    reference: config.reference === null ? null : describe(config.reference),
    experts,
    strategy: settings.strategy,
    strategyInWords: strategy.words(settings.strategy),
    strategyChoices: choicesFor(experts, strategy.plausibilityOf(settings.strategy)),
    vocabularySize: config.vocabularySize,
    contextTokens: settings.context.tokens,
    sequences: settings.context.sequences,
    sampling: settings.sampling,
    toolForm: config.toolForm,
    digest,
  };
}

function uniqueId(path: string, slots: readonly ModelSlot[]): string {
  const name = basename(path, ".gguf");
  const isTaken = (id: string) => slots.some((slot) => slot.id === id);
  let id = name;
  for (let count = 2; isTaken(id); count++) id = `${name}-${count}`;
  return id;
}

function describeModel({ id, model, context }: ModelSlot): ModelDescription {
  return {
    id,
    path: model.path,
    name: model.name,
    architecture: model.architecture,
    quantization: model.quantization,
    numParameters: model.numParameters,
    sizeBytes: model.sizeBytes,
    vocabularySize: model.vocabulary.size,
    contextTrain: model.contextTrain,
    gpuLayers: model.gpuLayers,
    memoryBytes: context.memoryBytes,
  };
}
