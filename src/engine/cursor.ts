import type { CursorView } from "./scheduler.js";

/** One model's view of a sequence. Each model has tokens and positions of its own: prompts may differ. */
export class Cursor implements CursorView {
  readonly model: number;
  /** How many tokens are in the model's memory. */
  numDecoded = 0;
  readonly #prompt: readonly number[];
  readonly #drafts: readonly number[];
  /** A copy of the row after its last token, as long as the next token is not known. */
  #held: Float32Array | null = null;
  #heldBuffer = new Float32Array(0);
  /** Made with the first token of the answer: until then answers to one prompt share it. */
  #tokens: number[] | null = null;

  /** @param drafts what the sequence guesses to come next; it changes. */
  constructor(model: number, promptTokens: readonly number[], drafts: readonly number[]) {
    this.model = model;
    this.#prompt = promptTokens;
    this.#drafts = drafts;
  }

  /** The model's prompt and, after it, the answer so far. */
  get tokens(): readonly number[] {
    return this.#tokens ?? this.#prompt;
  }

  append(token: number): void {
    this.#tokens ??= [...this.#prompt];
    this.#tokens.push(token);
    this.#held = null;
  }

  /** Its tokens, and then the drafts. */
  tokenAt(position: number): number {
    const { length } = this.tokens;
    return (position < length ? this.tokens[position] : this.#drafts[position - length]) as number;
  }

  get numRemaining(): number {
    return this.tokens.length + this.#drafts.length - this.numDecoded;
  }

  get numTail(): number {
    return this.#drafts.length + (this.#held === null ? 1 : 0);
  }

  /**
   * Takes back what was decoded of drafts that are none any more.
   * @returns whether there was any: positions from `numDecoded` on are to be removed.
   */
  takeBack(): boolean {
    // Of the last token of an answer nothing is decoded.
    const most = this.tokens.length - 1;
    const isAhead = this.numDecoded > most;
    if (isAhead) this.numDecoded = most;
    return isAhead;
  }

  /** The row after its last token, if it was kept; else the row is there only until the context's next decode. */
  get held(): Float32Array | null {
    return this.#held;
  }

  /** Keeps the row after its last token for a later step. */
  hold(row: Float32Array): void {
    if (this.#heldBuffer.length !== row.length) this.#heldBuffer = new Float32Array(row.length);
    this.#heldBuffer.set(row);
    this.#held = this.#heldBuffer;
  }

  /** Nothing of it is in the model's memory any more. */
  forget(): void {
    this.numDecoded = 0;
    this.#held = null;
  }
}
