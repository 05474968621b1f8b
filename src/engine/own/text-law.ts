import { present } from "../../errors.js";
import type { Token } from "../../llama/types.js";
import type { TextReader } from "./text-reader.js";

/**
 * The law of a small model over the base's tokens, where the two share nothing but text. What a model says is a law of
 * texts, whatever its tokens are. A token x of the base stands for: the text goes on with the bytes of x, and the base
 * would read them as x. The probability of that under the small model is the sum over the ways in which it can write so,
 * with the tokens of its own; here over the ways that matter. With equal vocabularies there is one way, x itself.
 */

/** Tokens of a small model that are looked at anew: what follows may join with them. */
export const numReread = 3;

/** What this far below the best token of a row is not counted, nats. */
const negligible = 25;

/** The same in the midst of a token, where each costs a look into the base's vocabulary. */
const negligibleWithin = 12;

/** Log-probability of what no way leads to. It is that in every small model, so that no shift moves it. */
const unlikely = -40;

/** A small model's logits after some of its tokens. */
export interface Row {
  values: Float32Array;
  best: number;
  /** ln Σ exp. */
  logSum: number;
}

export function rowOf(values: Float32Array): Row {
  let best = -Infinity;
  for (const value of values) if (value > best) best = value;
  let sum = 0;
  for (const value of values) if (value > best - negligible) sum += Math.exp(value - best);
  return { values, best, logSum: best + Math.log(sum) };
}

/** Tokens of a small model, one after the other, by which a text can be gone on with; one of a tree of them. */
export class Way {
  readonly token: Token;
  readonly parent: Way | null;
  /** Bytes from the root on. */
  readonly text: string;
  readonly depth: number;
  readonly children = new Map<Token, Way>();

  constructor(token = -1, parent: Way | null = null, text = "") {
    this.token = token;
    this.parent = parent;
    this.text = (parent?.text ?? "") + text;
    this.depth = parent === null ? 0 : parent.depth + 1;
  }

  /** @param text its own bytes */
  child(token: Token, text: string): Way {
    const known = this.children.get(token) ?? new Way(token, this, text);
    this.children.set(token, known);
    return known;
  }

  /** Whether one of its tokens ends where a text from the root on does. */
  isParted(rest: string): boolean {
    return this.text === rest || (this.text.length > rest.length && (this.parent?.isParted(rest) ?? false));
  }

  /** Tokens from the root on. */
  get tokens(): Token[] {
    return this.parent === null ? [] : [...this.parent.tokens, this.token];
  }

  /** Itself and all that go on from it, parents first. */
  *all(): Generator<Way> {
    yield this;
    for (const child of this.children.values()) yield* child.all();
  }
}

/** A text that a tree of ways begins in. */
export interface Begun {
  /** Bytes of it after the root of the ways. */
  rest: string;
  /** Those before, from the last place at or before the root where a token of the base begins. */
  since: string;
  /** How the base has written both. */
  written: readonly Token[];
}

/** Adds tokens one after the other. @returns the way that ends with the last */
export function addWay(root: Way, tokens: readonly Token[], { own }: TextReader): Way {
  return tokens.reduce((way, token) => way.child(token, own.text(token)), root);
}

export interface LikelyOptions {
  reader: TextReader;
  /** Least share of the text's probability. */
  share: number;
  /** null: the row is not there yet. */
  rowAfter: (way: Way) => Row | null;
  /** Ways that may be added, and how deep. */
  most: number;
  mostDepth: number;
}

/** Adds the tokens that a model finds likely and that could become others of the base with what comes next. */
export function addLikely(
  root: Way,
  begun: Begun,
  { reader, share, rowAfter, most, mostDepth }: LikelyOptions,
): void {
  const { rest } = begun;
  const crossed = beginningsOf(begun, reader);
  let left = most;
  const visit = (way: Way, logWeight: number) => {
    const row = rowAfter(way);
    if (row === null) return;
    const beginnings = way.isParted(rest) ? [""] : crossed;
    const least = Math.log(share) + row.logSum - logWeight;
    if (way.depth < mostDepth)
      for (const [token, beyond] of goingOn(way, rest, reader, { row, least })) {
        if (left <= 0) break;
        if (!beginnings.some((beginning) => reader.base.isBegun(beginning + beyond))) continue;
        way.child(token, reader.own.text(token));
        left--;
      }
    for (const child of way.children.values())
      visit(child, logWeight + (row.values[child.token] ?? -Infinity) - row.logSum);
  };
  visit(root, 0);
}

