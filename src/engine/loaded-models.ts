import { cardRefused } from "../routing/card.js";
import { inOrder, mapRoles } from "../config/members.js";
import { defaultBounds } from "../strategies/dynamic.js";
import { componentSchema } from "../strategies/fields.js";
import { auditFindings, cardFindings } from "../routing/card-findings.js";
import { choicesFor, strategyOf } from "../strategies/registry.js";
import { present, ShouldersError } from "../errors.js";
import { availableMemory, memoryLimit } from "../llama/memory.js";
import { inMainMemory, marksOf } from "../llama/types.js";
import type { LoadedModel, Measured, Measurer, NativeLibrary, Placement } from "../llama/types.js";
import type { ModelFacts } from "../llama/model-facts.js";
import { adapterFindings } from "./adapters.js";
import type { LoadedConfig, LoadedExpert, LoadedMember } from "./loaded-config.js";
import { describeModel, factsOf, samplingOf } from "./describe-model.js";
import { findingsOf } from "./findings.js";
import { sumMemory } from "../llama/buffers.js";
import { type MemoryPlan, planMemory } from "./memory-plan.js";
import { collectNeeds, collectRemotes, type ModelNeed } from "./model-needs.js";
import type { ModelSlot } from "./model-slot.js";
import { indexOf, type ModelUse, openSlot } from "./open-slots.js";
import { rendererOf, thinkerOf } from "./renderer.js";
import { namesOf } from "./shared-ids.js";
import { notesOf, shareText } from "./own/share-text.js";
import { programBytes } from "./program-memory.js";
import type {
  ConfigDescription,
  EngineSettings,
  Finding,
  MeasuredFigures,
  ResolvedFusionConfig,
} from "../protocol/protocol.js";
import { plainToolForm, textsOf } from "./tool-prompts.js";

export type { LoadedConfig, LoadedExpert, LoadedMember } from "./loaded-config.js";
export type { ModelSlot } from "./model-slot.js";

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
    measure: (need, placement) => measureNeed(measurer, need, placement),
    programBytes: (vocabularies) => programBytes(configs, vocabularies),
  });
}

/** A model with all its contexts. */
function measureNeed(measurer: Measurer, need: ModelNeed, placement: Placement): Measured {
  const parts = [need.options, ...need.adapted].map((options) =>
    measurer.measure(need.path, placement, options),
  );
  return { ...present(parts[0], "context"), memory: sumMemory(parts.map(({ memory }) => memory)) };
}

/**
 * Loads every distinct file of the configs once, where the plan puts it, checks that the models of each config share a vocabulary, and
 * makes one context per model and adapter. What was loaded is released again when a later step fails.
 *
 * @throws ShouldersError `model_file_invalid`, `adapter_invalid`, `vocabulary_mismatch`, `out_of_memory`,
 *   `fusion_config_invalid`.
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
    for (const model of [...models].reverse()) await model[Symbol.asyncDispose]();
  };
  try {
    for (const { need, placement } of plan.models) {
      onProgress(need.path, 0);
      models.push(
        await library.loadModel(need.path, {
          placement,
          siblings: models,
          adapters: [...new Set(need.adapted.flatMap(({ adapter }) => adapter?.path ?? []))],
          onProgress: (fraction) => onProgress(need.path, fraction),
        }),
      );
    }
    const uses: ModelUse[] = plan.models.flatMap(({ need }, index) =>
      [need.options, ...need.adapted].map((options) => ({
        model: present(models[index], "model"),
        ...{ options, remote: null },
      })),
    );
    for (const need of collectRemotes(configs, settings)) {
      const model = await library.loadModel(need.path, {
        placement: inMainMemory,
        siblings: models,
        isVocabulary: true,
        onProgress: (fraction) => onProgress(need.path, fraction),
      });
      models.push(model);
      uses.push({ model, options: null, remote: need });
    }
    const loaded = configs.map((resolved) => joinConfig(resolved, uses));
    for (const use of uses) slots.push(await openSlot(use, slots));
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

function joinConfig(resolved: ResolvedFusionConfig, uses: readonly ModelUse[]): LoadedConfig {
  const { config } = resolved;
  const models = uses.map(({ model }) => model);
  const roles = rolesOf(resolved, uses);
  const modelOf = ({ model }: LoadedMember) => present(models[model], "model");
  const base = modelOf(roles.base);
  const members = inOrder(roles).filter((member) => member !== roles.base);
  const others = members.map(modelOf);
  checkPositions(config, [base, ...others]);
  const shared = shareText(base, members, { models, config });
  if (config.fewShot.length > 0 && others.includes(base))
    throw new ShouldersError(
      "fusion_config_invalid",
      `Config "${config.id}": fewShot gives the base a prompt of its own, so its file cannot also be the ` +
        `reference or an expert. Remove fewShot or use another file.`,
      { param: "fewShot" },
    );
  const rendering = { resolved, ...roles, roles: shared.roles };
  const renderer = rendererOf(roles.base.model, rendering, models);
  const toolForm = renderer.toolForm ?? plainToolForm;
  const thinker = thinkerOf(rendering, models, new Set(shared.sharedIds.values()));
  const { thinking } = rendererOf(thinker, rendering, models);
  // Answers are read as text: a control token that begins a call, or ends a thought, must be seen.
  base.vocabulary.show([...textsOf(toolForm), ...marksOf(thinking)].join(" "));
  const alike = [base, ...(shared.reader === null ? others : [])];
  const vocabularySize = Math.min(...alike.map(({ vocabulary }) => vocabulary.size));
  if (resolved.card !== null && resolved.card.vocabularySize !== vocabularySize)
    throw cardRefused(
      `the calibration card of config "${config.id}"`,
      `made for ${resolved.card.vocabularySize} tokens, the models have ${vocabularySize}`,
    );
  const tokenNames = namesOf(base.vocabulary, shared.sharedIds);
  return { resolved, ...roles, ...shared, tokenNames, vocabularySize, toolForm, thinking, thinker };
}

/** libllama ends the process at a position that a model has not learned. */
function checkPositions(
  { id, context }: ResolvedFusionConfig["config"],
  models: readonly LoadedModel[],
): void {
  for (const { path, facts } of models)
    if (facts.mostPositions !== null && context.tokens > facts.mostPositions)
      throw new ShouldersError(
        "fusion_config_invalid",
        `Config "${id}": context.tokens is ${context.tokens}, and ${path} has learned ${facts.mostPositions} ` +
          `positions and no more. Set context.tokens to ${facts.mostPositions} or less.`,
        { param: "context.tokens" },
      );
}

