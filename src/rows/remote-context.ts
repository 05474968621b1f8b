import { invariant, present, ShouldersError } from "../errors.js";
import type { RowRest } from "../fusion/types.js";
import type { Batch, ModelContext, Token } from "../llama/types.js";
import { fillRow } from "./partial-row.js";
import type { RowReply, RowServer, RowWish } from "./types.js";

export interface RemoteContextOptions {
  vocabularySize: number;
  /** What sequences may hold together: it is claimed as cells of a context here are. */
  numCells: number;
  /** Most tokens of a batch. */
  batchTokens: number;
  /** What is asked of rows of which nobody says more. */
  wish: RowWish;
}

interface Entry {
  token: Token;
  position: number;
  sequenceId: number;
  /** −1: none is wanted. */
  row: number;
}

/** A batch that is read by another server. */
class RemoteBatch implements Batch {
  readonly capacity: number;
  readonly maxRows: number;
  readonly entries: Entry[] = [];
  /** Row number to what is asked of it. */
  readonly wishes = new Map<number, RowWish>();
  readonly #lengthOf: (sequenceId: number) => number;
  /** Sequence to its tokens in this batch. */
  readonly #added = new Map<number, number>();
  #nextRow = 0;
  #numRows = 0;

  constructor(capacity: number, lengthOf: (sequenceId: number) => number) {
    this.capacity = this.maxRows = capacity;
    this.#lengthOf = lengthOf;
  }

  get numTokens(): number {
    return this.entries.length;
  }

  get numRows(): number {
    return this.#numRows;
  }

  clear(): void {
    this.entries.length = 0;
    this.wishes.clear();
    this.#added.clear();
    this.#numRows = 0;
  }

  add(token: Token, position: number, sequenceId: number, wantsRow: boolean): number {
    invariant(this.entries.length < this.capacity, `the batch holds ${this.capacity} tokens`);
    const numAdded = this.#added.get(sequenceId) ?? 0;
    const next = this.#lengthOf(sequenceId) + numAdded;
    invariant(position === next, `position ${position} of sequence ${sequenceId}, which has ${next} tokens`);
    this.#added.set(sequenceId, numAdded + 1);
    const row = wantsRow ? this.#nextRow++ : -1;
    if (wantsRow) this.#numRows++;
    this.entries.push({ token, position, sequenceId, row });
    return row;
  }
}

interface RemoteRow {
  values: Float32Array;
  rest: RowRest | null;
}

/**
 * The base's context where another server has it. The server is told whole sequences, so that it may forget them: this
 * context knows what each of them holds, as a local one does.
 */
export class RemoteContext implements ModelContext {
  readonly batch: RemoteBatch;
  readonly numCells: number;
  readonly memoryBytes = 0;
  readonly server: RowServer;
  /** Sequences that the last decode failed for, while others went on. */
  readonly failures = new Map<number, ShouldersError>();
  readonly #options: RemoteContextOptions;
  readonly #tokens = new Map<number, Token[]>();
  /** Rows of the last decode, by their numbers. */
  readonly #rows = new Map<number, RemoteRow>();
  /** Buffers for rows that are filled in; those of the last decode are written over by the next. */
  readonly #buffers: Float32Array[] = [];
  #isDecoding = false;

  constructor(server: RowServer, options: RemoteContextOptions) {
    this.server = server;
    this.#options = options;
    this.numCells = options.numCells;
    this.batch = new RemoteBatch(options.batchTokens, (sequenceId) => this.#held(sequenceId).length);
  }

  /** What is asked of rows unless a wish says otherwise. */
  get usualWish(): RowWish {
    return this.#options.wish;
  }

  /** Asks for more, or for other entries, of a row that was added to the batch. */
  wish(row: number, wish: RowWish): void {
    this.batch.wishes.set(row, wish);
  }

  /** Never throws: what fails, fails for its sequence, which `failures` names. */
  async decode(): Promise<void> {
    invariant(!this.#isDecoding, `${this.server.name} is asked while it answers`);
    this.#isDecoding = true;
    this.#rows.clear();
    this.failures.clear();
    try {
      await this.#decode();
    } finally {
      this.#isDecoding = false;
    }
  }

  async #decode(): Promise<void> {
    const bySequence = new Map<number, Entry[]>();
    for (const entry of this.batch.entries) {
      const entries = bySequence.get(entry.sequenceId) ?? [];
      bySequence.set(entry.sequenceId, entries);
      entries.push(entry);
    }
    const wanted = [...bySequence].map(([sequenceId, entries]) => ({
      sequenceId,
      tokens: [...this.#held(sequenceId), ...entries.map(({ token }) => token)],
      rows: entries
        .filter(({ row }) => row >= 0)
        .map(({ position, row }) => ({ position, wish: this.batch.wishes.get(row) ?? this.usualWish })),
    }));
    const replies = await this.server.fetch(wanted);
    wanted.forEach(({ sequenceId, tokens }, index) => {
      const reply = present(replies[index], "reply");
      if (reply instanceof ShouldersError) {
        this.failures.set(sequenceId, reply);
        return;
      }
      this.#tokens.set(sequenceId, tokens);
      const rows = (bySequence.get(sequenceId) ?? []).filter(({ row }) => row >= 0);
      rows.forEach(({ row }, at) => this.#rows.set(row, this.#toRow(present(reply[at], "row"))));
    });
  }

  #toRow(reply: RowReply): RemoteRow {
    if (reply instanceof Float32Array) return { values: reply, rest: null };
    const index = this.#rows.size;
    const values = (this.#buffers[index] ??= new Float32Array(this.#options.vocabularySize));
    return { values, rest: fillRow(values, reply) };
  }

  logits(row: number): Float32Array {
    return this.#row(row).values;
  }

  /** What is known of a row of the last decode; null: all is. */
  restOf(row: number): RowRest | null {
    return this.#row(row).rest;
  }

  #row(row: number): RemoteRow {
    return present(this.#rows.get(row), `row ${row} of ${this.server.name}`);
  }

  #held(sequenceId: number): readonly Token[] {
    return this.#tokens.get(sequenceId) ?? [];
  }

  setThreads(): void {
    // They are the server's.
  }

  removePositions(sequenceId: number, from: number, to: number | null): void {
    const held = this.#held(sequenceId);
    invariant(to === null || to >= held.length, "only the end of a sequence can be removed");
    if (from >= held.length) return;
    if (from === 0) this.#tokens.delete(sequenceId);
    else this.#tokens.set(sequenceId, held.slice(0, from));
    this.server.cut(sequenceId, from);
  }

  takeBack(sequenceId: number, from: number): boolean {
    this.removePositions(sequenceId, from, null);
    return true;
  }

  copyPrefix(from: number, to: number, length: number): void {
    invariant(this.#held(to).length === 0, `sequence ${to} must be empty before it gets a prefix`);
    if (length === 0) return;
    this.#tokens.set(to, this.#held(from).slice(0, length));
    this.server.copyPrefix(from, to, length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}
