import type { Vocabulary } from "../llama/types.js";
import { refuseGrammar, type CharacterClass, type CompiledGrammar } from "./gbnf.js";
import { GrammarMachine } from "./grammar.js";

/** What a grammar needs to know of the tokens that a config's models share; made once. */
export class TokenTable {
  readonly size: number;
  readonly #bytes: Uint8Array[];
  readonly #ends: Uint8Array;
  /** ASCII characters that are tokens. */
  readonly #ascii: number[];
  /** Every byte of a longer character is a token. */
  readonly #writesAll: boolean;
  /** For masked rows, of all sequences in turn. */
  readonly scratch: Float32Array;

  /** @param vocabularies of the config's models, the base's first: what ends an answer for one ends it. */
  constructor(vocabularies: readonly Vocabulary[], size: number) {
    const [base] = vocabularies as [Vocabulary];
    this.size = size;
    this.scratch = new Float32Array(size);
    this.#bytes = Array.from({ length: size }, (_, token) => base.bytes(token));
    const single = new Set(this.#bytes.flatMap((bytes) => (bytes.length === 1 ? [...bytes] : [])));
    this.#ascii = [...single].filter((byte) => byte < 0x80);
    // 0xC0, 0xC1 and those past 0xF4 are in no character.
    this.#writesAll = Array.from({ length: 0xf5 - 0x80 }, (_, index) => 0x80 + index).every(
      (byte) => single.has(byte) || byte === 0xc0 || byte === 0xc1,
    );
    this.#ends = Uint8Array.from({ length: size }, (_, token) =>
      vocabularies.some((vocabulary) => vocabulary.isEndOfGeneration(token)) ? 1 : 0,
    );
  }

  /** Whether some character of the class can be written, byte by byte if need be. */
  canWrite({ ranges, isNegated }: CharacterClass): boolean {
    if (this.#writesAll && (isNegated || ranges.some((range) => range[1] >= 0x80))) return true;
    return this.#ascii.some(
      (byte) => ranges.some(([low, high]) => low <= byte && byte <= high) !== isNegated,
    );
  }

  bytes(token: number): Uint8Array {
    return this.#bytes[token] as Uint8Array;
  }

  isEnd(token: number): boolean {
    return this.#ends[token] === 1;
  }
}

/**
 * The grammar without what these tokens cannot write: a small vocabulary may lack characters, and an answer that
 * came to a place where one is needed could not go on.
 *
 * @throws ShouldersError `invalid_request` when nothing is left.
 */
export function withoutUnwritable(grammar: CompiledGrammar, table: TokenTable): CompiledGrammar {
  const { elements, rules, root } = grammar;
  const live = new Uint8Array(rules.length);
  const canWrite = elements.map(
    (element) => element.type !== "characters" || table.canWrite(element.characters),
  );
  const isLive = (start: number): boolean => {
    for (let at = start; ; at++) {
      const element = elements[at];
      if (element === undefined || element.type === "end") return true;
      if (element.type === "rule" ? live[element.rule] === 0 : !canWrite[at]) return false;
    }
  };
  for (let hasChanged = true; hasChanged;) {
    hasChanged = false;
    rules.forEach((starts, rule) => {
      if (live[rule] === 1 || !starts.some(isLive)) return;
      live[rule] = 1;
      hasChanged = true;
    });
  }
  if (live[root] === 0) throw refuseGrammar("the models' vocabulary cannot write what it asks for");
  return { ...grammar, rules: rules.map((starts) => starts.filter(isLive)) };
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
    this.#state = this.#machine.tidy(this.#state);
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
