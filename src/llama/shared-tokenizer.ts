import { createHash } from "node:crypto";

import type { MetadataOverride } from "./metadata-overrides.js";

/** Files of one family have one tokenizer, which libllama needs to have once. */

const modelKey = "tokenizer.ggml.model";
/** libllama takes these into account where it makes a vocabulary of a file. */
const namesWithRules = ["phi-3", "phi3", "modern-bert"];

export function isOfTokenizer(key: string): boolean {
  return key.startsWith("tokenizer.") && !key.startsWith("tokenizer.chat_template");
}

/** What a header says of its tokenizer. */
interface TokenizerEntries {
  values: ReadonlyMap<string, unknown>;
  typeOf: ReadonlyMap<string, unknown>;
  /** Arrays of the tokenizer's, each as a digest. */
  arrayDigests: ReadonlyMap<string, string>;
}

/**
 * A digest of everything of a header that libllama makes a vocabulary of: files with the same have the same.
 *
 * @param header its values as they are once a config has replaced some
 */
export function digestTokenizer({ values, typeOf, arrayDigests }: TokenizerEntries): string {
  const scalars = [...values]
    .filter(([key]) => isOfTokenizer(key))
    .map(([key, value]) => [key, typeOf.get(key) ?? typeof value, String(value)]);
  const name = String(values.get("general.name")).toLowerCase();
  const parts = [...scalars, ...arrayDigests].map((part) => JSON.stringify(part)).sort();
  return createHash("sha256")
    .update(JSON.stringify([parts, namesWithRules.filter((word) => name.includes(word))]))
    .digest("hex");
}

/** Of a token's entry (`llama_vocab::token_data`): a string, a score and attributes. All that is kept without a tokenizer. */
export const tokenEntryBytes = 40;
/** Of a token besides: a node of the map from texts, a place in its table, and a string of how it is shown. */
const knownTokenBytes = 64 + 12 + 32;
/** A rule that merges two tokens: a node with both texts, and a place in a table. */
const mergeBytes = 96 + 12;
/** Texts up to so many bytes are in the string itself. */
const shortText = 15;

/** What libllama keeps of a tokenizer, bytes: by the sizes of its structures in GCC's library. */
export function vocabularyBytes(tokens: readonly string[], numMerges: number): number {
  // Longer ones are apart, three times: in the entry, in the map and as shown.
  const longBytes = (text: string) =>
    text.length > shortText ? 3 * 16 * Math.ceil((text.length + 9) / 16) : 0;
  return tokens.reduce(
    (sum, text) => sum + tokenEntryBytes + knownTokenBytes + longBytes(text),
    numMerges * mergeBytes,
  );
}

interface TokenizedFile {
  architecture: string;
  vocabularySize: number;
  chatTemplate: string | null;
  values: ReadonlyMap<string, unknown>;
  overrides: readonly MetadataOverride[];
}

/**
 * What a header has to say for a model that computes without a vocabulary of its own: token ids go in, rows come out.
 *
 * @returns null: libllama makes more of this file's vocabulary than tokens
 */
export function withoutTokenizer(file: TokenizedFile): MetadataOverride[] | null {
  // Of some files with this one libllama knows a chat template that they lack.
  if (file.chatTemplate === null && file.values.get("tokenizer.ggml.pre") === "tekken") return null;
  return [
    ...file.overrides.filter(({ key }) => key !== modelKey),
    { key: modelKey, kind: "string", value: "no_vocab" },
    { key: `${file.architecture}.vocab_size`, kind: "int", value: file.vocabularySize },
  ];
}
