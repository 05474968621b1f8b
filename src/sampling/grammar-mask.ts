import type { Vocabulary } from "../llama/types.js";
import type { CompiledGrammar } from "./gbnf.js";
import { GrammarMachine } from "./grammar.js";

/** What a grammar needs to know of the tokens that a config's models share; made once. */
export class TokenTable {
  readonly size: number;
  readonly #bytes: Uint8Array[];
  readonly #ends: Uint8Array;
  /** For masked rows, of all sequences in turn. */
  readonly scratch: Float32Array;

  /** @param vocabularies of the config's models, the base's first: what ends an answer for one ends it. */
  constructor(vocabularies: readonly Vocabulary[], size: number) {
    const [base] = vocabularies as [Vocabulary];
    this.size = size;
    this.scratch = new Float32Array(size);
    this.#bytes = Array.from({ length: size }, (_, token) => base.bytes(token));
    this.#ends = Uint8Array.from({ length: size }, (_, token) =>
      vocabularies.some((vocabulary) => vocabulary.isEndOfGeneration(token)) ? 1 : 0,
    );
  }

  bytes(token: number): Uint8Array {
    return this.#bytes[token] as Uint8Array;
  }

  isEnd(token: number): boolean {
    return this.#ends[token] === 1;
  }
}

/** Where one answer stands in its grammar, and which tokens may follow. */
export class GrammarMask {
  readonly #machine: GrammarMachine;
  readonly #table: TokenTable;
  #state: number;

  constructor(grammar: CompiledGrammar, table: TokenTable) {
    this.#machine = new GrammarMachine(grammar);
    this.#table = table;
    this.#state = this.#machine.start();
  }

  /** The answer is all that the grammar allows. */
  get isComplete(): boolean {
    return this.#machine.isComplete(this.#state);
  }

  /** A control token is no text, and never allowed. */
  allows(token: number): boolean {
    if (this.#table.isEnd(token)) return this.#machine.accepts(this.#state);
    const bytes = this.#table.bytes(token);
    return bytes.length > 0 && this.#machine.follow(this.#state, bytes) >= 0;
  }

  /**
   * The row with −Infinity where the grammar does not allow a token; a view that is valid until the next call.
   *
   * @returns null when no token that has a probability is allowed.
   */
  apply(logits: Float32Array): Float32Array | null {
    const { scratch } = this.#table;
    let isEmpty = true;
    for (let token = 0; token < scratch.length; token++) {
      const logit = logits[token] ?? -Infinity;
      const isAllowed = logit > -Infinity && this.allows(token);
      scratch[token] = isAllowed ? logit : -Infinity;
      if (isAllowed) isEmpty = false;
    }
    return isEmpty ? null : scratch;
  }

  accept(token: number): void {
    if (this.#table.isEnd(token)) return;
    const next = this.#machine.follow(this.#state, this.#table.bytes(token));
    this.#state = this.#machine.tidy(next);
  }
}
