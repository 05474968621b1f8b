import type { Roles } from "../../config/members.js";
import type { FusionConfig } from "../../config/fusion-config.js";
import { present, ShouldersError } from "../../errors.js";
import type { LoadedModel, Token } from "../../llama/types.js";
import { compareVocabularies } from "../../llama/vocabulary.js";
import type { ConfigDescription } from "../../protocol/protocol.js";
import type { ModelSlot } from "../model-slot.js";
import { readSharedIds, type SharedIds } from "../shared-ids.js";
import { readAs, shareTokens, type TokenRoles } from "../token-roles.js";
import { readVocabulary, TextReader } from "./text-reader.js";

/** What the models of a config have in common. */
export interface SharedText {
  /** Model index to what it makes of others' tokens, where it names some of them otherwise. */
  roles: ReadonlyMap<number, TokenRoles>;
  /** How the vocabularies differ, and what is done about it, for people. */
  vocabularyNotes: readonly string[];
  /** Tokens that keep their shift although the base names them otherwise. */
  sharedIds: SharedIds;
  /** What reads texts of the base's tokens in those of the small models; null: all have the same. */
  reader: TextReader | null;
}

/**
 * Holds the models of a config against each other. Small models of another vocabulary than the base's read its texts,
 * where they may.
 *
 * @param small members that are not the base, by their index among the models, the reference first
 * @throws ShouldersError `vocabulary_mismatch`, `fusion_config_invalid`: `sharedIds` cannot be shared
 */
export function shareText(
  base: LoadedModel,
  small: readonly { model: number }[],
  { models, config }: { models: readonly LoadedModel[]; config: FusionConfig },
): SharedText {
  const [first, ...experts] = small.map(({ model }) => present(models[model], "model"));
  if (first === undefined || config.vocabulary !== "own" || isShared(base, first)) {
    const sharing = first && { base, reference: first, experts };
    const shared = sharing ? readSharedIds(config.sharedIds ?? [], sharing) : new Map<Token, string>();
    return { ...shareTokens(base, small, { models, shared }), sharedIds: shared, reader: null };
  }
  if (config.sharedIds !== undefined)
    throw new ShouldersError(
      "fusion_config_invalid",
      `Config "${config.id}": sharedIds are of one vocabulary, and the small models have another than the base. ` +
        `Remove them, or use small models of the base's family.`,
      { param: "sharedIds" },
    );
  const { roles, vocabularyNotes } = shareTokens(first, small, { models });
  const reader = new TextReader(readVocabulary(base), readVocabulary(first));
  return { roles, reader, vocabularyNotes, sharedIds: new Map() };
}

function isShared(base: LoadedModel, other: LoadedModel): boolean {
  try {
    compareVocabularies(base.vocabulary, other.vocabulary, { base: base.path, other: other.path });
    return true;
  } catch (error) {
    if (error instanceof ShouldersError && error.code === "vocabulary_mismatch") return false;
    throw error;
  }
}

/** How the vocabularies of a config differ, for people. */
export function notesOf({
  reader,
  vocabularyNotes,
}: Pick<SharedText, "reader" | "vocabularyNotes">): Pick<
  ConfigDescription,
  "hasOtherVocabulary" | "vocabularyNotes"
> {
  if (reader === null) return { vocabularyNotes };
  return { hasOtherVocabulary: true, vocabularyNotes: [...overlapNotes(reader), ...vocabularyNotes] };
}

function overlapNotes({ base, own, baseSize, firsts }: TextReader): string[] {
  let numSame = 0;
  for (let token = 0; token < baseSize; token++) {
    const text = base.text(token);
    if (text !== "" && own.exact(text) !== null) numSame++;
  }
  return [
    `the small models have ${firsts.length} tokens of their own: ${numSame} of the base's are one token to them, and ` +
      `others several. What experts change is added up over texts`,
  ];
}

/**
 * The whole of the base's row must be here, and what a look ahead puts into a small model's memory has to be taken out
 * again.
 *
 * @throws ShouldersError `vocabulary_mismatch`
 */
export function checkTakeBack(
  configs: Iterable<Pick<SharedText, "reader"> & Roles<{ model: number }> & { resolved: Named }>,
  slots: readonly ModelSlot[],
): void {
  for (const { reader, base, reference, experts, resolved } of configs) {
    if (reader !== null && present(slots[base.model], "slot").remote !== null)
      throw new ShouldersError(
        "vocabulary_mismatch",
        `Config "${resolved.config.id}": small models of another vocabulary need a base that is loaded here; this one is ` +
          `on another server. Use small models of the base's family.`,
      );
    for (const { model } of reader === null || reference === null ? [] : [reference, ...experts]) {
      const slot = present(slots[model], "slot");
      if (!slot.canTakeBack)
        throw new ShouldersError(
          "vocabulary_mismatch",
          `Config "${resolved.config.id}": ${slot.model.path} has another vocabulary than the base, and keeps a state ` +
            `or a window that cannot be cut back. Use small models of the base's family, or such as have attention alone.`,
        );
    }
  }
}

/** What a small model reads of tokens that are given as the base's: runs of text, and control tokens by their roles. */
export function textFedTo({ reader, model, base }: Reading, tokens: readonly Token[]): Token[] {
  const fed: Token[] = [];
  let text = "";
  const flush = () => {
    fed.push(...reader.ownIds(text));
    text = "";
  };
  for (const token of tokens) {
    const bytes = reader.base.text(token);
    text += bytes;
    if (bytes !== "") continue;
    flush();
    fed.push(readAs(token, base.vocabulary, model));
  }
  flush();
  return fed;
}

interface Named {
  config: { id: string };
}

interface Reading {
  reader: TextReader;
  /** The one that reads. */
  model: LoadedModel;
  base: LoadedModel;
}
