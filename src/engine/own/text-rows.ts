import { setImmediate } from "node:timers/promises";
import { invariant, present, ShouldersError } from "../../errors.js";
import type { ModelContext } from "../../llama/types.js";
import type { ReadySequence } from "../decode.js";
import { HeldRows } from "../held-rows.js";
import type { ModelSlot } from "../model-slot.js";
import { commonPrefix } from "../prefix.js";
import type { Sequence } from "../sequence.js";
import type { CellClaim, SequenceLease } from "../sequence-pool.js";
import { linesOf, Search } from "./search.js";
import { TextCursor } from "./text-cursor.js";
import { LawBuffers, lawOf } from "./text-law.js";
import { rowOf, type Way } from "./way.js";

/** Places in the models' memories for what is only looked at. */
export interface SparePlaces {
  /** null: all are taken. */
  borrow: (claims: readonly CellClaim[]) => SequenceLease | null;
  giveBack: (lease: SequenceLease) => void;
}

export interface TextRowsParts {
  slots: readonly ModelSlot[];
  /** By model. */
  heldRows: readonly HeldRows[];
  spare: SparePlaces;
  end: (sequence: Sequence, error: ShouldersError) => void;
}

/** What is decoded for a way in a model: the numbers of the rows that are not there yet. */
interface Look {
  search: Search;
  cursor: TextCursor;
  rows: Map<Way, number>;
}

/**
 * Makes rows of small models that read text in their own tokens rows over the base's. Where a token of the base is
 * several to them, they are asked about each, all answers and all ways at once as far as there are places.
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
    const searches = ready.flatMap(({ sequence }) => this.#guard(sequence, () => begin(sequence)) ?? []);
    for (let open = searches; open.length > 0;) {
      for (const search of open.filter(isRunning)) this.#guard(search.sequence, () => search.followExperts());
      open = open.filter((search) => isRunning(search) && search.open.length > 0);
      if (open.length > 0) await this.#decodeOpen(open, msOf);
    }
    for (const search of searches) {
      // One answer takes milliseconds: what comes meanwhile is heard.
      if (search !== searches[0]) await setImmediate();
      if (isRunning(search)) this.#guard(search.sequence, () => this.#finish(search));
      search.release();
    }
  }

  /** Decodes ways of each answer: one in its own place, more in places that nobody needs, as far as batches hold them. */
  async #decodeOpen(searches: readonly Search[], msOf: Map<number, number>): Promise<void> {
    const models = new Set(searches.flatMap(({ cursors }) => cursors.map(({ model }) => model)));
    for (const model of models) this.#context(model).batch.clear();
    const looks: Look[] = [];
    const leases: SequenceLease[] = [];
    for (const search of searches) {
      const [first, ...more] = search.open;
      if (first === undefined || !this.#fits(search, first)) continue;
      const taken = new Set<Way>();
      const look = (way: Way, sequenceId: number) => {
        for (const cursor of search.cursors)
          looks.push({ search, cursor, rows: this.#fill(search, cursor, { way, sequenceId, taken }) });
        for (const one of linesOf(way)) taken.add(one);
      };
      const own = present(search.sequence.lease, "lease").sequenceId;
      look(first, own);
      for (const way of more) {
        const lease = this.#fits(search, way) ? this.#parts.spare.borrow(claimsOf(search, way)) : null;
        if (lease === null) break;
        leases.push(lease);
        look(way, lease.sequenceId);
      }
    }
    invariant(looks.length > 0, "room for a way in the batches");
    const failed = await this.#decode(models, msOf);
    for (const lease of leases) this.#parts.spare.giveBack(lease);
    for (const { search, cursor, rows } of looks) {
      const error = failed.get(cursor.model);
      if (error !== undefined && search.sequence.lease !== null) this.#parts.end(search.sequence, error);
      if (error !== undefined) continue;
      for (const [way, row] of rows) {
        const held = this.#pool(cursor.model).copy(this.#context(cursor.model).logits(row));
        search.learn(cursor, way, { row: rowOf(held.values), held });
      }
    }
  }

  async #decode(models: Iterable<number>, msOf: Map<number, number>): Promise<Map<number, ShouldersError>> {
    const failed = new Map<number, ShouldersError>();
    for (const model of models) {
      const startMs = performance.now();
      const { batch } = this.#context(model);
      if (batch.numTokens > 0)
        await this.#context(model)
          .decode()
          .catch((error: unknown) => failed.set(model, ShouldersError.from(error)));
      msOf.set(model, (msOf.get(model) ?? 0) + performance.now() - startMs);
    }
    return failed;
  }

  #fits(search: Search, way: Way): boolean {
    return search.cursors.every((cursor) => {
      const { batch } = this.#context(cursor.model);
      const numTokens = way.depth - firstAnew(search, cursor, way);
      return batch.numTokens + numTokens <= batch.capacity && batch.numRows + numTokens <= batch.maxRows;
    });
  }

  /** Puts the tokens of a way that are not in a model's memory into its batch. @returns the numbers of their rows */
  #fill(
    search: Search,
    cursor: TextCursor,
    { way, sequenceId, taken }: { way: Way; sequenceId: number; taken: ReadonlySet<Way> },
  ): Map<Way, number> {
    const context = this.#context(cursor.model);
    const own = present(search.sequence.lease, "lease").sequenceId;
    const start = cursor.numPrompt + search.numKept;
    const first = firstAnew(search, cursor, way);
    if (sequenceId === own) {
      context.removePositions(own, start + first, null);
      cursor.lookFrom(start + first);
      cursor.hasLooked();
    } else context.copyPrefix(own, sequenceId, start + first);
    const rows = new Map<Way, number>();
    for (const one of linesOf(way).slice(first)) {
      const isWanted = !taken.has(one) && search.rowAfter(cursor, one) === null;
      const row = context.batch.add(one.token, start + one.depth - 1, sequenceId, isWanted);
      if (isWanted) rows.set(one, row);
    }
    return rows;
  }

  #finish(search: Search): void {
    const { root, begun, cursors, wanted } = search;
    for (const cursor of cursors) {
      const { reader } = cursor;
      if (this.#buffers?.row.length !== reader.baseSize) this.#buffers = new LawBuffers(reader.baseSize);
      const { row, unread } = lawOf(root, begun, {
        ...{ reader, logText: search.logText(cursor), wanted, buffers: this.#buffers },
        rowAfter: (way) => present(search.rowAfter(cursor, way), "row of a way"),
      });
      cursor.unread = unread;
      cursor.hold(this.#laws.copy(row));
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

/** It has not ended meanwhile, and somebody waits for it. */
const isRunning = ({ sequence }: Search): boolean => sequence.lease !== null && !sequence.isCancelled;

function begin(sequence: Sequence): Search | null {
  const cursors = sequence.cursors.filter((cursor) => cursor instanceof TextCursor);
  return cursors.length === 0 ? null : new Search(sequence, cursors);
}

/** How many tokens of a way are in the model's memory. */
function firstAnew({ numKept }: Search, cursor: TextCursor, way: Way): number {
  const start = cursor.numPrompt + numKept;
  return Math.min(commonPrefix(way.tokens, cursor.tokens.slice(start)), cursor.numDecoded - start);
}

function claimsOf(search: Search, way: Way): CellClaim[] {
  return search.cursors.map((cursor) => ({
    model: cursor.model,
    numCells: way.depth - firstAnew(search, cursor, way),
  }));
}
