import { invariant, present, ShouldersError } from "../../errors.js";
import type { ModelContext, Token } from "../../llama/types.js";
import type { ReadySequence } from "../decode.js";
import { type HeldRow, HeldRows } from "../held-rows.js";
import type { ModelSlot } from "../model-slot.js";
import { commonPrefix } from "../prefix.js";
import type { Sequence } from "../sequence.js";
import { TextCursor } from "./text-cursor.js";
import {
  addLikely,
  addWay,
  type Begun,
  LawBuffers,
  lawOf,
  numReread,
  type Row,
  rowOf,
  Way,
} from "./text-law.js";
import type { TextReader } from "./text-reader.js";

/** Tokens with this share of the best one's probability, to the base or to an expert, are followed to their ends. */
const followedShare = 0.1;

/** Most tokens of the base that are followed for an answer in a step. */
const mostFollowed = 16;

/** Most tokens of a small model that are looked at for an answer in a step, and one behind the other. */
const mostDecoded = 12;
const mostAhead = 6;

export interface TextRowsParts {
  slots: readonly ModelSlot[];
  /** By model. */
  heldRows: readonly HeldRows[];
  end: (sequence: Sequence, error: ShouldersError) => void;
}

/** What is looked for in a step behind an answer's text. */
interface Search {
  sequence: Sequence;
  cursors: readonly TextCursor[];
  /** Those of experts. */
  experts: readonly TextCursor[];
  begun: Begun;
  /** Tokens of small models in the answer before the root. */
  numKept: number;
  root: Way;
  /** The way that ends where the text does. */
  now: Way;
  /** Those on the way to it. */
  own: ReadonlySet<Way>;
  /** Tokens for which every model has room. */
  room: number;
  /** By model, of all other ways. */
  rows: Map<number, Map<Way, { row: Row; held: HeldRow }>>;
}

/**
 * Makes rows of small models that read text in their own tokens rows over the base's. Where a token of the base is
 * several to them, they are asked about each, all answers at once.
 */
export class TextRows {
  readonly #parts: TextRowsParts;
  /** Of rows over the base's tokens. */
  readonly #laws = new HeldRows();
  #buffers: LawBuffers | null = null;

  constructor(parts: TextRowsParts) {
    this.#parts = parts;
  }

