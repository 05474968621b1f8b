import type { Token } from "./lexer.js";

/** The tokens of a template, one after the other. */
export class TokenStream {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get current(): Token {
    return this.#tokens[this.#at] as Token;
  }

  get next(): Token {
    return this.#tokens[this.#at + 1] ?? this.current;
  }

  take(): Token {
    const token = this.current;
    if (token.type !== "end") this.#at++;
    return token;
  }

  isOperator(...values: readonly string[]): boolean {
    return this.current.type === "operator" && values.includes(this.current.value);
  }

  isName(...values: readonly string[]): boolean {
    return this.current.type === "name" && values.includes(this.current.value);
  }

  /** @returns whether it was there, and is gone by now */
  skip(value: string): boolean {
    const isThere = this.isOperator(value) || this.isName(value);
    if (isThere) this.#at++;
    return isThere;
  }

  expect(value: string): void {
    if (!this.skip(value)) throw this.fault(`expected '${value}'`);
  }

  expectType(type: Token["type"]): string {
    if (this.current.type !== type) throw this.fault(`expected ${type}`);
    return this.take().value;
  }

  fault(what: string): SyntaxError {
    const { type, value, line } = this.current;
    return new SyntaxError(`line ${line}: ${what}, found ${value === "" ? type : `'${value}'`}`);
  }
}
