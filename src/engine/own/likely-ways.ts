import { present } from "../../errors.js";
import type { Token } from "../../llama/types.js";
import type { ByteIndex } from "./byte-index.js";
import type { TextReader } from "./text-reader.js";
import { beginningsAt, type Begun, logWeightOf, type Row, Way } from "./way.js";

export interface LikelyOptions {
  reader: TextReader;
  /** Whether a token of the base may be these tokens, with which the text goes on, and more. */
  isBegun: (tokens: readonly Token[]) => boolean;
  /** ln of the text's probability. */
  logText: number;
  /** Least share of it. */
  share: number;
  /** null: the row is not there yet. */
  rowAfter: (way: Way) => Row | null;
  /** Ways that may be added, and how deep. */
  most: number;
  mostDepth: number;
  /** Ways that were gone on from; those that are now are added. */
  done: Set<Way>;
}

/** Adds the tokens that a model finds likely and that could become others of the base with what comes next. */
export function addLikely(root: Way, begun: Begun, options: LikelyOptions): void {
  const { reader, logText, share, rowAfter, most, mostDepth, done } = options;
  const weightOf = (way: Way) => logWeightOf(way, (one) => present(rowAfter(one), "row before a way"));
  const least = Math.log(share) + logText;
  let left = most;
  for (const way of root.all()) {
    const row = rowAfter(way);
    if (row === null || done.has(way) || way.depth >= mostDepth) continue;
    done.add(way);
    const sought = { rest: begun.rest, own: reader.own, least: least + row.logSum - weightOf(way) };
    for (const token of likelyAfter(way, row, sought)) {
      if (left <= 0) return;
      if (!mayGoOn(way, token, begun, options)) continue;
      way.child(token, reader.own.text(token));
      left--;
    }
  }
}

/** Tokens above a logit that go on with the text or from it, and do not go on from a way yet. */
function likelyAfter(way: Way, { values, best }: Row, { rest, own, least }: Sought): Token[] {
  if (best <= least) return [];
  const isLikely = (token: Token) => (values[token] as number) > least && !way.children.has(token);
  const tokens: Token[] = [];
  if (way.text.length < rest.length) {
    const [from, to] = own.range(rest.slice(way.text.length));
    for (let place = from; place < to; place++)
      if (isLikely(own.tokenAt(place))) tokens.push(own.tokenAt(place));
  } else
    for (let token = 0; token < values.length; token++)
      if ((values[token] as number) > least && isLikely(token)) tokens.push(token);
  return tokens;
}

interface Sought {
  rest: string;
  own: ByteIndex;
  least: number;
}

/** Whether a token of the base could begin with the bytes of a way and a token, and have more. */
function mayGoOn(way: Way, token: Token, begun: Begun, { reader, isBegun }: LikelyOptions): boolean {
  const { rest } = begun;
  const text = reader.own.text(token);
  if (text === "") return false;
  if (way.text.length + text.length <= rest.length) return false;
  const end = new Way(token, way, text);
  if (end.isParted(rest)) return isBegun(tokensBeyond(end, rest));
  return beginningsAt(end, begun, reader).some((beginning) => reader.base.isBegun(beginning));
}

/** Of a way that one of them begins with what is beyond the text. */
function tokensBeyond(way: Way, rest: string): Token[] {
  return way.parent === null || way.text.length <= rest.length
    ? []
    : [...tokensBeyond(way.parent, rest), way.token];
}
