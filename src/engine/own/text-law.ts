import type { Token } from "../../llama/types.js";
import type { ByteIndex, Range } from "./byte-index.js";
import type { TextReader } from "./text-reader.js";
import { beginningsAt, type Begun, negligible, type Row, type Way } from "./way.js";

/**
 * The law of a small model over the base's tokens, where the two share nothing but text. What a model says is a law of
 * texts, whatever its tokens are. A token x of the base stands for: the text goes on with the bytes of x, and the base
 * would read them as x. The probability of that under the small model is the sum over the ways in which it can write so,
 * with the tokens of its own; here over the ways that matter. With equal vocabularies there is one way, x itself.
 */

/**
 * What is less probable than this after the text is not read in the midst of a token, where each costs a look into the
 * base's vocabulary, ln.
 */
const leastWithin = -16;

/** Most tokens that are read there after a way, the likeliest of them. */
const mostRead = 512;

/** Log-probability of what no way leads to. It is that in every small model, so that no shift moves it. */
const unlikely = -40;

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
  /** ln of the text's probability, to which others are relative. */
  logText: number;
  /** Bytes of tokens of the base whose probability matters, however small it is. */
  wanted: readonly string[];
  buffers: LawBuffers;
}

export interface Law {
  /** Log-probabilities over the base's tokens [baseSize]; they stay until the buffers are used again. */
  row: Float32Array;
  /** Share of what was not read in all: it counts for the base's token in what came before, or not at all. */
  unread: number;
}

export function lawOf(root: Way, begun: Begun, options: LawOptions): Law {
  const { logText, buffers, reader } = options;
  const sum = new LawSum(begun, options);
  sum.visit(root, -logText);
  const { weights, row } = buffers;
  for (const token of reader.baseEnds) weights[token] = sum.ended / reader.baseEnds.length;
  let all = 0;
  for (let token = 0; token < weights.length; token++) all += weights[token] as number;
  const logAll = Math.log(all);
  for (let token = 0; token < row.length; token++) {
    const weight = weights[token] as number;
    row[token] = weight > 0 ? Math.max(unlikely, Math.log(weight) - logAll) : unlikely;
  }
  return { row, unread: sum.unread / (all + sum.unread) };
}

/** Adds up what ways give the base's tokens, relative to the text so far. */
class LawSum {
  ended = 0;
  unread = 0;
  readonly #begun: Begun;
  readonly #options: LawOptions;
  readonly #law: Float64Array;

  constructor(begun: Begun, options: LawOptions) {
    this.#begun = begun;
    this.#options = options;
    this.#law = options.buffers.weights.fill(0);
  }

  visit(way: Way, logWeight: number): void {
    const { rest } = this.#begun;
    const row = this.#options.rowAfter(way);
    if (way.text === rest) this.#addNext(way, row, logWeight);
    else if (way.text.length < rest.length) this.#addOver(way, row, logWeight);
    else this.#addWithin(way, row, logWeight);
    for (const child of way.children.values())
      this.visit(child, logWeight + (row.values[child.token] ?? -Infinity) - row.logSum);
  }

