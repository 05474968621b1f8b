import { bareQuote } from "../../protocol/protocol.js";

/** Values as models write them in calls, as JSON: JSON itself, Python's literals, and those with names without quotes. */

const deepest = 256;
const words: Record<string, string> = {
  true: "true",
  True: "true",
  false: "false",
  False: "false",
  null: "null",
  None: "null",
};

class NoLiteral extends Error {}

/** @returns JSON of the same value, numbers as they were written; null: it is none */
export function literalToJson(text: string): string | null {
  try {
    return new LiteralReader(text.trim()).read();
  } catch (thrown) {
    if (thrown instanceof NoLiteral) return null;
    throw thrown;
  }
}

class LiteralReader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): string {
    const json = this.#value();
    if (this.#at < this.#text.length) throw new NoLiteral();
    return json;
  }

  #value(): string {
    if (++this.#depth > deepest) throw new NoLiteral();
    const json = this.#anyValue();
    this.#depth--;
    return json;
  }

  #anyValue(): string {
    if (this.#takes("{")) return `{${this.#members("}", () => this.#member())}}`;
    if (this.#takes("[")) return `[${this.#members("]", () => this.#value())}]`;
    const quote = this.#quote();
    if (quote !== null) return this.#string(quote);
    const number = this.#match(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y);
    if (number !== null) return number;
    const word = words[this.#match(/[a-zA-Z]+/y) ?? ""];
    if (word === undefined) throw new NoLiteral();
    return word;
  }

  #members(closing: string, read: () => string): string {
    const members: string[] = [];
    this.#space();
    if (this.#takes(closing)) return "";
    do {
      this.#space();
      members.push(read());
      this.#space();
    } while (this.#takes(","));
    if (!this.#takes(closing)) throw new NoLiteral();
    return members.join();
  }

  #member(): string {
    const quote = this.#quote();
    const name = quote === null ? JSON.stringify(this.#match(/[^\s:,{}[\]]+/y) ?? "") : this.#string(quote);
    this.#space();
    if (name === '""' || !this.#takes(":")) throw new NoLiteral();
    this.#space();
    return `${name}:${this.#value()}`;
  }

  #quote(): string | null {
    return ['"', "'", bareQuote].find((quote) => this.#takes(quote)) ?? null;
  }

  #string(quote: string): string {
    if (quote === bareQuote) {
      const end = this.#text.indexOf(bareQuote, this.#at);
      if (end < 0) throw new NoLiteral();
      const text = this.#text.slice(this.#at, end);
      this.#at = end + bareQuote.length;
      return JSON.stringify(text);
    }
    let text = "";
    for (;;) {
      const character = this.#text[this.#at++];
      if (character === undefined) throw new NoLiteral();
      if (character === quote) return JSON.stringify(text);
      text += character === "\\" ? this.#escaped() : character;
    }
  }

  #escaped(): string {
    const code = this.#match(/u[\da-fA-F]{4}|x[\da-fA-F]{2}/y);
    if (code !== null) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    const letter = this.#text[this.#at++] ?? "";
    return { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }[letter] ?? letter;
  }

  #space(): void {
    this.#match(/\s*/y);
  }

  #takes(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found === undefined) return null;
    this.#at += found.length;
    return found;
  }
}

const quotes = ['"', "'", bareQuote];

/** Finds where a literal ends, as it comes: before the first of these that stands outside of its quotes and brackets. */
export class LiteralEnd {
  readonly #ends: readonly string[];
  #at = 0;
  #depth = 0;
  #quote: string | null = null;

  constructor(ends: readonly string[]) {
    this.#ends = ends;
  }

  /**
   * @param text what has come since the literal began
   * @returns null: more may come to it
   */
  find(text: string): number | null {
    for (;;) {
      const ends = this.#quote === null && this.#depth === 0 ? this.#ends : [];
      if (ends.some((end) => text.startsWith(end, this.#at))) return this.#at;
      const marks = this.#quote === null ? [...quotes, ...ends] : [this.#quote, "\\."];
      if (isOpen(text, this.#at, marks)) return null;
      this.#at += this.#quote === null ? this.#outside(text) : this.#inside(text, this.#quote);
    }
  }

  /** @returns how far to go on */
  #outside(text: string): number {
    const quote = quotes.find((one) => text.startsWith(one, this.#at));
    if (quote !== undefined) {
      this.#quote = quote;
      return quote.length;
    }
    if (/[[{]/.test(text[this.#at] ?? "")) this.#depth++;
    else if (/[\]}]/.test(text[this.#at] ?? "")) this.#depth--;
    return 1;
  }

  #inside(text: string, quote: string): number {
    if (text.startsWith(quote, this.#at)) {
      this.#quote = null;
      return quote.length;
    }
    return text[this.#at] === "\\" && quote !== bareQuote ? 2 : 1;
  }
}

/** Whether what stands from here on may come to be one of these marks. */
function isOpen(text: string, at: number, marks: readonly string[]): boolean {
  if (text.length - at >= Math.max(...marks.map(({ length }) => length))) return false;
  const rest = text.slice(at);
  return marks.some((mark) => mark.length > rest.length && mark.startsWith(rest));
}
