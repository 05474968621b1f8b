import { fieldError } from "../errors.js";
import type { CompiledGrammar } from "./gbnf.js";
import { GrammarMachine } from "./machine.js";
import { longestToken, type TokenTable } from "./token-table.js";

/** Bytes to divide into tokens for one token, the whole vocabulary asked. */
const mostWork = 50_000;

/**
 * Where one answer stands in its grammar, and which tokens may follow. A token that would leave too few tokens to
 * end the text is not allowed, so that an answer never runs into its cap: as the cap comes near, the model is led
 * to the end. Where even the shortest text does not fit, the cap cuts the answer as it would without a grammar.
 */
export class GrammarMask {
  readonly #machine: GrammarMachine;
  readonly #table: TokenTable;
  #state: number;
  /** Whether a whole text fits; null: not asked yet, as there is room to write one byte by byte. */
  #canEnd: boolean | null = null;
  /** Tokens that end the text within the cap; null: not needed yet. */
  #plan: number[] | null = null;
  /** Tokens that end a text, by state, for the token that is being chosen. */
  readonly #numTokensOf = new Map<number, number>();
  #work = 0;

  constructor(grammar: CompiledGrammar, table: TokenTable) {
    this.#machine = new GrammarMachine(grammar);
    this.#table = table;
    this.#state = this.#machine.start();
  }

  /** The answer is all that the grammar allows. */
  get isComplete(): boolean {
    return this.#machine.isComplete(this.#state);
  }

  /**
   * A control token is no text, and never allowed.
   *
   * @param room tokens that may still be drawn, this one included
   */
  allows(token: number, room: number): boolean {
    if (this.#table.isEnd(token)) return this.#machine.accepts(this.#state);
    const bytes = this.#table.bytes(token);
    const next = bytes.length === 0 ? -1 : this.#machine.follow(this.#state, bytes);
    return next >= 0 && this.#leavesRoom(token, next, room);
  }

  /**
   * The row with −Infinity where the grammar does not allow a token; a view that is valid until the next call.
   *
   * @param room tokens that may still be drawn, this one included
   * @returns null when no token that has a probability is allowed.
   */
  apply(logits: Float32Array, room: number): Float32Array | null {
    const { scratch } = this.#table;
    this.#tidy(this.#state);
    let isEmpty = true;
    for (let token = 0; token < scratch.length; token++) {
      const logit = logits[token] ?? -Infinity;
      const isAllowed = logit > -Infinity && this.allows(token, room);
      scratch[token] = isAllowed ? logit : -Infinity;
      if (isAllowed) isEmpty = false;
    }
    return isEmpty ? null : scratch;
  }

  /** @throws ShouldersError `invalid_request` for a token that was given instead of drawn, and does not fit. */
  accept(token: number): void {
    if (this.#table.isEnd(token)) return;
    this.#plan = this.#plan?.[0] === token ? this.#plan.slice(1) : null;
    const next = this.#machine.follow(this.#state, this.#table.bytes(token));
    if (next < 0)
      throw fieldError("fusion.continue", "it is no beginning of what the request holds its answer to");
    this.#tidy(next);
  }

  #tidy(state: number): void {
    this.#work = 0;
    this.#numTokensOf.clear();
    this.#state = this.#machine.tidy(state);
  }

  /**
   * Each byte is a token at worst, so counting bytes is enough while there is much room; then tokens are counted.
   * What was allowed before can be ended: the plan, or one made anew, fits. So its first token always does.
   */
  #leavesRoom(token: number, next: number, room: number): boolean {
    if (this.#machine.shortest(next) < room) return true;
    this.#canEnd ??= this.#numTokens(this.#state, room) <= room;
    if (!this.#canEnd) return true;
    this.#plan ??= this.#table.write(this.#machine.shortestText(this.#state));
    return this.#plan[0] === token || this.#numTokens(next, room - 1) < room;
  }

  /** How many tokens end a text that stands here; bytes where those are far too many, or much was counted. */
  #numTokens(state: number, room: number): number {
    const known = this.#numTokensOf.get(state);
    if (known !== undefined) return known;
    const numBytes = this.#machine.shortest(state);
    if (numBytes > room * longestToken || this.#work > mostWork) return numBytes;
    this.#work += numBytes;
    const { length } = this.#table.write(this.#machine.shortestText(state));
    this.#numTokensOf.set(state, length);
    return length;
  }
}
