// The header alone is read, and nothing native is loaded.
// eslint-disable-next-line no-restricted-imports
import { readGgufFileInfo } from "node-llama-cpp";
import { randomLlama, type GgufContent, type GgufValue, type RandomLlamaOptions } from "./gguf-writer.js";

/** A small model with random weights and the vocabulary of a well-known one. @param file a vocabulary of llama.cpp's */
export async function withVocabularyOf(
  file: string,
  changes: Partial<RandomLlamaOptions>,
): Promise<GgufContent> {
  const { metadata } = await readGgufFileInfo(file, { readTensorInfo: false, logWarnings: false });
  const { ggml } = metadata.tokenizer;
  const vocabularySize = ggml.tokens.length;
  const content = randomLlama({ ...changes, tokens: ggml.tokens, vocabularySize, controlTokens: [] });
  for (const [name, value] of Object.entries(ggml))
    content.metadata.set(`tokenizer.ggml.${name}`, valueOf(name, value));
  return content;
}

function valueOf(name: string, value: unknown): GgufValue {
  if (typeof value === "string") return { type: "string", value };
  if (typeof value === "boolean") return { type: "bool", value };
  if (typeof value === "number") return { type: "uint32", value };
  if (!Array.isArray(value)) throw new Error(`tokenizer.ggml.${name} is not copied`);
  if (typeof value[0] === "string") return { type: "strings", value: value as string[] };
  return { type: name === "scores" ? "float32s" : "int32s", value: value as number[] };
}
