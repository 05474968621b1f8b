import type { ModelContext, Token } from "../../llama/types.js";
import { Cursor } from "../cursor.js";
import type { HeldRow, HeldRows } from "../held-rows.js";
import { commonPrefix } from "../prefix.js";
import { numReread, type Row, rowOf } from "./way.js";
import type { TextReader } from "./text-reader.js";

interface KeptRow {
  row: Row;
  held: HeldRow;
}

/**
 * A small model's view of a sequence whose tokens are the base's: it reads the text in its own. Its last tokens change as
 * the text grows. The rows after them are kept; what is decoded for a look ahead is taken back.
 */
export class TextCursor extends Cursor {
  readonly reader: TextReader;
  /** Tokens of its own that an answer begins after. */
  readonly numPrompt: number;
  /** Of its law for the next token the share that was not read. */
  unread = 0;
  readonly #mostTokens: number;
  #own: readonly Token[];
  /** Bytes of the answer so far, and how the base has written them. */
  #text = "";
  #written: Token[] = [];
  /** By position of the token before. */
  readonly #rows = new Map<number, KeptRow>();
  /** Its memory has positions from `numDecoded` on. */
  #isAhead = false;

  /** @param mostTokens that it may hold */
  constructor(model: number, prompt: readonly Token[], reader: TextReader, mostTokens: number) {
    super(model, prompt, []);
    this.reader = reader;
    this.numPrompt = prompt.length;
    this.#mostTokens = mostTokens;
    this.#own = prompt;
  }

  override get tokens(): readonly Token[] {
    return this.#own;
  }

  get text(): string {
    return this.#text;
  }

  /** The base's tokens that the text is of. */
  get written(): readonly Token[] {
    return this.#written;
  }

  /** Its own tokens of the answer. */
  get answer(): readonly Token[] {
    return this.#own.slice(this.numPrompt);
  }

  /** Tokens that it may still decode. */
  get room(): number {
    return this.#mostTokens - this.#own.length;
  }

  override get isFull(): boolean {
    return this.room <= 0;
  }

  override mostCells(): number {
    return this.#mostTokens;
  }

  /** A token of the base's. */
  override append(token: Token): void {
    this.drop();
    const bytes = this.reader.base.text(token);
    if (bytes === "") return;
    this.#text += bytes;
    this.#written.push(token);
    const { answer } = this;
    const own = [...this.#own.slice(0, this.numPrompt), ...this.reader.ownIdsAfter(this.#text, answer)];
    const numSame = commonPrefix(this.#own, own);
    this.#own = own;
    for (const [position, { held }] of this.#rows) {
      if (position < numSame && position >= this.#firstRow) continue;
      held.release();
      this.#rows.delete(position);
    }
    // Where tokens have become fewer, rows are asked for that were let go.
    this.lookFrom(Math.min(numSame, own.length - this.numTail));
  }

  override tokenAt(position: number): Token {
    return this.#own[position] ?? 0;
  }

  override get numRemaining(): number {
    return this.#own.length - this.numDecoded;
  }

  /** From the first of the last tokens whose row is not there. */
  override get numTail(): number {
    let position = this.#firstRow;
    while (this.#rows.has(position)) position++;
    return this.#own.length - position;
  }

  override isRowNeeded(position: number): boolean {
    return !this.#rows.has(position);
  }

  get #firstRow(): number {
    return Math.max(this.numPrompt - 1, this.#own.length - 1 - numReread);
  }

  /** Something else than its tokens is decoded from a position on, or will have to be. */
  lookFrom(position: number): void {
    this.#isAhead ||= this.numDecoded > position;
    this.numDecoded = Math.min(this.numDecoded, position);
  }

  /** Tokens were decoded behind `numDecoded` that are not its own. */
  hasLooked(): void {
    this.#isAhead = true;
  }

  /** What was decoded for a look ahead that was left. */
  override get holdsMore(): boolean {
    return this.#isAhead;
  }

  override takeBack(): boolean {
    const isAhead = this.#isAhead;
    this.#isAhead = false;
    return isAhead;
  }

  /** Keeps the rows after its last tokens. @param rows their numbers; −1: not decoded */
  keep(rows: readonly number[], context: ModelContext, pool: HeldRows): void {
    rows.forEach((number, index) => {
      const position = this.#own.length - rows.length + index;
      if (number < 0 || this.#rows.has(position)) return;
      const held = pool.copy(context.logits(number));
      this.#rows.set(position, { row: rowOf(held.values), held });
    });
  }

  /** After so many of its tokens; null: it is not kept. */
  rowAfter(numTokens: number): Row | null {
    return this.#rows.get(numTokens - 1)?.row ?? null;
  }

  override forget(): void {
    super.forget();
    this.#isAhead = false;
    this.#dropRows();
  }

  override release(): void {
    super.release();
    this.#dropRows();
  }

  #dropRows(): void {
    for (const { held } of this.#rows.values()) held.release();
    this.#rows.clear();
  }
}
