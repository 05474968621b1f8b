import { closeSync, openSync, statSync } from "node:fs";

import { ShouldersError, systemCode } from "../errors.js";
import {
  arrayElementTypes,
  arrayType,
  defaultAlignment,
  ggufMagic,
  ggufVersions,
  stringType,
  valueTypes,
} from "./gguf-format.js";
import { checkHyperparameters } from "./gguf-hyperparameters.js";
import { GgufIncomplete, GgufProblem, GgufReader } from "./gguf-reader.js";
import { checkTensors, type GgufTensor } from "./gguf-tensors.js";
import { type MetadataOverride, type MetadataValue, overridesOf } from "./metadata-overrides.js";
import { digestTokenizer, isOfTokenizer, vocabularyBytes } from "./shared-tokenizer.js";
import type { Placement } from "./placement-types.js";

/** What a checked model file says about itself. */
export interface GgufSummary {
  path: string;
  /** All files of the model, in order: one, or the parts of a split model. */
  parts: string[];
  architecture: string;
  /** Tensors of all parts of the file. */
  tensors: readonly GgufTensor[];
  vocabularySize: number;
  /** Files with the same have the same vocabulary. */
  tokenizerDigest: string;
  /** What libllama keeps of it. */
  vocabularyBytes: number;
  /** Texts of its tokens, a byte a character. */
  tokens: readonly string[];
  /** The Jinja template of its chats; null: it has none. */
  chatTemplate: string | null;
  /** Scalars and short strings of the metadata, by key. */
  values: ReadonlyMap<string, MetadataValue>;
  /** What of the header is replaced; `values` has it already. */
  overrides: readonly MetadataOverride[];
}

/** What the header of one file says, whatever it is of. */
export interface GgufPart {
  values: Map<string, MetadataValue>;
  /** GGUF's name of each value's type. */
  typeOf: Map<string, string>;
  /** Array key to its number of elements. */
  arrayLengths: Map<string, number>;
  /** Arrays of the tokenizer's, each as a digest. */
  arrayDigests: Map<string, string>;
  tokens: readonly string[];
  chatTemplate: string | null;
  /** Whether a token stands for each byte, as `<0x0A>` or as itself. */
  hasByteTokens: boolean;
  tensors: GgufTensor[];
}

/** Longest metadata string that is kept, but for the chat template; licences are longer and not needed here. */
const keptStringBytes = 4096;
const longestTemplate = 1 << 20;
const longestKey = 65_535;
const mostTokens = 1 << 22;

const tokensKey = "tokenizer.ggml.tokens";
const templateKey = "tokenizer.chat_template";

/**
 * Reads a model file's header and checks that everything it announces is there, before native code sees the
 * file: the magic, the version, every count and length, and the place of every tensor. Takes milliseconds and
 * allocates next to nothing, whatever the file says.
 *
 * @param metadata entries of the header that are replaced
 * @param needsWeights a file of a vocabulary alone is refused
 * @throws ShouldersError `model_file_invalid` with the path and the reason; `fusion_config_invalid`: `metadata` is wrong
 */
export function checkModelFile(
  path: string,
  metadata: Placement["metadata"] = {},
  needsWeights = true,
): GgufSummary {
  const first = readGgufHeader(path);
  refuseOthers(path, first);
  // A later part names no architecture.
  const parts = splitParts(path, first.values);
  const architecture = first.values.get("general.architecture");
  if (typeof architecture !== "string" || architecture === "")
    throw invalid(path, "is not a language model: it names no architecture");
  const overrides = overridesOf(metadata, { path, architecture, typeOf: first.typeOf });
  for (const { key, value } of overrides) first.values.set(key, value);
  try {
    checkHyperparameters(architecture, first.values, first.arrayLengths);
  } catch (cause) {
    throw cause instanceof GgufProblem ? invalid(path, cause.message) : cause;
  }
  // libllama throws in the middle of a text that has a byte for which there is none.
  const tokenizer = first.values.get("tokenizer.ggml.model");
  if ((tokenizer === "llama" || tokenizer === "plamo2") && !first.hasByteTokens)
    throw invalid(path, `is corrupt: its tokenizer is ${tokenizer}, and not every byte has a token`);
  refuseEmbedders(path, architecture, first.values);
  // libllama asserts that no token of a file's has a space, and these splitters leave spaces in: two end the process.
  if (["tokenizer.ggml.pre", "tokenizer.ggml.model"].some((key) => first.values.get(key) === "whitespace"))
    throw invalid(path, "splits text at white space alone, as embedding models do, and cannot be fused");
  const tensors = [first, ...parts.slice(1).map(readGgufHeader)].flatMap((part) => part.tensors);
  const numTokens = first.arrayLengths.get(tokensKey) ?? 0;
  if (numTokens === 0) throw invalid(path, "has no vocabulary");
  if (needsWeights && parts.length === 1 && first.tensors.length === 0)
    throw invalid(path, "has no weights (a vocabulary only)");
  for (const key of ["tokenizer.ggml.token_type", "tokenizer.ggml.scores"]) {
    const length = first.arrayLengths.get(key);
    if (length !== undefined && length < numTokens)
      throw invalid(path, `is corrupt: ${key} has ${length} entries for ${numTokens} tokens`);
  }
  const { values, tokens, chatTemplate } = first;
  return {
    ...{ path, parts, architecture, tensors, vocabularySize: numTokens, tokens, chatTemplate },
    ...{ values, overrides, tokenizerDigest: digestTokenizer(first) },
    vocabularyBytes: vocabularyBytes(tokens, first.arrayLengths.get("tokenizer.ggml.merges") ?? 0),
  };
}

