import { present } from "../errors.js";
import type { LoadedModel, Token, Vocabulary } from "../llama/types.js";
import { compareVocabularies, comparisonNotes } from "../llama/vocabulary.js";
import { sharedNotes, type SharedIds } from "./shared-ids.js";

/** Models of one config whose control tokens are not named alike: each keeps its own, and text is fused. */

/** A token that the base alone decides about has this log-probability for the others, nats: no set of theirs has it. */
const unlikely = -20;

/** Logits this far below the best add nothing to a sum, nats. */
const negligible = 25;

/** What a model makes of the base's tokens, where some are others to it. */
export class TokenRoles {
  /** Token of the base's to what this model reads in its place, one token each: positions stay the same. */
  readonly feeds: ReadonlyMap<Token, Token>;
  readonly #renamed: ReadonlySet<Token>;
  readonly #commonSize: number;
  /** Its own ends, and the base's on which their probability is put; empty: they are the same tokens. */
  readonly #ownEnds: readonly Token[];
  readonly #ends: readonly Token[];

  constructor(base: LoadedModel, own: LoadedModel, renamed: readonly Token[], commonSize: number) {
    this.#renamed = new Set(renamed);
    this.#commonSize = commonSize;
    this.feeds = new Map(renamed.map((token) => [token, readAs(token, base.vocabulary, own)]));
    const [theirs, its] = [endsOf(base.vocabulary), endsOf(own.vocabulary)];
    const areOthers = [...theirs, ...its].some((token) => token >= commonSize || this.#renamed.has(token));
    this.#ownEnds = areOthers ? its : [];
    const sameEnds = its.filter((token) => token < commonSize && !this.#renamed.has(token));
    this.#ends = areOthers ? [...new Set([...theirs, ...sameEnds])] : [];
  }

  /** Whether the token is another to this model than to the base. */
  isRenamed(token: Token): boolean {
    return this.#renamed.has(token);
  }

  /**
   * Makes a row of this model one of the base's tokens, in place: what its ends have together is on the base's ends, in
   * equal parts, and what is renamed has the same log-probability in every such model, so that no shift moves it.
   */
  adapt(row: Float32Array): void {
    if (this.#renamed.size === 0 && this.#ownEnds.length === 0) return;
    const ends = logSum(this.#ownEnds.map((token) => row[token] ?? -Infinity));
    for (const tokens of [this.#renamed, this.#ownEnds, this.#ends])
      for (const token of tokens) row[token] = -Infinity;
    const text = row.subarray(0, this.#commonSize);
    const all = logSum([logSum(text), ends]);
    for (const token of this.#renamed) row[token] = all + unlikely;
    for (const token of this.#ends) row[token] = ends - Math.log(this.#ends.length);
  }
}

/** ln Σ exp(x), but for what is far below the largest. NaN where there is one. */
function logSum(values: ArrayLike<number>): number {
  let best = -Infinity;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? -Infinity;
    if (value > best || Number.isNaN(value)) best = value;
  }
  if (!Number.isFinite(best)) return best;
  let sum = 0;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? -Infinity;
    if (value > best - negligible) sum += Math.exp(value - best);
  }
  return best + Math.log(sum);
}

function endsOf(vocabulary: Vocabulary): Token[] {
  return Array.from({ length: vocabulary.size }, (_, token) => token).filter((token) =>
    vocabulary.isEndOfGeneration(token),
  );
}

/** The model's own token of that role or name, wherever it is; a line break where it has none. */
export function readAs(theirs: Token, base: Vocabulary, model: LoadedModel): Token {
  const { bos, endToken } = model.vocabulary;
  if (theirs === base.bos && bos !== null) return bos;
  if (base.isEndOfGeneration(theirs) && endToken !== null) return endToken;
  const name = base.rawText(theirs);
  const [token, ...more] = model.tokenize(name, true);
  if (token !== undefined && more.length === 0 && model.vocabulary.rawText(token) === name) return token;
  return present(model.tokenize("\n", false).at(-1), "line break");
}

/** What a model reads of tokens that are given as the base's. */
export function fedTo(roles: TokenRoles | undefined, tokens: Token[]): Token[] {
  return roles === undefined ? tokens : tokens.map((token) => roles.feeds.get(token) ?? token);
}

/** Whether a token of the base's ends an answer for a model. */
export function isEndFor(vocabulary: Vocabulary, roles: TokenRoles | undefined, token: Token): boolean {
  return roles?.isRenamed(token) !== true && vocabulary.isEndOfGeneration(token);
}

/**
 * Holds the models of a config against its base.
 *
 * @param others members that are not the base, by their index among the models
 * @param shared ids that keep their shift, whatever they are called
 * @throws ShouldersError `vocabulary_mismatch`
 */
export function shareTokens(
  base: LoadedModel,
  others: readonly { model: number }[],
  { models, shared = new Map() }: { models: readonly LoadedModel[]; shared?: SharedIds },
): { roles: Map<number, TokenRoles>; vocabularyNotes: string[] } {
  const roles = new Map<number, TokenRoles>();
  const known = new Map<LoadedModel, TokenRoles | null>();
  const notes = new Set(sharedNotes(shared, base));
  for (const { model } of others) {
    const other = present(models[model], "model");
    if (!known.has(other)) {
      const compared = compareVocabularies(base.vocabulary, other.vocabulary, {
        base: base.path,
        other: other.path,
      });
      const names = { base: "the base", other: "the others" };
      const renamed = compared.renamed.filter((token) => !shared.has(token));
      for (const note of renamedNotes(base, other, renamed)) notes.add(note);
      for (const note of comparisonNotes(base.vocabulary, other.vocabulary, names)) notes.add(note);
      const hasMoreEnds = endsBeyond(other.vocabulary, compared.commonSize);
      const isPlain = compared.renamed.length === 0 && !hasMoreEnds;
      known.set(other, isPlain ? null : new TokenRoles(base, other, renamed, compared.commonSize));
    }
    const own = known.get(other);
    if (own) roles.set(model, own);
  }
  return { roles, vocabularyNotes: [...notes] };
}

function endsBeyond(vocabulary: Vocabulary, commonSize: number): boolean {
  for (let token = commonSize; token < vocabulary.size; token++)
    if (vocabulary.isEndOfGeneration(token)) return true;
  return false;
}

/** Renamed ids of which each has a line; of more only the number is said. */
const mostShown = 24;

function renamedNotes(base: LoadedModel, other: LoadedModel, renamed: readonly Token[]): string[] {
  const lines = renamed.slice(0, mostShown).map((token) => {
    const [name, theirs] = [base.vocabulary.rawText(token), other.vocabulary.rawText(token)];
    const isEnd = [base, other].some(({ vocabulary }) => vocabulary.isEndOfGeneration(token));
    const done = isEnd ? "ends are joined" : "no shift, the base alone decides";
    return `token ${token} is ${JSON.stringify(name)} to the base, ${JSON.stringify(theirs)} to the others: ${done}`;
  });
  const numMore = renamed.length - lines.length;
  return numMore === 0 ? lines : [...lines, `and ${numMore} more, mostly reserved ones: no shift`];
}