  /** Keeps the rows of the last decode, which later ones write over. */
  keep({ sequence, rowsOf }: ReadySequence): void {
    for (const cursor of sequence.cursors) {
      const rows = rowsOf.get(cursor.model) ?? [];
      const pool = this.#pool(cursor.model);
      if (cursor instanceof TextCursor) cursor.keep(rows, this.#context(cursor.model), pool);
      else
        for (const row of rows.slice(-1))
          cursor.hold(
            pool.copy(this.#context(cursor.model).logits(row).subarray(0, sequence.config.vocabularySize)),
          );
    }
  }

  /**
   * Gives the cursors of small models the rows after the answers' last tokens.
   *
   * @param msOf model index to ms of its decodes, to which those here are added
   */
  async carry(ready: readonly ReadySequence[], msOf: Map<number, number>): Promise<void> {
    const searches = ready.flatMap(
      ({ sequence }) => this.#guard(sequence, () => this.#begin(sequence)) ?? [],
    );
    let open = searches;
    while (open.length > 0) {
      open = open.filter((search) => this.#isOpen(search));
      if (open.length > 0) await this.#decodeNext(open, msOf);
    }
    for (const search of searches) {
      if (search.sequence.lease !== null) this.#guard(search.sequence, () => this.#finish(search));
      for (const rows of search.rows.values()) for (const { held } of rows.values()) held.release();
    }
  }

  #begin(sequence: Sequence): Search | null {
    const cursors = sequence.cursors.filter((cursor) => cursor instanceof TextCursor);
    const [first] = cursors;
    if (first === undefined) return null;
    const { reader, text, answer, written } = first;
    const numKept = Math.max(0, answer.length - numReread);
    const root = new Way();
    const now = addWay(root, answer.slice(numKept), reader);
    const experts = new Set(sequence.run.active.map(({ model }) => model));
    const search: Search = {
      ...{ sequence, cursors, numKept, root, now },
      experts: cursors.filter(({ model }) => experts.has(model)),
      begun: begunAt(text, written, { reader, done: lengthOf(reader, answer.slice(0, numKept)) }),
      own: new Set(linesOf(now)),
      room: Math.min(...cursors.map(({ room }) => room)),
      rows: new Map(cursors.map(({ model }) => [model, new Map<Way, { row: Row; held: HeldRow }>()])),
    };
    for (const token of likeliest(present(sequence.base.held, "row of the base"))) {
      const bytes = reader.base.text(token);
      const way = bytes === "" ? [] : reader.ownIdsAfter(text + bytes, answer);
      // One that changes tokens of which no row is kept is left to what models find themselves.
      if (commonPrefix(way, answer) < numKept) continue;
      // The row after its last token tells nothing that is asked.
      const tokens = way.slice(numKept, -1);
      if (tokens.length <= mostDepthOf(search)) addWay(root, tokens, reader);
      if (numLooked(search) >= mostDecoded) break;
    }
    return search;
  }

  /** Adds what experts find likely. @returns whether there are ways whose rows are not there */
  #isOpen(search: Search): boolean {
    const { sequence, root, begun, experts } = search;
    if (sequence.lease === null) return false;
    for (const cursor of experts)
      addLikely(root, begun, {
        reader: cursor.reader,
        share: followedShare,
        rowAfter: (way) => rowAfter(search, cursor, way),
        most: mostDecoded - numLooked(search),
        mostDepth: mostDepthOf(search),
      });
    return nextOf(search) !== null;
  }

  /** Decodes a way of each answer, of as many as there is room for. */
  async #decodeNext(searches: readonly Search[], msOf: Map<number, number>): Promise<void> {
    const models = new Set(searches.flatMap(({ cursors }) => cursors.map(({ model }) => model)));
    for (const model of models) this.#context(model).batch.clear();
    const taken: { search: Search; cursor: TextCursor; rows: Map<Way, number> }[] = [];
    for (const search of searches) {
      const way = nextOf(search);
      if (way === null || !search.cursors.every((cursor) => this.#fits(search, cursor, way))) continue;
      for (const cursor of search.cursors)
        taken.push({ search, cursor, rows: this.#fill(search, cursor, way) });
    }
    invariant(taken.length > 0, "room for a way in the batches");
    const failed = new Map<number, ShouldersError>();
    for (const model of new Set(taken.map(({ cursor }) => cursor.model))) {
      const startMs = performance.now();
      await this.#context(model)
        .decode()
        .catch((error: unknown) => failed.set(model, ShouldersError.from(error)));
      msOf.set(model, (msOf.get(model) ?? 0) + performance.now() - startMs);
    }
    for (const { search, cursor, rows } of taken) {
      const error = failed.get(cursor.model);
      if (error !== undefined && search.sequence.lease !== null) this.#parts.end(search.sequence, error);
      if (error !== undefined) continue;
      for (const [way, row] of rows) {
        const held = this.#pool(cursor.model).copy(this.#context(cursor.model).logits(row));
        search.rows.get(cursor.model)?.set(way, { row: rowOf(held.values), held });
      }
    }
  }

  #fits(search: Search, cursor: TextCursor, way: Way): boolean {
    const { batch } = this.#context(cursor.model);
    const numTokens = way.depth - firstAnew(search, cursor, way);
    return batch.numTokens + numTokens <= batch.capacity && batch.numRows + numTokens <= batch.maxRows;
  }

  /** Puts the tokens of a way that are not in a model's memory into its batch. @returns the numbers of their rows */
  #fill(search: Search, cursor: TextCursor, way: Way): Map<Way, number> {
    const context = this.#context(cursor.model);
    const sequenceId = present(search.sequence.lease, "lease").sequenceId;
    const first = firstAnew(search, cursor, way);
    const start = cursor.numPrompt + search.numKept;
    context.removePositions(sequenceId, start + first, null);
    cursor.lookFrom(start + first);
    cursor.hasLooked();
    const rows = new Map<Way, number>();
    for (const one of linesOf(way).slice(first)) {
      const isWanted = rowAfter(search, cursor, one) === null;
      const row = context.batch.add(one.token, start + one.depth - 1, sequenceId, isWanted);
      if (isWanted) rows.set(one, row);
    }
    return rows;
  }

  #finish(search: Search): void {
    const { root, now, begun, cursors } = search;
    for (const cursor of cursors) {
      const { reader } = cursor;
      if (this.#buffers?.row.length !== reader.baseSize) this.#buffers = new LawBuffers(reader.baseSize);
      const law = lawOf(root, begun, {
        ...{ reader, now, buffers: this.#buffers },
        rowAfter: (way) => present(rowAfter(search, cursor, way), "row of a way"),
      });
      cursor.hold(this.#laws.copy(law));
    }
  }

  /** What goes wrong with a sequence ends it, and nobody else. */
  #guard<Result>(sequence: Sequence, work: () => Result): Result | null {
    try {
      return work();
    } catch (error) {
      this.#parts.end(sequence, ShouldersError.from(error));
      return null;
    }
  }

  #context(model: number): ModelContext {
    return present(this.#parts.slots[model], "slot").context;
  }

  #pool(model: number): HeldRows {
    return present(this.#parts.heldRows[model], "held rows");
  }
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

function lengthOf({ own }: TextReader, tokens: readonly Token[]): number {
  return tokens.reduce((sum, token) => sum + own.text(token).length, 0);
}

/** The tokens that matter of a row of the base, best first. */
function likeliest(row: Float32Array): Token[] {
  let best = -Infinity;
  for (const logit of row) if (logit > best) best = logit;
  const least = best + Math.log(followedShare);
  const tokens: Token[] = [];
  for (let token = 0; token < row.length; token++) if ((row[token] ?? -Infinity) >= least) tokens.push(token);
  return tokens.sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0)).slice(0, mostFollowed);
}

/** The ways to one, without the root. */
function linesOf(way: Way): Way[] {
  return way.parent === null ? [] : [...linesOf(way.parent), way];
}

function rowAfter({ own, numKept, rows }: Search, cursor: TextCursor, way: Way): Row | null {
  if (way.parent === null || own.has(way)) return cursor.rowAfter(cursor.numPrompt + numKept + way.depth);
  return rows.get(cursor.model)?.get(way)?.row ?? null;
}

/** A way to an end, of which some row is not there; null: all are. */
function nextOf({ root, own, rows }: Search): Way | null {
  const [known] = rows.values();
  const isThere = (way: Way) => way.parent === null || own.has(way) || known?.has(way) === true;
  for (const way of root.all()) {
    if (isThere(way)) continue;
    let end = way;
    for (let [child] = end.children.values(); child !== undefined; [child] = end.children.values())
      end = child;
    return end;
  }
  return null;
}

/** How many tokens of a way are in the model's memory. */
function firstAnew({ numKept }: Search, cursor: TextCursor, way: Way): number {
  const start = cursor.numPrompt + numKept;
  return Math.min(commonPrefix(way.tokens, cursor.tokens.slice(start)), cursor.numDecoded - start);
}

/** Ways that are not the text's own. */
function numLooked({ root, own }: Search): number {
  return [...root.all()].length - own.size - 1;
}

function mostDepthOf({ now, room }: Search): number {
  return now.depth + Math.min(mostAhead, room);
}
