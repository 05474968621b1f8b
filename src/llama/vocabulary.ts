import { invariant, ShouldersError } from "../errors.js";
import type { NativeFunctions, Pointer } from "./abi.js";
import { tokenAttribute, vocabularyTypes } from "./abi.js";
import type { Infill, Token, Vocabulary } from "./types.js";

const nothing = new Uint8Array(0);

/** The vocabulary of a loaded model. Lives as long as the model. */
export class LlamaVocabulary implements Vocabulary {
  readonly size: number;
  readonly bos: Token | null;
  readonly eos: Token | null;
  readonly addsBos: boolean;
  readonly endToken: Token | null;
  readonly infill: Infill | null;
  /** The tokenizer's family: SPM, BPE, ... */
  readonly type: string;
  /** libllama's own, which models of one tokenizer share. */
  readonly pointer: Pointer;
  readonly #native: NativeFunctions;
  readonly #isReleased: () => boolean;
  readonly #bytes: (Uint8Array | undefined)[];
  #piece = new Uint8Array(256);

  constructor(native: NativeFunctions, pointer: Pointer, isReleased: () => boolean) {
    this.#native = native;
    this.pointer = pointer;
    this.#isReleased = isReleased;
    this.size = native.llama_vocab_n_tokens(pointer);
    this.bos = asToken(native.llama_vocab_bos(pointer));
    this.eos = asToken(native.llama_vocab_eos(pointer));
    this.endToken = asToken(native.llama_vocab_eot(pointer)) ?? this.eos;
    const [prefix, suffix, middle] = [
      asToken(native.llama_vocab_fim_pre(pointer)),
      asToken(native.llama_vocab_fim_suf(pointer)),
      asToken(native.llama_vocab_fim_mid(pointer)),
    ];
    this.infill = prefix === null || suffix === null || middle === null ? null : { prefix, suffix, middle };
    this.addsBos = native.llama_vocab_get_add_bos(pointer);
    this.type = vocabularyTypes[native.llama_vocab_type(pointer)] ?? "unknown";
    this.#bytes = new Array<undefined>(this.size);
  }

  isEndOfGeneration(token: Token): boolean {
    return this.#native.llama_vocab_is_eog(this.#checked(token), token);
  }

  isControl(token: Token): boolean {
    return this.hasAttribute(token, tokenAttribute.control);
  }

  isReserved(token: Token): boolean {
    return this.hasAttribute(token, tokenAttribute.control | tokenAttribute.unused);
  }

