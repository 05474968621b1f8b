import type { Token, Vocabulary } from "../../llama/types.js";

/** The byte that a token stands for, where it is named so: `<0x0A>`. */
const byteName = /^<0x[0-9A-F]{2}>$/;

/** The tokens of a vocabulary in the order of their bytes. Bytes are strings with a character for each byte. */
export class ByteIndex {
  readonly #texts: readonly string[];
  readonly #order: Int32Array;

  constructor({ size, bytes, rawText }: TokenTexts) {
    const texts = Array.from({ length: size }, (_, token) => Buffer.from(bytes(token)).toString("latin1"));
    this.#texts = texts;
    const tokens = Int32Array.from(texts.keys()).filter((token) => texts[token] !== "");
    const isByte = Uint8Array.from(texts, (text, token) =>
      text.length === 1 && byteName.test(rawText(token)) ? 1 : 0,
    );
    // Of two with the same bytes the one first that texts are made of.
    this.#order = tokens.sort((a, b) => {
      const [one = "", other = ""] = [texts[a], texts[b]];
      if (one !== other) return one < other ? -1 : 1;
      return (isByte[a] ?? 0) - (isByte[b] ?? 0) || a - b;
    });
  }

  /** Empty for a control token. */
  text(token: Token): string {
    return this.#texts[token] ?? "";
  }

  /** The token with just these bytes; null: there is none. */
  exact(text: string): Token | null {
    const token = this.#order[this.#first(text)];
    return token !== undefined && this.#texts[token] === text ? token : null;
  }

  /** Whether a token has these bytes and more. */
  isBegun(text: string): boolean {
    const [from, to] = this.range(text);
    // Those with just these bytes come first.
    return to > from && this.text(this.tokenAt(to - 1)).length > text.length;
  }

  /** Places [from, to) of the tokens that begin with these bytes. */
  range(text: string): Range {
    return [this.#first(text), this.#place((token) => this.text(token).slice(0, text.length) <= text)];
  }

  tokenAt(place: number): Token {
    return this.#order[place] ?? -1;
  }

  /** The bytes with which its tokens go on after these. */
  nextBytes(text: string): string[] {
    const bytes: string[] = [];
    for (let [at, to] = this.range(text); at < to;) {
      const byte = this.text(this.tokenAt(at))[text.length];
      if (byte !== undefined) bytes.push(byte);
      at = byte === undefined ? at + 1 : this.range(text + byte)[1];
    }
    return bytes;
  }

  /** The longest tokens that the bytes begin with, one after the other; what none begins is left out. */
  split(text: string): Token[] {
    const tokens: Token[] = [];
    for (let rest = text; rest !== "";) {
      let length = rest.length;
      while (length > 0 && this.exact(rest.slice(0, length)) === null) length--;
      const token = this.exact(rest.slice(0, length));
      if (token !== null) tokens.push(token);
      rest = rest.slice(Math.max(1, length));
    }
    return tokens;
  }

  /** Place of the first token that is not before these bytes. */
  #first(text: string): number {
    return this.#place((token) => this.text(token) < text);
  }

  /** Place of the first token that is not before something. */
  #place(isBefore: (token: Token) => boolean): number {
    let [low, high] = [0, this.#order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.tokenAt(middle))) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Places [from, to) in the order of bytes. */
export type Range = readonly [from: number, to: number];

export interface TokenTexts {
  size: number;
  bytes: (token: Token) => Uint8Array;
  rawText: (token: Token) => string;
}

/** What an index reads of a vocabulary. */
export function textsOf(vocabulary: Vocabulary): TokenTexts {
  return {
    size: vocabulary.size,
    bytes: (token) => vocabulary.bytes(token),
    rawText: (token) => vocabulary.rawText(token),
  };
}
