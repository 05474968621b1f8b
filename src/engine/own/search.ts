import { present } from "../../errors.js";
import type { Token } from "../../llama/types.js";
import type { HeldRow } from "../held-rows.js";
import { commonPrefix } from "../prefix.js";
import type { Sequence } from "../sequence.js";
import { addLikely } from "./likely-ways.js";
import { TextCursor } from "./text-cursor.js";
import type { TextReader } from "./text-reader.js";
import { addWay, type Begun, logTextOf, numReread, type Row, Way } from "./way.js";

/** Tokens with this share of the best one's probability, to the base or to an expert, are followed to their ends. */
const followedShare = 0.1;

/** Most tokens of the base that are followed for an answer in a step. */
const mostFollowed = 16;

/** Most tokens of a small model that are looked at for an answer in a step, and one behind the other. */
const mostDecoded = 12;
const mostAhead = 6;

/** What is looked for in a step behind an answer's text. */
export class Search {
  readonly sequence: Sequence;
  readonly cursors: readonly TextCursor[];
  readonly begun: Begun;
  /** Tokens of small models in the answer before the root. */
  readonly numKept: number;
  readonly root = new Way();
  /** The way that ends where the text does. */
  readonly now: Way;
  /** Bytes of the base's tokens that are followed. */
  readonly wanted: string[] = [];
  /** Those on the way to `now`. */
  readonly #own: ReadonlySet<Way>;
  /** Of experts, with the ways from which what they find likely was followed. */
  readonly #experts: ReadonlyMap<TextCursor, Set<Way>>;
  readonly #logTexts = new Map<TextCursor, number>();
  readonly #mostDepth: number;
  /** By model, of all ways but the text's own. */
  readonly #rows: ReadonlyMap<number, Map<Way, { row: Row; held: HeldRow }>>;

  constructor(sequence: Sequence, cursors: readonly TextCursor[]) {
    const [{ reader, text, answer, written }] = cursors as [TextCursor];
    this.sequence = sequence;
    this.cursors = cursors;
    this.numKept = Math.max(0, answer.length - numReread);
    this.now = addWay(this.root, answer.slice(this.numKept), reader);
    this.#own = new Set(linesOf(this.now));
    const experts = new Set(sequence.run.active.map(({ model }) => model));
    this.#experts = new Map(
      cursors.filter(({ model }) => experts.has(model)).map((cursor) => [cursor, new Set<Way>()]),
    );
    const done = answer.slice(0, this.numKept).reduce((sum, token) => sum + reader.own.text(token).length, 0);
    this.begun = begunAt(text, written, { reader, done });
    this.#mostDepth = this.now.depth + Math.min(mostAhead, ...cursors.map(({ room }) => room));
    this.#rows = new Map(cursors.map(({ model }) => [model, new Map<Way, { row: Row; held: HeldRow }>()]));
    this.#followBase(reader, text, answer);
  }

  #followBase(reader: TextReader, text: string, answer: readonly Token[]): void {
    for (const token of likeliest(present(this.sequence.base.held, "row of the base"))) {
      const bytes = reader.base.text(token);
      if (bytes !== "") this.wanted.push(bytes);
      const way = bytes === "" ? [] : reader.ownIdsAfter(text + bytes, answer);
      // One that changes tokens of which no row is kept is left to what models find themselves.
      if (commonPrefix(way, answer) < this.numKept || this.#numLooked >= mostDecoded) continue;
      // The row after its last token tells nothing that is asked.
      const tokens = way.slice(this.numKept, -1);
      if (tokens.length <= this.#mostDepth) addWay(this.root, tokens, reader);
    }
  }

  /** Adds what experts find likely. */
  followExperts(): void {
    for (const [cursor, done] of this.#experts)
      addLikely(this.root, this.begun, {
        isBegun: (tokens) => cursor.reader.isBegun(tokens),
        ...{ reader: cursor.reader, logText: this.logText(cursor), share: followedShare, done },
        rowAfter: (way) => this.rowAfter(cursor, way),
        most: mostDecoded - this.#numLooked,
        mostDepth: this.#mostDepth,
      });
  }

  /** ln of the text's probability under a model, from the root on. */
  logText(cursor: TextCursor): number {
    const known =
      this.#logTexts.get(cursor) ??
      logTextOf(this.now, this.begun, {
        reader: cursor.reader,
        rowAfter: (way) => present(this.rowAfter(cursor, way), "row of a way"),
      });
    this.#logTexts.set(cursor, known);
    return known;
  }

  rowAfter(cursor: TextCursor, way: Way): Row | null {
    if (way.parent === null || this.#own.has(way))
      return cursor.rowAfter(cursor.numPrompt + this.numKept + way.depth);
    return this.#rows.get(cursor.model)?.get(way)?.row ?? null;
  }

  /** Keeps a row after a way. */
  learn(cursor: TextCursor, way: Way, row: { row: Row; held: HeldRow }): void {
    this.#rows.get(cursor.model)?.set(way, row);
  }

  /** Ways to an end of which some row is not there. */
  get open(): Way[] {
    const [known] = this.#rows.values();
    const isThere = (way: Way) => way.parent === null || this.#own.has(way) || known?.has(way) === true;
    return [...this.root.all()].filter((way) => way.children.size === 0 && !isThere(way));
  }

  release(): void {
    for (const rows of this.#rows.values()) for (const { held } of rows.values()) held.release();
  }

  /** Ways that are not the text's own. */
  get #numLooked(): number {
    return [...this.root.all()].length - this.#own.size - 1;
  }
}

/** The ways to one, without the root. */
export function linesOf(way: Way): Way[] {
  return way.parent === null ? [] : [...linesOf(way.parent), way];
}

/** Where the text goes on, and how the base has written it from the last of its boundaries before. */
function begunAt(
  text: string,
  written: readonly Token[],
  { reader, done }: { reader: TextReader; done: number },
): Begun {
  let [at, first] = [text.length, written.length];
  while (first > 0 && at > done) at -= reader.base.text(written[--first] ?? -1).length;
  return { rest: text.slice(done), since: text.slice(at, done), written: written.slice(first) };
}

/** The tokens that matter of a row of the base, best first. */
function likeliest(row: Float32Array): Token[] {
  let best = -Infinity;
  for (let token = 0; token < row.length; token++) best = Math.max(best, row[token] as number);
  const least = best + Math.log(followedShare);
  const tokens: Token[] = [];
  for (let token = 0; token < row.length; token++) if ((row[token] as number) >= least) tokens.push(token);
  return tokens.sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0)).slice(0, mostFollowed);
}
