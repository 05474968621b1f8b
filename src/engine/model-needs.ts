import { inOrder, type LocalMember } from "../config/members.js";
import { cacheTypesOf, type ModelSource } from "../config/model-source.js";
import type { RemoteBase } from "../config/remote-base.js";
import { mostFeatureRows } from "../routing/feature.js";
import type { RemoteRoom } from "../rows/connect.js";
import { ShouldersError } from "../errors.js";
import type { AdapterUse, ContextOptions } from "../llama/types.js";
import { takes } from "../strategies/registry.js";
import { numReread } from "./own/way.js";
import type { EngineSettings, ResolvedFusionConfig } from "../protocol/protocol.js";

/** Most drafts of a step, of all sequences: each wants a row of every model. */
export const draftRows = 8;

/** Most rows of a step that tell about prompts: those of four prompts. */
export const routingRows = 4 * mostFeatureRows;

type Wishes = Omit<ModelSource, "model">;
type ContextWishes = Pick<ResolvedFusionConfig["config"]["context"], "microBatch" | "rope">;

/** One file of the configs, with everything that they want of it. */
export interface ModelNeed {
  path: string;
  wishes: Wishes;
  /** Of the context in which the model computes as it is. */
  options: ContextOptions;
  /** Of contexts in which it computes with an adapter. */
  adapted: readonly ContextOptions[];
  /** The context of the config that needs most cells. */
  context: { tokens: number; sequences: number };
}

/** What the configs say of one file. */
interface Mentions {
  path: string;
  wishes: Wishes;
  /** Name of a wish to the config that has it. */
  wishers: Map<string, string>;
  contextWishes: ContextWishes;
  firstConfig: string;
  context: { tokens: number; sequences: number };
  isRouted: boolean;
  /** It reads text that a base of another vocabulary writes. */
  readsText: boolean;
  adapters: AdapterUse[];
}

/**
 * Collects every distinct file of the configs, once.
 *
 * @throws ShouldersError `fusion_config_invalid`: two configs want different things of one file, which is loaded once.
 */
export function collectNeeds(
  configs: readonly ResolvedFusionConfig[],
  settings: Pick<EngineSettings, "batchTokens" | "threads" | "cacheSequences">,
): ModelNeed[] {
  const pathToMentions = new Map<string, Mentions>();
  for (const resolved of configs)
    for (const member of inOrder(resolved.members)) {
      if (member.source.remote !== undefined) continue;
      const { path } = member;
      const mentions = pathToMentions.get(path) ?? firstMention(path, resolved);
      pathToMentions.set(path, mentions);
      mention(mentions, resolved, member.source);
      const use = adapterOf(member);
      if (use !== undefined && !mentions.adapters.some((known) => isSame(known, use)))
        mentions.adapters.push(use);
    }
  const numSequences = Math.max(...configs.map(({ config }) => config.context.sequences));
  return [...pathToMentions.values()].map((mentions) => {
    const { path, wishes, context, contextWishes, isRouted, readsText, adapters } = mentions;
    const numCells = context.tokens * context.sequences;
    const { microBatch, rope } = contextWishes;
    const maxRows = numSequences * (readsText ? 1 + numReread : 1) + draftRows;
    const options: ContextOptions = {
      numCells,
      numSequences: numSequences + settings.cacheSequences,
      batchTokens: Math.max(numSequences, Math.min(settings.batchTokens, numCells)),
      maxRows,
      // Until calibration has found out what is best.
      threads: wishes.threads ?? settings.threads ?? 1,
      keepsThreads: wishes.threads !== undefined,
      flashAttention: wishes.flashAttention ?? "auto",
      cacheTypes: cacheTypesOf(wishes),
      ...(wishes.windowCells === true && { windowCells: true }),
      ...(microBatch !== undefined && { microBatch }),
      ...(rope !== undefined && { rope }),
    };
    return {
      path,
      wishes,
      context,
      options: { ...options, maxRows: maxRows + (isRouted ? routingRows : 0) },
      adapted: adapters.map((adapter) => ({ ...options, adapter })),
    };
  });
}