  /** @param attributes bits of `tokenAttribute`; true when the token has any of them. */
  hasAttribute(token: Token, attributes: number): boolean {
    return (this.#native.llama_vocab_get_attr(this.#checked(token), token) & attributes) !== 0;
  }

  bytes(token: Token): Uint8Array {
    const cached = this.#bytes[token];
    if (cached) return cached;
    const pointer = this.#checked(token);
    const read = () =>
      this.#native.llama_token_to_piece(pointer, token, this.#piece, this.#piece.length, 0, false);
    let length = read();
    if (length < 0) {
      this.#piece = new Uint8Array(-length);
      length = read();
    }
    const bytes = length === 0 ? nothing : this.#piece.slice(0, length);
    this.#bytes[token] = bytes;
    return bytes;
  }

  rawText(token: Token): string {
    return this.#native.llama_vocab_get_text(this.#checked(token), token) ?? "";
  }

  show(text: string): void {
    for (let token = 0; token < this.size; token++) {
      if (!this.isControl(token) || this.isEndOfGeneration(token)) continue;
      const name = this.rawText(token);
      if (name.length > 1 && text.includes(name)) this.#bytes[token] = Buffer.from(name);
    }
  }

  #checked(token: Token): Pointer {
    invariant(!this.#isReleased(), "vocabulary used after its model was released");
    invariant(
      Number.isInteger(token) && token >= 0 && token < this.size,
      `token ${token} is outside the vocabulary of ${this.size}`,
    );
    return this.pointer;
  }
}

function asToken(value: number): Token | null {
  return value < 0 ? null : value;
}

export interface VocabularyComparison {
  /** Ids that both have: rows are fused over [0, commonSize). */
  commonSize: number;
  /** Ids below it that are no text, and are not named alike: control tokens, markup and padding. */
  renamed: Token[];
  /** Differences that do no harm but are worth a line in the log. */
  notes: string[];
}

/** What is compared of a vocabulary: also one of which only the header was read. */
export type ComparedVocabulary = Pick<Vocabulary, "size" | "rawText" | "bos" | "addsBos"> &
  Partial<Pick<Vocabulary, "isReserved" | "isEndOfGeneration">>;

/** Names of entries that only fill a vocabulary up to a round size. */
const padding = /^$|^[[<]?\|?_?(pad|unused|reserved|dummy|extra|empty)[a-z_-]*[_ -]?\d*\|?[\]>]?$/i;

/** Names of markup, whatever the file says of it: `<think>`, `[INST]`; not a byte, `<0x0A>`. */
const markup = /^▁?(?!<0x[0-9A-F]{2}>)(<[^<>\s]+>|\[[\w /-]+\])$/u;

/** Most ids that may be named otherwise, padding apart: siblings have a few, strangers thousands. */
const mostRenamed = 64;

/**
 * Compares two vocabularies token by token over their common part. Text must be the same. Control tokens, markup and
 * padding may differ: what they are to a model is its own business. One may be longer where what it has more is such
 * as well, but no end of the base's answers, which could never be produced.
 *
 * @param names how to call the two in messages, their paths say.
 * @throws ShouldersError `vocabulary_mismatch` with the first differing ids and both texts.
 */
export function compareVocabularies(
  base: ComparedVocabulary,
  other: ComparedVocabulary,
  names: { base: string; other: string },
): VocabularyComparison {
  const fail = (difference: string) =>
    new ShouldersError(
      "vocabulary_mismatch",
      `The vocabularies of ${names.base} and ${names.other} differ: ${difference} All models of a config must ` +
        `share one vocabulary: use models of one family, or set "vocabulary": "own" in the config.`,
    );
  const commonSize = Math.min(base.size, other.size);
  const text: Token[] = [];
  const renamed: Token[] = [];
  const isOne =
    base instanceof LlamaVocabulary && other instanceof LlamaVocabulary && base.pointer === other.pointer;
  if (isOne) return { commonSize, renamed, notes: [] };
  for (let token = 0; token < commonSize && text.length < 3; token++)
    if (base.rawText(token) !== other.rawText(token))
      (isNoText(base, token) && isNoText(other, token) ? renamed : text).push(token);
  const used = renamed.filter((token) => ![base, other].every((one) => padding.test(one.rawText(token))));
  const refused = text.length > 0 ? text : used.length > mostRenamed ? used.slice(0, 3) : [];
  if (refused.length > 0) {
    const shown = refused.map(
      (token) => `token ${token} is ${quote(base.rawText(token))} and ${quote(other.rawText(token))}`,
    );
    throw fail(`${shown.join("; ")} (sizes ${base.size} and ${other.size}).`);
  }
  const [longer, longerName] = base.size > other.size ? [base, names.base] : [other, names.other];
  for (let token = commonSize; token < longer.size; token++)
    if (!isNoText(longer, token) || (longer === base && base.isEndOfGeneration?.(token)))
      throw fail(
        `only ${longerName} has token ${token}, ${quote(longer.rawText(token))} ` +
          `(sizes ${base.size} and ${other.size}).`,
      );
  if (base instanceof LlamaVocabulary && other instanceof LlamaVocabulary && base.type !== other.type)
    throw fail(`the tokenizers are ${base.type} and ${other.type}.`);
  return { commonSize, renamed, notes: comparisonNotes(base, other, names) };
}

/** Whether a token is none of what texts are made of. */
export function isNoText(vocabulary: ComparedVocabulary, token: Token): boolean {
  const name = vocabulary.rawText(token);
  return vocabulary.isReserved?.(token) === true || padding.test(name) || markup.test(name);
}

/** What may differ: a model tuned for chat often begins and ends its turns with other tokens of the same vocabulary. */
export function comparisonNotes(
  base: ComparedVocabulary,
  other: ComparedVocabulary,
  names: { base: string; other: string },
): string[] {
  const notes: string[] = [];
  const describe = (vocabulary: ComparedVocabulary, token: Token | null) =>
    token === null ? "none" : `${token} ${quote(vocabulary.rawText(token))}`;
  const note = (what: string, ofBase: string, ofOther: string) => {
    if (ofBase !== ofOther) notes.push(`${what}: ${names.base} ${ofBase}, ${names.other} ${ofOther}`);
  };
  const bos = (vocabulary: ComparedVocabulary) =>
    vocabulary.addsBos ? describe(vocabulary, vocabulary.bos) : "none";
  note("first token of a prompt", bos(base), bos(other));
  if (base instanceof LlamaVocabulary && other instanceof LlamaVocabulary)
    note("end-of-sequence token", describe(base, base.eos), describe(other, other.eos));
  if (base.size !== other.size) note("size", String(base.size), String(other.size));
  return notes;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
