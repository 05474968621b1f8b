import { fieldError } from "../errors.js";
import type { CompiledGrammar } from "./gbnf.js";
import { GrammarMachine } from "./machine.js";
import { longestToken, type TokenTable } from "./token-table.js";

/** Bytes to divide into tokens for one token, the whole vocabulary asked. */
const mostWork = 50_000;

/** Which tokens may follow in one answer. */
export interface TokenMask {
  /** The answer is all that may be. */
  readonly isComplete: boolean;
  /** @param room tokens that may still be drawn, this one included */
  allows(token: number, room: number): boolean;
  /**
   * The row with −Infinity where a token is not allowed; a view that is valid until the next call.
   *
   * @param room tokens that may still be drawn, this one included
   * @returns null when no token that has a probability is allowed.
   */
  apply(logits: Float32Array, room: number): Float32Array | null;
  /** Told of each token of the answer, in order. */
  accept(token: number): void;
}

/**
 * Where one answer stands in its grammar, and which tokens may follow. A token that would leave too few tokens to
 * end the text is not allowed, so that an answer never runs into its cap: as the cap comes near, the model is led
 * to the end. Where even the shortest text does not fit, the cap cuts the answer as it would without a grammar.
 */
export class GrammarMask implements TokenMask {
  readonly #machine: GrammarMachine;
  readonly #table: TokenTable;
  #position: number;
  /** Whether a whole text fits; null: not asked yet, as there is room to write one byte by byte. */
  #canEnd: boolean | null = null;
  /** Tokens that end the text within the cap; null: not needed yet. */
  #plan: number[] | null = null;
  /** Tokens that end a text, by position, for the token that is being chosen. */
  readonly #numTokensOf = new Map<number, number>();
  #work = 0;

  constructor(grammar: CompiledGrammar, table: TokenTable) {
    this.#machine = new GrammarMachine(grammar);
    this.#table = table;
    this.#position = this.#machine.start();
  }

  /** The answer is all that the grammar allows. */
  get isComplete(): boolean {
    return this.#machine.isComplete(this.#position);
  }

  /** A control token is no text, and never allowed. */
  allows(token: number, room: number): boolean {
    if (this.#table.isEnd(token)) return this.#machine.accepts(this.#position);
    const bytes = this.#table.bytes(token);
    const next = bytes.length === 0 ? -1 : this.#machine.follow(this.#position, bytes);
    return next >= 0 && this.#leavesRoom(token, next, room);
  }

  apply(logits: Float32Array, room: number): Float32Array | null {
    const { scratch, order, ends } = this.#table;
    const { tokens, common, starts, text } = order;
    this.#tidy(this.#position);
    scratch.fill(-Infinity);
    let numAllowed = 0;
    const positions = new Int32Array(order.longest + 1);
    positions[0] = this.#position;
    // Of the token that was looked at last: how many bytes have positions, and how many the next one shares.
    let numTaken = 0;
    let numShared = 0;
    let isCut = false;
    for (let index = 0; index < tokens.length; index++) {
      numShared = Math.min(numShared, common[index] as number);
      const token = tokens[index] as number;
      const logit = logits[token] ?? -Infinity;
      if (!(logit > -Infinity) || (isCut && numShared > numTaken)) continue;
      numTaken = Math.min(numTaken, numShared);
      const start = starts[index] as number;
      const length = (starts[index + 1] as number) - start;
      let position = positions[numTaken] as number;
      while (numTaken < length) {
        position = this.#machine.step(position, text[start + numTaken] as number);
        if (position < 0) break;
        positions[++numTaken] = position;
      }
      numShared = length;
      isCut = numTaken < length;
      if (isCut || !this.#leavesRoom(token, position, room)) continue;
      scratch[token] = logit;
      numAllowed++;
    }
    if (this.#machine.accepts(this.#position))
      for (const token of ends) {
        const logit = logits[token] ?? -Infinity;
        scratch[token] = logit;
        if (logit > -Infinity) numAllowed++;
      }
    return numAllowed === 0 ? null : scratch;
  }

  /** @throws ShouldersError `invalid_request` for a token that was given instead of drawn, and does not fit. */
  accept(token: number): void {
    if (this.#table.isEnd(token)) return;
    this.#plan = this.#plan?.[0] === token ? this.#plan.slice(1) : null;
    const next = this.#machine.follow(this.#position, this.#table.bytes(token));
    if (next < 0)
      throw fieldError("fusion.continue", "it is no beginning of what the request holds its answer to");
    this.#tidy(next);
  }

  #tidy(position: number): void {
    this.#work = 0;
    this.#numTokensOf.clear();
    this.#position = this.#machine.tidy(position);
  }

  /**
   * Each byte is a token at worst, so counting bytes is enough while there is much room; then tokens are counted.
   * What was allowed before can be ended: the plan, or one made anew, fits. So its first token always does.
   */
  #leavesRoom(token: number, next: number, room: number): boolean {
    if (this.#machine.shortest(next) < room) return true;
    this.#canEnd ??= this.#numTokens(this.#position, room) <= room;
    if (!this.#canEnd) return true;
    this.#plan ??= this.#table.write(this.#machine.shortestText(this.#position));
    return this.#plan[0] === token || this.#numTokens(next, room - 1) < room;
  }

  /** How many tokens end a text that stands here; bytes where those are far too many, or much was counted. */
  #numTokens(position: number, room: number): number {
    const known = this.#numTokensOf.get(position);
    if (known !== undefined) return known;
    const numBytes = this.#machine.shortest(position);
    if (numBytes > room * longestToken || this.#work > mostWork) return numBytes;
    this.#work += numBytes;
    const { length } = this.#table.write(this.#machine.shortestText(position));
    this.#numTokensOf.set(position, length);
    return length;
  }
}
