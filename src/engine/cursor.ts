import { present } from "../errors.js";
import type { CursorView } from "./scheduler.js";
import type { Draft } from "./draft.js";
import type { HeldRow } from "./held-rows.js";

/** One model's view of a sequence. Each model has tokens and positions of its own: prompts may differ. */
export class Cursor implements CursorView {
  readonly model: number;
  /** How many tokens are in the model's memory. */
  numDecoded = 0;
  readonly #prompt: readonly number[];
  readonly #drafts: readonly Draft[];
  readonly #feeds: ReadonlyMap<number, number>;
  /** Rows after its last token, after the first draft, and so on; null: one that nobody needs. */
  readonly #held: (HeldRow | null)[] = [];
  /** Made with the first token of the answer: until then answers to one prompt share it. */
  #tokens: number[] | null = null;

  /**
   * @param drafts what may come next in the sequence; it changes.
   * @param feeds what the model reads of tokens that are others to it.
   */
  constructor(
    model: number,
    promptTokens: readonly number[],
    drafts: readonly Draft[],
    feeds: ReadonlyMap<number, number> = new Map(),
  ) {
    this.model = model;
    this.#feeds = feeds;
    this.#prompt = promptTokens;
    this.#drafts = drafts;
  }

  /** The model's prompt and, after it, the answer so far. */
  get tokens(): readonly number[] {
    return this.#tokens ?? this.#prompt;
  }

  /** Adds a token to the answer: the first draft, where that was right, which is then taken off the drafts. */
  append(token: number): void {
    this.#tokens ??= [...this.#prompt];
    this.#tokens.push(this.#feeds.get(token) ?? token);
    if (this.#drafts[0]?.token === token) this.#held.shift()?.release();
    else this.drop();
  }

  /** Nothing more can be added. */
  get isFull(): boolean {
    return false;
  }

  /** The most cells that it can come to hold. The last token of an answer is never decoded. */
  mostCells(numGenerated: number, maxTokens: number): number {
    return this.tokens.length - numGenerated + maxTokens;
  }

  /** Its tokens, and then the drafts. */
  tokenAt(position: number): number {
    const { length } = this.tokens;
    if (position < length) return present(this.tokens[position], "token");
    const { token } = present(this.#drafts[position - length], "draft");
    return this.#feeds.get(token) ?? token;
  }

  /** Whether the row after a token is needed: a draft that is certain needs none before it. */
  isRowNeeded(position: number): boolean {
    return this.#drafts[position + 1 - this.tokens.length]?.isCertain !== true;
  }

  get numRemaining(): number {
    return this.tokens.length + this.#drafts.length - this.numDecoded;
  }

  get numTail(): number {
    return this.#drafts.length + 1 - this.#held.length;
  }

  /** Whether more is in the model's memory than its tokens, up to `numDecoded` of them. */
  get holdsMore(): boolean {
    return this.numDecoded > this.tokens.length;
  }

  /**
   * Takes back what was decoded of drafts that are none any more.
   * @returns whether there was any: positions from `numDecoded` on are to be removed.
   */
  takeBack(): boolean {
    // Of the last token of an answer nothing is decoded.
    const most = this.tokens.length - 1;
    const isAhead = this.numDecoded > most;
    if (isAhead) {
      this.numDecoded = most;
      this.drop();
    }
    return isAhead;
  }

  /** Takes back all from a position on. @returns whether there was any. */
  returnTo(position: number): boolean {
    const isAhead = this.numDecoded > position;
    this.numDecoded = Math.min(this.numDecoded, position);
    return isAhead;
  }

  /** How many rows are kept, from the one after its last token on. */
  get numHeld(): number {
    return this.#held.length;
  }

  /** The row after its last token, if it was kept; else the row is there only until the context's next decode. */
  get held(): Float32Array | null {
    return this.#held[0]?.values ?? null;
  }

  /** The row after its last token and so many drafts, if it was kept. */
  heldAt(numDrafts: number): Float32Array | null {
    return this.#held[numDrafts]?.values ?? null;
  }

  /** The row that was kept last. */
  get lastHeld(): Float32Array | null {
    return this.#held.at(-1)?.values ?? null;
  }

  /** Keeps the next row for a later step, or that it is not needed. */
  hold(row: HeldRow | null): void {
    this.#held.push(row);
  }

  /** Gives back the rows that are kept. */
  drop(): void {
    for (const row of this.#held.splice(0)) row?.release();
  }

  /** The sequence is over. */
  release(): void {
    this.drop();
  }

  /** Nothing of it is in the model's memory any more. */
  forget(): void {
    this.numDecoded = 0;
    this.drop();
  }
}
