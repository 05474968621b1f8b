import { present } from "../../errors.js";
import type { Token } from "../../llama/types.js";
import type { TextReader } from "./text-reader.js";

/** Tokens of a small model that are looked at anew: what follows may join with them. */
export const numReread = 3;

/** What this far below the best token of a row is not counted, nats. */
export const negligible = 25;

/** A small model's logits after some of its tokens. */
export interface Row {
  values: Float32Array;
  best: number;
  /** ln Σ exp. */
  logSum: number;
}

export function rowOf(values: Float32Array): Row {
  let best = -Infinity;
  // Walking over the values themselves takes five times as long.
  for (let token = 0; token < values.length; token++) {
    const value = values[token] as number;
    if (value > best) best = value;
  }
  let sum = 0;
  const least = best - negligible;
  for (let token = 0; token < values.length; token++) {
    const value = values[token] as number;
    if (value > least) sum += Math.exp(value - best);
  }
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

/** ln of a way's probability after the root, under the model of these rows. */
export function logWeightOf(way: Way, rowAfter: (way: Way) => Row): number {
  if (way.parent === null) return 0;
  const row = rowAfter(way.parent);
  const own = present(row.values[way.token], "logit") - row.logSum;
  return own + logWeightOf(way.parent, rowAfter);
}

/** ln of a text's probability, over its own way to be written and all by which a token goes on beyond it from there. */
export function logTextOf(
  now: Way,
  { rest }: Begun,
  { reader: { own }, rowAfter }: { reader: TextReader; rowAfter: (way: Way) => Row },
): number {
  const logNow = logWeightOf(now, rowAfter);
  let sum = 1;
  for (let way = now.parent; way !== null; way = way.parent) {
    const left = rest.slice(way.text.length);
    const { values, logSum } = rowAfter(way);
    const offset = logWeightOf(way, rowAfter) - logSum - logNow;
    const [from, to] = own.range(left);
    for (let place = from; place < to; place++) {
      const token = own.tokenAt(place);
      if (own.text(token).length > left.length) sum += Math.exp((values[token] as number) + offset);
    }
  }
  return logNow + Math.log(sum);
}

/** What could be the beginning of the base's next token after a way that goes beyond the text. */
export function beginningsAt(way: Way, { rest, since, written }: Begun, { base }: TextReader): string[] {
  const beyond = way.text.slice(rest.length);
  const beginnings = [beyond];
  if (way.isParted(rest)) return beginnings;
  // The base may have begun what it has written with a longer one.
  let text = since + rest;
  for (const token of written) {
    beginnings.push(text + beyond);
    text = text.slice(base.text(token).length);
  }
  return beginnings;
}
