import type { Vocabulary } from "../llama/types.js";
import { firstMatch, type Alphabet, type CharacterClass } from "./characters.js";
import { orderTokens, type TokenOrder } from "./token-order.js";

/** Tokens of more bytes are not looked for where a text is to be written with few of them. */
export const longestToken = 16;

/** What a grammar needs to know of the tokens that a config's models share; made once. */
export class TokenTable implements Alphabet {
  readonly size: number;
  readonly hasAllBytes: boolean;
  /** Room for masked rows, which all sequences use in turn. */
  readonly scratch: Float32Array;
  /** Of the tokens that are text. */
  readonly order: TokenOrder;
  /** Tokens that end an answer. */
  readonly ends: readonly number[];
  readonly #bytes: Uint8Array[];
  readonly #isEnd: Uint8Array;
  /** ASCII characters that are tokens, sorted. */
  readonly #ascii: number[];
  readonly #shortest = new WeakMap<CharacterClass, readonly number[] | null>();
  /** Bytes as Latin-1 text to their token; made when it is first needed. */
  #tokenOf: Map<string, number> | null = null;

  /** @param isEnd what ends an answer, for whichever model. */
  constructor(base: Pick<Vocabulary, "bytes">, size: number, isEnd: (token: number) => boolean) {
    this.size = size;
    this.scratch = new Float32Array(size);
    this.#bytes = Array.from({ length: size }, (_, token) => base.bytes(token));
    const single = new Set(this.#bytes.flatMap((bytes) => (bytes.length === 1 ? [...bytes] : [])));
    this.#ascii = [...single].filter((byte) => byte < 0x80).sort((a, b) => a - b);
    // 0xC0, 0xC1 and those past 0xF4 are in no character.
    this.hasAllBytes = Array.from({ length: 0xf5 - 0x80 }, (_, index) => 0x80 + index).every(
      (byte) => single.has(byte) || byte === 0xc0 || byte === 0xc1,
    );
    this.#isEnd = Uint8Array.from({ length: size }, (_, token) => (isEnd(token) ? 1 : 0));
    this.ends = Array.from(this.#isEnd.keys()).filter((token) => this.isEnd(token));
    this.order = orderTokens(
      this.#bytes.map((bytes, token) => (this.isEnd(token) ? new Uint8Array(0) : bytes)),
    );
  }

  shortest(characters: CharacterClass): readonly number[] | null {
    const known = this.#shortest.get(characters);
    if (known !== undefined) return known;
    const ascii = this.#ascii.find((byte) => firstMatch(characters, byte, byte) !== null);
    const point = ascii ?? (this.hasAllBytes ? firstMatch(characters, 0x80, 0x10ffff) : null);
    const found = point === null ? null : [...Buffer.from(String.fromCodePoint(point))];
    this.#shortest.set(characters, found);
    return found;
  }

  bytes(token: number): Uint8Array {
    return this.#bytes[token] as Uint8Array;
  }

  isEnd(token: number): boolean {
    return this.#isEnd[token] === 1;
  }

  /** The fewest tokens that write these bytes, each byte of which is a token, if need be. */
  write(bytes: Uint8Array): number[] {
    const tokenOf = (this.#tokenOf ??= this.#index());
    const text = Buffer.from(bytes).toString("latin1");
    // From the end: how many tokens the rest takes, and the length of the first of them.
    const counts = new Int32Array(text.length + 1);
    const lengths = new Uint8Array(text.length);
    for (let at = text.length - 1; at >= 0; at--) {
      counts[at] = text.length + 1;
      for (let length = 1; length <= longestToken && at + length <= text.length; length++) {
        const count = 1 + (counts[at + length] as number);
        if (count >= (counts[at] as number) || !tokenOf.has(text.slice(at, at + length))) continue;
        counts[at] = count;
        lengths[at] = length;
      }
    }
    const tokens: number[] = [];
    for (let at = 0; at < text.length; at += lengths[at] as number)
      tokens.push(tokenOf.get(text.slice(at, at + (lengths[at] as number))) as number);
    return tokens;
  }

  #index(): Map<string, number> {
    const tokenOf = new Map<string, number>();
    for (const [token, bytes] of this.#bytes.entries())
      if (bytes.length > 0 && bytes.length <= longestToken && !this.isEnd(token))
        tokenOf.set(Buffer.from(bytes).toString("latin1"), token);
    return tokenOf;
  }
}