function rolesOf(
  { config, members, card }: ResolvedFusionConfig,
  uses: readonly ModelUse[],
): Pick<LoadedConfig, "base" | "reference" | "experts"> {
  const { base, reference, experts } = mapRoles(members, (member) => ({
    role: member.role,
    id: member.id,
    model: indexOf(uses, member),
  }));
  const cards = new Map(card?.experts.map((expert) => [expert.id, expert]));
  const settings = new Map(config.experts.map((expert) => [expert.id, expert]));
  const loaded = experts.map((member): LoadedExpert => {
    const { bounds = defaultBounds, budget = Infinity } = settings.get(member.id) ?? {};
    // As the card found best, or the default.
    const component = cards.get(member.id)?.component ?? componentSchema.parse({});
    return { ...member, bounds, budget, component };
  });
  return { base, reference, experts: loaded };
}

/** What a config is made of, as the API shows it. */
export function describeConfig(
  config: LoadedConfig,
  slots: readonly ModelSlot[],
  { digest, warnings }: Pick<ConfigDescription, "digest" | "warnings">,
): ConfigDescription {
  const { config: settings, debateAudit = null } = config.resolved;
  const strategy = strategyOf(settings.strategy);
  const describe = ({ model }: LoadedMember) => describeModel(present(slots[model], "slot"));
  const experts = config.experts.map((expert) => {
    const { id, bounds, component } = expert;
    return { ...describe(expert), id, bounds, component };
  });
  return {
    id: settings.id,
    description: settings.description,
    example: settings.example ?? null,
    base: describe(config.base),
    reference: config.reference && describe(config.reference),
    experts,
    strategy: settings.strategy,
    strategyInWords: strategy.words(settings.strategy, { experts }),
    policies: settings.policies ?? null,
    warnings: [...warnings, ...auditFindings(debateAudit, digest)],
    strategyChoices: choicesFor({ experts }, strategy.plausibilityOf(settings.strategy)),
    endToken: present(slots[config.base.model], "slot").model.vocabulary.endToken,
    vocabularySize: config.vocabularySize,
    ...notesOf(config),
    contextTokens: settings.context.tokens,
    sequences: settings.context.sequences,
    ...samplingOf(settings.sampling, present(slots[config.base.model], "slot")),
    toolForm: config.toolForm,
    thinking: config.thinking,
    takesTemplates: settings.requestChatTemplate,
    confidence: config.resolved.card?.confidence ?? null,
    debateAudit: debateAudit?.digest === digest ? debateAudit : null,
    digest,
  };
}

/** What is probably wrong with a config, by its files and by what was measured of it. */
export function examineConfig(
  config: LoadedConfig,
  slots: readonly ModelSlot[],
  { contentOf, measured }: { contentOf: (path: string) => string; measured: MeasuredFigures | null },
): Finding[] {
  const modelOf = ({ model }: LoadedMember) => present(slots[model], "slot").model;
  const models = inOrder(mapRoles<LoadedMember, LoadedModel>(config, modelOf));
  const hasOwn = config.resolved.config.chatTemplate !== undefined;
  const problems = models.flatMap(({ path, chatTemplateWarning }) =>
    chatTemplateWarning === null || hasOwn ? [] : [[path, chatTemplateWarning] as const],
  );
  const found = findingsOf({
    config: config.resolved.config,
    facts: mapRoles<LoadedMember, ModelFacts>(config, ({ model }) => factsOf(present(slots[model], "slot"))),
    templateProblems: new Map(problems),
    contentOf,
    measured,
  });
  return [...cardFindings(config.resolved), ...found, ...adapterFindings(config.experts, slots)];
}