/** A base that another server computes, with what the configs want of it. */
export interface RemoteNeed {
  /** The file of its vocabulary. */
  path: string;
  remote: RemoteBase;
  room: RemoteRoom;
}

/** Every distinct one of the configs, once. */
export function collectRemotes(
  configs: readonly ResolvedFusionConfig[],
  settings: Pick<EngineSettings, "batchTokens" | "cacheSequences">,
): RemoteNeed[] {
  const needs = new Map<string, RemoteNeed>();
  // A sequence has one number in all models of an engine.
  const most = Math.max(...configs.map(({ config }) => config.context.sequences)) + settings.cacheSequences;
  for (const { config, members } of configs) {
    const { path, source } = members.base;
    if (source.remote === undefined) continue;
    const { tokens, sequences } = config.context;
    const key = remoteKey(path, source.remote);
    const { room } = needs.get(key) ?? {};
    needs.set(key, {
      path,
      remote: source.remote,
      room: {
        numSequences: most,
        numCells: Math.max(room?.numCells ?? 0, tokens * sequences),
        contextTokens: Math.max(room?.contextTokens ?? 0, tokens),
        batchTokens: Math.max(sequences, settings.batchTokens),
      },
    });
  }
  return [...needs.values()];
}

/** The same for what comes from the same server in the same way. */
export function remoteKey(path: string, remote: RemoteBase): string {
  return JSON.stringify([path, remote]);
}

function firstMention(path: string, { config }: ResolvedFusionConfig): Mentions {
  const { microBatch, rope, tokens, sequences } = config.context;
  return {
    path,
    wishes: { gpuLayers: "auto" },
    wishers: new Map(),
    contextWishes: { microBatch, rope },
    firstConfig: config.id,
    context: { tokens, sequences },
    isRouted: false,
    readsText: false,
    adapters: [],
  };
}

/** The adapter of a member, as its context is asked for it; undefined: it has none. */
export function adapterOf({ adapter, adapterPath }: LocalMember): AdapterUse | undefined {
  return adapter === null || adapterPath === null ? undefined : { path: adapterPath, scale: adapter.scale };
}

function mention(mentions: Mentions, resolved: ResolvedFusionConfig, source: ModelSource): void {
  const { config, card, members } = resolved;
  const { path, wishers } = mentions;
  const wishes = mentions.wishes as Record<string, unknown>;
  for (const [name, value] of Object.entries(source)) {
    if (name === "model" || value === undefined || (name === "gpuLayers" && value === "auto")) continue;
    const other = wishers.get(name);
    if (other !== undefined && !isSame(wishes[name], value))
      throw contradiction({ path, name, configs: [other, config.id], values: [wishes[name], value] });
    wishes[name] = value;
    wishers.set(name, config.id);
  }
  // What a config does not say of its context is the default: that of another would change its answers.
  for (const name of ["microBatch", "rope"] as const) {
    const values = [mentions.contextWishes[name], config.context[name]];
    if (!isSame(values[0], values[1]))
      throw contradiction({
        path,
        name: `context.${name}`,
        configs: [mentions.firstConfig, config.id],
        values,
      });
  }
  const { tokens, sequences } = config.context;
  if (tokens * sequences > mentions.context.tokens * mentions.context.sequences)
    mentions.context = { tokens, sequences };
  mentions.readsText ||= config.vocabulary === "own" && path !== members.base.path;
  mentions.isRouted ||=
    path === members.reference?.path && (card !== null || takes(config.strategy, "shares"));
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function contradiction(found: {
  path: string;
  name: string;
  configs: [string, string];
  values: unknown[];
}): ShouldersError {
  const [one, other] = found.configs;
  const [first, second] = found.values.map((value) =>
    value === undefined ? "nothing" : JSON.stringify(value),
  );
  const who = one === other ? `Config "${one}" says` : `Configs "${one}" and "${other}" say`;
  return new ShouldersError(
    "fusion_config_invalid",
    `${who} different things of ${found.path}, which is loaded once: ${found.name} ${first} and ${second}. ` +
      `Make them the same, or leave one out.`,
    { param: found.name },
  );
}
