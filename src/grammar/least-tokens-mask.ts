import type { TokenMask } from "./grammar-mask.js";
import type { TokenTable } from "./token-table.js";

/**
 * Lets no token end the answer before it has so many tokens. Where a grammar allows nothing but an end, it decides.
 */
export class LeastTokensMask implements TokenMask {
  readonly #grammar: TokenMask | null;
  readonly #table: TokenTable;
  readonly #ends: ReadonlySet<number>;
  #numMissing: number;

  /** @param stops tokens that end this answer, beside those that end every one */
  constructor(
    numTokens: number,
    { grammar, stops, table }: { grammar: TokenMask | null; stops: readonly number[]; table: TokenTable },
  ) {
    this.#numMissing = numTokens;
    this.#grammar = grammar;
    this.#table = table;
    this.#ends = new Set([...table.ends, ...stops]);
  }

  get isComplete(): boolean {
    return this.#grammar?.isComplete ?? false;
  }

  allows(token: number, room: number): boolean {
    const isTooEarly = this.#numMissing > 0 && this.#ends.has(token);
    return !isTooEarly && (this.#grammar?.allows(token, room) ?? true);
  }

  apply(logits: Float32Array, room: number): Float32Array | null {
    const masked = this.#grammar === null ? this.#copyOf(logits) : this.#grammar.apply(logits, room);
    if (masked === null || this.#numMissing <= 0) return masked;
    const ends = [...this.#ends].map((token) => [token, masked[token] ?? -Infinity] as const);
    for (const [token] of ends) masked[token] = -Infinity;
    if (masked.some((logit) => logit > -Infinity)) return masked;
    if (this.#grammar === null) return null;
    for (const [token, logit] of ends) masked[token] = logit;
    return masked;
  }

  accept(token: number): void {
    this.#numMissing--;
    this.#grammar?.accept(token);
  }

  #copyOf(logits: Float32Array): Float32Array {
    const { scratch } = this.#table;
    scratch.set(logits.subarray(0, scratch.length));
    return scratch;
  }
}