function invalid(path: string, reason: string, cause?: unknown): ShouldersError {
  return new ShouldersError(
    "model_file_invalid",
    `Model file ${path} ${reason}.`,
    cause === undefined ? {} : { cause },
  );
}

/** Files that go with models and are none. */
function refuseOthers(path: string, { values }: GgufPart): void {
  const type = values.get("general.type");
  if (type === "adapter")
    throw invalid(path, 'is a LoRA adapter; give it to an expert as "adapter", in the place of "model"');
  if (type === "mmproj" || values.get("general.architecture") === "clip")
    throw invalid(path, "is the part of a model that reads images or sound (mmproj); name the model itself");
}

/** libllama takes these for decoders, and ends the process where they are asked for a row. */
function refuseEmbedders(path: string, architecture: string, values: GgufPart["values"]): void {
  const isCausal = values.get(`${architecture}.attention.causal`) !== false;
  const pooling = values.get(`${architecture}.pooling_type`) ?? 0;
  if (!isCausal || pooling !== 0)
    throw invalid(path, "makes embeddings of whole texts and writes none; name a model that writes");
}

/**
 * Reads a file's header, and checks that everything which it announces is there.
 *
 * @throws ShouldersError `model_file_invalid` with the path and the reason.
 */
export function readGgufHeader(path: string): GgufPart {
  let file: number;
  let bytes: number;
  try {
    const stats = statSync(path);
    if (!stats.isFile()) throw invalid(path, "is not a file");
    bytes = stats.size;
    file = openSync(path, "r");
  } catch (cause) {
    if (cause instanceof ShouldersError) throw cause;
    const code = systemCode(cause);
    throw invalid(
      path,
      code === "ENOENT" ? "does not exist" : `cannot be opened: ${code ?? "unknown error"}`,
      cause,
    );
  }
  try {
    return readPart(new GgufReader(file, bytes));
  } catch (cause) {
    if (cause instanceof GgufProblem) throw invalid(path, cause.message);
    throw invalid(path, `cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  } finally {
    closeSync(file);
  }
}

/**
 * Whether the beginning of a file that is there holds its header.
 *
 * @returns how many parts the model has, or null: more of the file is needed.
 * @throws ShouldersError `model_file_invalid`: it is no model, or does not fit the length that it is to have.
 */
export function isHeaderWhole(
  file: number,
  { path, fileBytes, availableBytes }: { path: string; fileBytes: number; availableBytes: number },
): { numParts: number } | null {
  try {
    const { values } = readPart(new GgufReader(file, fileBytes, availableBytes));
    return { numParts: Math.max(1, Number(values.get("split.count") ?? 1)) };
  } catch (cause) {
    if (cause instanceof GgufIncomplete) return null;
    throw cause instanceof GgufProblem ? invalid(path, cause.message) : cause;
  }
}

function readPart(reader: GgufReader): GgufPart {
  const magic = reader.fileBytes < 4 ? "" : reader.text(4, "the magic");
  // "version https://git-lfs.github.com/spec/v1"
  if (magic === "vers")
    throw new GgufProblem("stands for a file that Git LFS has not brought; run `git lfs pull` in its folder");
  if (magic !== ggufMagic)
    throw new GgufProblem(
      `is not a GGUF file (it does not begin with "${ggufMagic}"); convert the model to GGUF first`,
    );
  const version = reader.uint32("the version");
  if ((version & 0xffff) === 0)
    throw new GgufProblem("is a big-endian GGUF file, which this machine cannot read");
  if (!ggufVersions.some((known) => known === version))
    throw new GgufProblem(`has GGUF version ${version}; versions ${ggufVersions.join(" and ")} can be read`);
  // A tensor takes at least 24 bytes, an entry 13.
  const numTensors = reader.count(24, "the number of tensors");
  const numEntries = reader.count(13, "the number of metadata entries");
  const part: GgufPart = {
    values: new Map(),
    typeOf: new Map(),
    arrayLengths: new Map(),
    arrayDigests: new Map(),
    tokens: [],
    chatTemplate: null,
    hasByteTokens: false,
    tensors: [],
  };
  for (let index = 0; index < numEntries; index++) readEntry(reader, part, index);
  part.tensors = checkTensors(reader, numTensors, alignmentOf(part.values));
  return part;
}

function readEntry(reader: GgufReader, part: GgufPart, index: number): void {
  const key = reader.string(`metadata key ${index}`, longestKey);
  if (key === null || key === "")
    throw new GgufProblem(`is corrupt: metadata key ${index} is empty or too long`);
  const type = reader.uint32(`the type of ${key}`);
  if (type === arrayType) {
    const start = reader.position;
    part.arrayLengths.set(key, readArray(reader, part, key));
    if (isOfTokenizer(key)) part.arrayDigests.set(key, reader.digestFrom(start));
    return;
  }
  if (arrayElementTypes[key]) throw new GgufProblem(`is corrupt: ${key} is not an array`);
  if (type === stringType) {
    const isTemplate = key === templateKey;
    const value = reader.string(key, isTemplate ? longestTemplate : keptStringBytes);
    if (isTemplate) part.chatTemplate = value;
    else if (value !== null) part.values.set(key, value);
    if (!isTemplate) part.typeOf.set(key, "string");
    return;
  }
  const known = valueTypes[type];
  if (!known) throw new GgufProblem(`is corrupt: ${key} has the unknown type ${type}`);
  const wanted = { "general.alignment": "uint32", "adapter.lora.alpha": "float32" }[key];
  if (wanted !== undefined && known.name !== wanted)
    throw new GgufProblem(`is corrupt: ${key} is ${known.name}`);
  part.values.set(key, reader.scalar(known.name, known.bytes, key));
  part.typeOf.set(key, known.name);
}

/** @returns the number of elements; they are skipped. */
function readArray(reader: GgufReader, part: GgufPart, key: string): number {
  const type = reader.uint32(`the element type of ${key}`);
  const known = type === stringType ? { name: "string", bytes: 8 } : valueTypes[type];
  if (!known) throw new GgufProblem(`is corrupt: ${key} has elements of the unknown type ${type}`);
  const expected = arrayElementTypes[key];
  if (expected && !expected.includes(known.name))
    throw new GgufProblem(`is corrupt: ${key} has elements of type ${known.name}`);
  const length = reader.count(known.bytes, `the length of ${key}`);
  if (type !== stringType) reader.skip(length * known.bytes, key);
  else if (key === tokensKey) readTokens(reader, part, length);
  else for (let index = 0; index < length; index++) reader.skip(reader.count(1, `${key}[${index}]`), key);
  return length;
}

/** libllama reads a token up to a NUL, names empty ones, and ends the process when two have the same text. */
function readTokens(reader: GgufReader, part: GgufPart, length: number): void {
  if (length > mostTokens) throw new GgufProblem(`is corrupt: it has ${length} tokens, more than any model`);
  const textToToken = new Map<string, number>();
  for (let token = 0; token < length; token++) {
    const bytes = reader.count(1, `the length of token ${token}`);
    if (bytes > longestKey) throw new GgufProblem(`is corrupt: token ${token} has ${bytes} bytes`);
    const [untilNul = ""] = reader.text(bytes, `token ${token}`, "latin1").split("\0", 1);
    const text = untilNul === "" ? `[EMPTY_${token}]` : untilNul;
    const other = textToToken.get(text);
    if (other !== undefined) throw new GgufProblem(`is corrupt: tokens ${other} and ${token} are the same`);
    textToToken.set(text, token);
  }
  part.tokens = [...textToToken.keys()];
  part.hasByteTokens = Array.from({ length: 256 }).every((_, byte) => {
    const hex = byte.toString(16).toUpperCase().padStart(2, "0");
    return textToToken.has(`<0x${hex}>`) || textToToken.has(String.fromCharCode(byte));
  });
}

function alignmentOf(values: ReadonlyMap<string, MetadataValue>): number {
  const alignment = values.get("general.alignment") ?? defaultAlignment;
  if (typeof alignment !== "number" || alignment <= 0 || (alignment & (alignment - 1)) !== 0)
    throw new GgufProblem(`is corrupt: general.alignment is ${String(alignment)}`);
  return alignment;
}

const splitName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/** @returns the name of another part of a split model. */
export function nameOfPart(path: string, part: number): string {
  return path.replace(
    splitName,
    (_, prefix: string, _number: string, total: string) =>
      `${prefix}-${String(part).padStart(5, "0")}-of-${total}.gguf`,
  );
}

/** @returns the paths of all parts, this one first; libllama finds them by the same rule. */
function splitParts(path: string, values: ReadonlyMap<string, MetadataValue>): string[] {
  const count = Number(values.get("split.count") ?? 1);
  if (count <= 1) return [path];
  const [, prefix, number, total] = splitName.exec(path) ?? [];
  if (prefix === undefined || Number(total) !== count)
    throw invalid(
      path,
      `is one of ${count} parts of a model, but its name does not end in -00001-of-NNNNN.gguf`,
    );
  if (Number(number) !== 1 || Number(values.get("split.no") ?? 0) !== 0)
    throw invalid(
      path,
      `is part ${number} of a model; name its first part, ${prefix}-00001-of-${total}.gguf`,
    );
  return Array.from({ length: count }, (_, index) => nameOfPart(path, index + 1));
}