/** What the base has written, from each of its boundaries on. */
function beginningsOf({ rest, since, written }: Begun, { base }: TextReader): string[] {
  const beginnings = [""];
  let text = since + rest;
  for (const token of written) {
    beginnings.push(text);
    text = text.slice(base.text(token).length);
  }
  return beginnings;
}

/** Tokens above a logit with which a way goes on with the text and beyond it, and the bytes that are beyond. */
function* goingOn(
  way: Way,
  rest: string,
  { own }: TextReader,
  { row, least }: { row: Row; least: number },
): Generator<[Token, string]> {
  const { text, children } = way;
  const isLikely = (token: Token) => (row.values[token] ?? -Infinity) > least && !children.has(token);
  if (text.length < rest.length) {
    const left = rest.slice(text.length);
    for (const token of own.beginningWith(left))
      if (isLikely(token) && own.text(token).length > left.length)
        yield [token, own.text(token).slice(left.length)];
    return;
  }
  const beyond = text.slice(rest.length);
  for (let token = 0; token < row.values.length; token++)
    if (isLikely(token) && own.text(token) !== "") yield [token, beyond + own.text(token)];
}

/** Memory for a law over the base's tokens. */
export class LawBuffers {
  readonly weights: Float64Array;
  readonly row: Float32Array;

  constructor(size: number) {
    this.weights = new Float64Array(size);
    this.row = new Float32Array(size);
  }
}

export interface LawOptions {
  reader: TextReader;
  rowAfter: (way: Way) => Row;
  /** The way that ends where the text does: probabilities are taken relative to it. */
  now: Way;
  buffers: LawBuffers;
}

/** Log-probabilities over the base's tokens [baseSize]; they stay until the buffers are used again. */
export function lawOf(root: Way, begun: Begun, { reader, rowAfter, now, buffers }: LawOptions): Float32Array {
  const { rest } = begun;
  const law = buffers.weights.fill(0);
  let ended = 0;
  const add = (token: Token | null, weight: number) => {
    if (token !== null && token >= 0) law[token] = (law[token] ?? 0) + weight;
  };
  const visit = (way: Way, logWeight: number) => {
    const row = rowAfter(way);
    const weightOf = (token: Token) => Math.exp((row.values[token] ?? -Infinity) - row.logSum + logWeight);
    const isParted = way.isParted(rest);
    const isWithin = way.text !== rest;
    const least = row.best - (isWithin ? negligibleWithin : negligible);
    for (const [token, beyond] of goingOn(way, rest, reader, { row, least }))
      add(
        isWithin ? nextOf(beyond, isParted, begun, reader) : (reader.firsts[token] ?? null),
        weightOf(token),
      );
    // An answer that ends in the midst of a token of the base's ends with a shorter one.
    const last =
      way.text.length > rest.length ? nextOf(way.text.slice(rest.length), isParted, begun, reader) : null;
    for (const token of reader.ownEnds) {
      if (!isWithin) ended += weightOf(token);
      else add(last, weightOf(token));
    }
    for (const child of way.children.values())
      visit(child, logWeight + (row.values[child.token] ?? -Infinity) - row.logSum);
  };
  visit(root, -logWeightOf(now, rowAfter));
  for (const token of reader.baseEnds) law[token] = ended / reader.baseEnds.length;
  const all = law.reduce((sum, weight) => sum + weight, 0);
  const { row } = buffers;
  for (let token = 0; token < row.length; token++) {
    const weight = law[token] ?? 0;
    row[token] = weight > 0 ? Math.max(unlikely, Math.log(weight / all)) : unlikely;
  }
  return row;
}

/**
 * The base's next token where bytes come after the text.
 *
 * @param isParted a token of the small model ends where the text does; else null where the base would have read what it
 *   has written as other tokens
 */
function nextOf(
  beyond: string,
  isParted: boolean,
  { rest, since, written }: Begun,
  reader: TextReader,
): Token | null {
  if (isParted) return reader.baseIds(beyond)[0] ?? null;
  const read = reader.baseIds(since + rest + beyond);
  return written.every((token, index) => read[index] === token) ? (read[written.length] ?? null) : null;
}

function logWeightOf(way: Way, rowAfter: (way: Way) => Row): number {
  if (way.parent === null) return 0;
  const row = rowAfter(way.parent);
  const own = present(row.values[way.token], "logit") - row.logSum;
  return own + logWeightOf(way.parent, rowAfter);
}
