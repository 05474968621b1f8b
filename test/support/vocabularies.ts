import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
// The vocabulary alone is read, and nothing native is loaded.
// eslint-disable-next-line no-restricted-imports
import { readGgufFileInfo } from "node-llama-cpp";
import { TokenTable } from "../../src/grammar/token-table.js";

/** Vocabularies of well-known models, from llama.cpp's own tests: the sources that node-llama-cpp carries have them. */

const bundle = path.resolve("node_modules/node-llama-cpp/llama/gitRelease.bundle");

/** Checks the vocabulary files out of the sources; @returns their directory. */
export async function checkOutVocabularies(directory: string): Promise<string> {
  const git = async (...parameters: string[]) => promisify(execFile)("git", parameters, { cwd: directory });
  await git("clone", "--quiet", "--no-checkout", bundle, "llama.cpp");
  await git("-C", "llama.cpp", "checkout", "--quiet", "HEAD", "--", "models");
  return path.join(directory, "llama.cpp", "models");
}

/** As byte-level BPE writes bytes: those that can be seen as they are, the others from U+0100 on. */
const byteOf = new Map<string, number>();
for (let byte = 0, hidden = 0; byte < 256; byte++) {
  const isSeen = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  byteOf.set(String.fromCodePoint(isSeen ? byte : 0x100 + hidden++), byte);
}

const ordinary = 1;
const byteToken = 6;

/** What the tokens of a vocabulary file write; control tokens write nothing. */
export async function readTokenTable(file: string): Promise<TokenTable> {
  const { metadata } = await readGgufFileInfo(file, { readTensorInfo: false, logWarnings: false });
  const { model, tokens, token_type } = metadata.tokenizer.ggml;
  const types: readonly number[] = token_type;
  const bytes = tokens.map((text, token) => {
    if (types[token] === byteToken) return Uint8Array.of(Number.parseInt(text.slice(3, 5), 16));
    if (types[token] !== ordinary) return new Uint8Array(0);
    if (model !== "gpt2") return Buffer.from(text.replaceAll("▁", " "));
    return Uint8Array.from(Array.from(text), (character) => byteOf.get(character) ?? 0);
  });
  const vocabulary = { bytes: (token: number) => bytes[token] ?? new Uint8Array(0) };
  return new TokenTable(vocabulary, bytes.length + 1, (token) => token === bytes.length);
}

/** What is compared of a vocabulary, with names of some tokens changed. */
export async function readCompared(file: string): Promise<EditableVocabulary> {
  const { metadata } = await readGgufFileInfo(file, { readTensorInfo: false, logWarnings: false });
  const { tokens, token_type, eos_token_id } = metadata.tokenizer.ggml;
  return new EditableVocabulary(tokens, token_type, eos_token_id);
}

const [controlToken, unusedToken] = [3, 5];

export class EditableVocabulary {
  readonly bos = null;
  readonly addsBos = false;
  readonly #tokens: readonly string[];
  readonly #types: readonly number[];
  readonly #eos: number | undefined;

  constructor(tokens: readonly string[], types: readonly number[], eos: number | undefined) {
    this.#tokens = tokens;
    this.#types = types;
    this.#eos = eos;
  }

  get size(): number {
    return this.#tokens.length;
  }

  rawText(token: number): string {
    return this.#tokens[token] ?? "";
  }

  isReserved(token: number): boolean {
    const type = this.#types[token];
    return type === controlToken || type === unusedToken;
  }

  isEndOfGeneration(token: number): boolean {
    return token === this.#eos;
  }

  /** A copy in which control tokens have other names, from an id on; what is beyond its size is added. */
  renamed(from: number, names: readonly string[]): EditableVocabulary {
    const [tokens, types] = [[...this.#tokens], [...this.#types]];
    names.forEach((name, index) => {
      tokens[from + index] = name;
      types[from + index] = controlToken;
    });
    return new EditableVocabulary(tokens, types, this.#eos);
  }
}
