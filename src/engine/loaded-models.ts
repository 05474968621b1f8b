import { basename } from "node:path";

import { cardRefused } from "../calibration/card.js";
import { componentSchema, type ComponentConfig } from "../strategies/fields.js";
import { choicesFor, strategyOf } from "../strategies/registry.js";
import { ShouldersError } from "../errors.js";
import { availableMemory, memoryLimit } from "../llama/memory.js";
import type { LoadedModel, ModelContext, NativeLibrary, ToolForm } from "../llama/types.js";
import { compareVocabularies } from "../llama/vocabulary.js";
import { type MemoryPlan, planMemory } from "./memory-plan.js";
import { collectNeeds } from "./model-needs.js";
import { programBytes } from "./program-memory.js";
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

/**
 * Plans what all models of the configs take together and where, before one is loaded.
 *
 * @throws ShouldersError `out_of_memory`, `fusion_config_invalid`, `model_file_invalid`.
 */
export function planModels(
  library: NativeLibrary,
  configs: readonly ResolvedFusionConfig[],
  settings: EngineSettings,
): MemoryPlan {
  using measurer = library.createMeasurer();
  return planMemory({
    needs: collectNeeds(configs, settings),
    machine: {
      devices: library.listDevices(),
      freeBytes: availableMemory(),
      limitBytes: memoryLimit(),
    },
    measure: ({ path, options }, placement) => measurer.measure(path, placement, options),
    programBytes: (sizes) => programBytes(configs, sizes),
  });
}

/**
 * Loads every distinct file of the configs once, where the plan puts it, checks that the models of each config share a vocabulary, and
 * makes one context per model. What was loaded is released again when a later step fails.
 *
 * @throws ShouldersError `model_file_invalid`, `vocabulary_mismatch`, `out_of_memory`, `fusion_config_invalid`.
 */
export async function loadModels(
  library: NativeLibrary,
  configs: readonly ResolvedFusionConfig[],
  settings: EngineSettings,
  onProgress: (modelPath: string, fraction: number) => void,
): Promise<LoadedModels & { plan: MemoryPlan }> {
  const plan = planModels(library, configs, settings);
  const numSequences = Math.max(...configs.map(({ config }) => config.context.sequences));
  const models: LoadedModel[] = [];
  const slots: ModelSlot[] = [];
  const release = async () => {
    for (const slot of slots) await slot.context[Symbol.asyncDispose]();
    for (const model of models) await model[Symbol.asyncDispose]();
  };
  try {
    for (const { need, placement } of plan.models) {
      onProgress(need.path, 0);
      models.push(
        await library.loadModel(need.path, {
          placement,
          onProgress: (fraction) => onProgress(need.path, fraction),
        }),
      );
    }
    const indexOf = (path: string) => plan.models.findIndex(({ need }) => need.path === path);
    const loaded = configs.map((resolved) => joinConfig(resolved, indexOf, models));
    plan.models.forEach(({ need }, index) => {
      const model = models[index] as LoadedModel;
      slots.push({
        id: uniqueId(need.path, slots),
        model,
        context: model.createContext(need.options),
      });
    });
    return {
      slots,
      configs: new Map(loaded.map((config) => [config.resolved.config.id, config])),
      numSequences,
      plan,
      [Symbol.asyncDispose]: release,
    };
  } catch (error) {
    await release();
    throw error;
  }
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
    gpuLayers: model.placement.gpuLayers,
    devices: [...model.placement.devices],
    memoryBytes: context.memoryBytes,
  };
}
