import { present, ShouldersError } from "../errors.js";
import type { LoadedModel, Token, Vocabulary } from "../llama/types.js";
import { isNoText } from "../llama/vocabulary.js";

/** What a config's tokens are called: as its base calls them, but for those that are shared by their ids. */
export type TokenNames = Pick<Vocabulary, "bytes" | "rawText">;

/** Ids that keep their shift although the base names them otherwise, and what experts name them. */
export type SharedIds = ReadonlyMap<Token, string>;

export interface SharingModels {
  base: LoadedModel;
  reference: LoadedModel;
  experts: readonly LoadedModel[];
}

/**
 * Reads a config's `sharedIds`: ids, or names that experts give them.
 *
 * @throws ShouldersError `fusion_config_invalid`: there is no such token, it is text or an end, or it has the same name
 *   in every model
 */
export function readSharedIds(written: readonly (number | string)[], models: SharingModels): SharedIds {
  return new Map(written.map((id, index) => readSharedId(id, models, `sharedIds.${index}`)));
}

function readSharedId(
  written: number | string,
  { base, reference, experts }: SharingModels,
  param: string,
): [Token, string] {
  const fail = (reason: string) =>
    new ShouldersError("fusion_config_invalid", `${param}: ${reason}.`, { param });
  const all = [base, reference, ...experts];
  const quote = JSON.stringify;
  const token = typeof written === "number" ? written : tokenNamed(written, experts);
  if (token === null) throw fail(`no expert has a token named ${quote(written)}`);
  const size = Math.min(...all.map(({ vocabulary }) => vocabulary.size));
  if (token >= size) throw fail(`token ${token} is not one of the ${size} that all models have`);
  const name = base.vocabulary.rawText(token);
  const others = experts.map(({ vocabulary }) => vocabulary.rawText(token)).filter((text) => text !== name);
  const [text] = others;
  if (text === undefined)
    throw fail(`token ${token} is ${quote(name)} to the experts as to the base: it needs no entry`);
  for (const { path, vocabulary } of all) {
    const own = vocabulary.rawText(token);
    if (vocabulary.isEndOfGeneration(token))
      throw fail(`token ${token} ends answers of ${path}, and ends are joined as they are`);
    if (!isNoText(vocabulary, token))
      throw fail(`token ${token} is ${quote(own)} to ${path}, which is text and not a control token`);
    if (own !== name && own !== text)
      throw fail(`token ${token} is ${quote(own)} to ${path}, and ${quote(text)} to an expert`);
  }
  return [token, text];
}

function tokenNamed(name: string, experts: readonly LoadedModel[]): Token | null {
  for (const model of experts) {
    const [token, ...more] = model.tokenize(name, true);
    if (token !== undefined && more.length === 0 && model.vocabulary.rawText(token) === name) return token;
  }
  return null;
}

/** The base's names, but for shared ids: those are written as experts name them. */
export function namesOf(vocabulary: Vocabulary, shared: SharedIds): TokenNames {
  if (shared.size === 0) return vocabulary;
  const bytes = new Map(Array.from(shared, ([token, name]) => [token, Buffer.from(name)]));
  return {
    bytes: (token) => bytes.get(token) ?? vocabulary.bytes(token),
    rawText: (token) => shared.get(token) ?? vocabulary.rawText(token),
  };
}

/** A line for each, for people. */
export function sharedNotes(shared: SharedIds, base: LoadedModel): string[] {
  return Array.from(shared, ([token, text]) => {
    const names = [base.vocabulary.rawText(token), text].map((name) => JSON.stringify(name));
    return `token ${token} is ${present(names[0], "name")} to the base: it is shared as ${present(names[1], "name")}, with its shift`;
  });
}
