import { setImmediate } from "node:timers/promises";
import { present } from "../../errors.js";
import { ByteIndex, type Range, textsOf, type TokenTexts } from "./byte-index.js";
import type { LoadedModel, Token } from "../../llama/types.js";

/** What is read of one vocabulary. */
export interface ReadVocabulary extends TokenTexts {
  /** Tokens that end an answer. */
  ends: readonly Token[];
  /** The tokens of a text that goes on after another. */
  tokenize: (text: string) => readonly Token[];
}

/** How many readings of bytes are remembered. */
const mostKnown = 50_000;

/** Tokens of which static parts are made without a pause: milliseconds. */
const partTokens = 64;

/** Texts of more bytes are read from a word's beginning on, this far back at least. */
const rereadBytes = 128;

/**
 * The tokens of the base and those of small models that share nothing with it but text. Bytes are strings with a
 * character for each byte.
 */
export class TextReader {
  readonly own: ByteIndex;
  readonly baseSize: number;
  readonly baseEnds: readonly Token[];
  readonly ownEnds: readonly Token[];
  /** Tokens of small models that are no text and no ends. */
  readonly ownSilent: readonly Token[];
  readonly #baseVocabulary: ReadVocabulary;
  readonly #ownVocabulary: ReadVocabulary;
  readonly #known = new Map<string, readonly Token[]>();
  /** Of their own tokens by first byte. */
  readonly #ranges = new Map<string, Range>();
  readonly #next = new Map<string, readonly string[]>();
  #base: ByteIndex | null = null;
  #static: StaticParts | null = null;

  constructor(base: ReadVocabulary, own: ReadVocabulary) {
    this.#baseVocabulary = base;
    this.#ownVocabulary = own;
    this.own = new ByteIndex(own);
    this.baseSize = base.size;
    this.baseEnds = base.ends;
    this.ownEnds = own.ends;
    this.ownSilent = Array.from({ length: own.size }, (_, token) => token).filter(
      (token) => this.own.text(token) === "" && !own.ends.includes(token),
    );
  }

  /** Made on first use: which control tokens are shown as text is known only when all models are loaded. */
  get base(): ByteIndex {
    return (this.#base ??= new ByteIndex(this.#baseVocabulary));
  }

  /** How the base reads bytes; those of one of its tokens are always that token. */
  baseIds(text: string): readonly Token[] {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const same = this.base.exact(text);
    const ids = same === null ? read(text, this.#baseVocabulary, this.base) : [same];
    if (this.#known.size >= mostKnown) this.#known.clear();
    this.#known.set(text, ids);
    return ids;
  }

  /**
   * Where in the order of their own tokens are those by whose first byte a token of the base goes on.
   *
   * @param beginnings of tokens of the base
   */
  goingOn(beginnings: readonly string[]): readonly Range[] {
    const bytes = new Set(beginnings.flatMap((beginning) => this.#nextBytes(beginning)));
    return [...bytes].map((byte) => {
      const range = this.#ranges.get(byte) ?? this.own.range(byte);
      this.#ranges.set(byte, range);
      return range;
    });
  }

  #nextBytes(beginning: string): readonly string[] {
    const known = this.#next.get(beginning) ?? this.base.nextBytes(beginning);
    if (this.#next.size >= mostKnown) this.#next.clear();
    this.#next.set(beginning, known);
    return known;
  }

  /** How small models read bytes that go on after others. */
  ownIds(text: string): readonly Token[] {
    return read(text, this.#ownVocabulary, this.own);
  }

  /**
   * How small models read a text that has grown.
   *
   * @param before how they read the beginning of it, of which words that are long past are kept
   */
  ownIdsAfter(text: string, before: readonly Token[]): readonly Token[] {
    let length = before.reduce((sum, token) => sum + this.own.text(token).length, 0);
    let kept = before.length;
    const isWord = (token: Token | undefined) =>
      token !== undefined && /^ ?[A-Za-z]{2}/.test(this.own.text(token));
    while (kept > 0 && (length > text.length - rereadBytes || !isWord(before[kept])))
      length -= this.own.text(before[--kept] ?? 0).length;
    return [...before.slice(0, kept), ...this.ownIds(text.slice(length))];
  }

  /** Whether small models read some token of the base as these tokens and more. */
  isBegun(tokens: readonly Token[]): boolean {
    return this.#parts.begun.has(tokens.join());
  }

  /** By token of small models the base's first one in its bytes; −1: it is no text. */
  get firsts(): Int32Array {
    return this.#parts.firsts;
  }

  /**
   * Makes what is looked up in each step, which takes seconds with large vocabularies; the event loop goes on meanwhile.
   *
   * @param onPart called again and again
   */
  async prepare(onPart: () => void): Promise<void> {
    const making = this.#make();
    while (this.#static === null && making.next().done !== true) {
      onPart();
      await setImmediate();
    }
  }

  /** Made at once where nobody has prepared them. */
  get #parts(): StaticParts {
    if (this.#static === null) Array.from(this.#make());
    return present(this.#static, "static parts");
  }

  /** A part of them at a time. */
  *#make(): Generator<void, void> {
    const begun = new Set<string>();
    for (let token = 0; token < this.baseSize; token++) {
      if (token % partTokens === 0) yield;
      const text = this.base.text(token);
      if (text === "" || this.own.exact(text) !== null) continue;
      const ids = this.ownIds(text);
      for (let length = 1; length < ids.length; length++) begun.add(ids.slice(0, length).join());
    }
    const firsts = new Int32Array(this.#ownVocabulary.size).fill(-1);
    for (const token of firsts.keys()) {
      if (token % partTokens === 0) yield;
      const text = this.own.text(token);
      if (text !== "") firsts[token] = this.baseIds(text)[0] ?? -1;
    }
    this.#static = { begun, firsts };
  }
}

/** What is the same for every text. */
interface StaticParts {
  /** How small models begin to read tokens of the base that are several to them. */
  begun: ReadonlySet<string>;
  firsts: Int32Array;
}

/** By the tokenizer where the bytes are text; cut into the longest tokens where they are not, or it changes them. */
function read(text: string, { tokenize }: ReadVocabulary, index: ByteIndex): readonly Token[] {
  const bytes = Buffer.from(text, "latin1");
  const asText = bytes.toString("utf8");
  // Of a character whose last bytes have not come only the beginning is cut.
  const end = Buffer.from(asText.replace(/\ufffd+$/, ""), "utf8").length;
  const whole = bytes.subarray(0, end).toString("utf8");
  const ids = whole.includes("\ufffd") ? [] : tokenize(whole);
  const isSame = ids.map((token) => index.text(token)).join("") === text.slice(0, end);
  if (!isSame || (end > 0 && ids.length === 0)) return index.split(text);
  return end === bytes.length ? ids : [...ids, ...index.split(text.slice(end))];
}

/** @param model whose tokens they are */
export function readVocabulary(model: LoadedModel): ReadVocabulary {
  const { vocabulary } = model;
  return {
    ...textsOf(vocabulary),
    ends: Array.from({ length: vocabulary.size }, (_, token) => token).filter((token) =>
      vocabulary.isEndOfGeneration(token),
    ),
    tokenize: (text) => model.tokenize(text, false, true),
  };
}
