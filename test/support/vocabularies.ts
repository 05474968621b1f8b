import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
// The vocabulary alone is read, and nothing native is loaded.
// eslint-disable-next-line no-restricted-imports
import { readGgufFileInfo } from "node-llama-cpp";
import type { Vocabulary } from "../../src/llama/types.js";
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
  const vocabulary: Pick<Vocabulary, "bytes" | "isEndOfGeneration"> = {
    bytes: (token) => bytes[token] ?? new Uint8Array(0),
    isEndOfGeneration: (token) => token === bytes.length,
  };
  return new TokenTable([vocabulary as Vocabulary], bytes.length + 1);
}