  /** The text is all there: each token counts for the base's first one in it. */
  #addNext(way: Way, row: Row, logWeight: number): void {
    const { firsts, ownEnds } = this.#options.reader;
    const { values, logSum, best } = row;
    const law = this.#law;
    const [offset, least] = [logWeight - logSum, best - negligible];
    const followed = [...way.children.keys()].sort((a, b) => a - b);
    let from = 0;
    for (const to of [...followed, values.length]) {
      for (let token = from; token < to; token++) {
        const value = values[token] as number;
        const first = firsts[token] as number;
        if (value > least && first >= 0) law[first] = (law[first] as number) + Math.exp(value + offset);
      }
      from = to + 1;
    }
    for (const token of ownEnds) this.ended += Math.exp((values[token] ?? -Infinity) + offset);
  }

  /** One token reaches over the end of the text. */
  #addOver(way: Way, row: Row, logWeight: number): void {
    const { own } = this.#options.reader;
    const left = this.#begun.rest.slice(way.text.length);
    const among = [own.range(left)];
    const beyond = (token: Token) => own.text(token).slice(left.length);
    const { tokens, missed } = this.#read(way, row, { logWeight, among, before: left, sofar: "" });
    const offset = logWeight - row.logSum;
    for (const token of tokens)
      this.#add(this.#nextOf(beyond(token), false), Math.exp((row.values[token] as number) + offset));
    this.unread += missed * Math.exp(row.best + offset);
  }

  /** The text goes on in the midst of what could become a token of the base's. */
  #addWithin(way: Way, row: Row, logWeight: number): void {
    const { reader } = this.#options;
    const { values, logSum, best } = row;
    const sofar = way.text.slice(this.#begun.rest.length);
    const isParted = way.isParted(this.#begun.rest);
    const among = reader.goingOn(beginningsAt(way, this.#begun, reader));
    const beyond = (token: Token) => sofar + reader.own.text(token);
    const { tokens, missed } = this.#read(way, row, { logWeight, among, before: "", sofar });
    const weightOf = (token: Token) => Math.exp((values[token] ?? -Infinity) + logWeight - logSum);
    let left = Math.exp(logWeight);
    for (const token of [...way.children.keys(), ...reader.ownSilent]) left -= weightOf(token);
    for (const token of tokens) {
      const weight = weightOf(token);
      left -= weight;
      this.#add(this.#nextOf(beyond(token), isParted), weight);
    }
    // What comes next does not change the token: also an end, by which it is a shorter one.
    this.#add(this.#nextOf(sofar, isParted), Math.max(0, left));
    this.unread += missed * Math.exp(best + logWeight - logSum);
  }

  #add(token: Token | null, weight: number): void {
    if (token !== null) this.#law[token] = (this.#law[token] ?? 0) + weight;
  }

  /** The tokens after a way to be read with it, and Σ exp(logit − best) of those that are not. */
  #read(
    way: Way,
    row: Row,
    { logWeight, among, before, sofar }: Reading,
  ): { tokens: Token[]; missed: number } {
    const { own } = this.#options.reader;
    const isOpen = (token: Token) => !way.children.has(token) && own.text(token).length > before.length;
    const reach = Math.min(-unlikely, row.best - row.logSum + logWeight - leastWithin);
    const farthest = farthestRead(row, { own, among, reach });
    const read = new Set<Token>();
    for (const bytes of this.#options.wanted) {
      const token = bytes.startsWith(sofar) ? own.exact(before + bytes.slice(sofar.length)) : null;
      if (token !== null && isOpen(token)) read.add(token);
    }
    let missed = 0;
    for (const [from, to] of among)
      for (let place = from; place < to; place++) {
        const token = own.tokenAt(place);
        const below = row.best - (row.values[token] ?? -Infinity);
        if (!(below < -unlikely) || read.has(token) || !isOpen(token)) continue;
        if (below < farthest) read.add(token);
        else missed += Math.exp(-below);
      }
    return { tokens: [...read], missed };
  }

  /**
   * The base's next token where bytes come after the text.
   *
   * @param isParted a token of the small model ends where the text does; else null where the base would have read what it
   *   has written as other tokens
   */
  #nextOf(beyond: string, isParted: boolean): Token | null {
    const { rest, since, written } = this.#begun;
    const { reader } = this.#options;
    if (isParted) return reader.baseIds(beyond)[0] ?? null;
    const read = reader.baseIds(since + rest + beyond);
    return written.every((token, index) => read[index] === token) ? (read[written.length] ?? null) : null;
  }
}

/** Which tokens are to be read after a way. */
interface Reading {
  /** ln of the way's share of the text's probability. */
  logWeight: number;
  among: readonly Range[];
  /** Bytes of the text that the tokens begin with. */
  before: string;
  /** Bytes beyond the text that the way has. */
  sofar: string;
}

/** Half a nat is a step. */
const numSteps = -2 * unlikely;

/** How far below the best token of a row those may lie that are read: within reach, and no more than `mostRead`. */
function farthestRead(
  row: Row,
  { own, among, reach }: { own: ByteIndex; among: readonly Range[]; reach: number },
): number {
  const counts = new Int32Array(numSteps);
  for (const [from, to] of among)
    for (let place = from; place < to; place++) {
      const step = Math.floor(2 * (row.best - (row.values[own.tokenAt(place)] as number)));
      if (step < numSteps) counts[step] = (counts[step] as number) + 1;
    }
  let count = 0;
  let step = 0;
  while (step < 2 * reach && (count += counts[step] as number) <= mostRead) step++;
  return Math.min(reach, step / 2);
}
