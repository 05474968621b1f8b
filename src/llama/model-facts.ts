import { basename } from "node:path";

import { samplingSchema, type SamplingSettings } from "../config/fusion-config.js";
import { checkAdapterFile } from "./adapter-file.js";
import { checkModelFile, type GgufSummary, readGgufHeader } from "./gguf-file.js";
import { tensorTypeNames } from "./gguf-format.js";

/** What a model file says of itself in its header, as far as it tells whether models fit together. */
export interface ModelFacts {
  path: string;
  architecture: string;
  /** Its size in layers, widths and heads, by their names in the header. */
  shape: Readonly<Record<string, number>>;
  /** The type of most of its bytes: `F16`, `Q4_K`. */
  quantization: string;
  numParameters: number;
  sizeBytes: number;
  /** Tokens that it was trained to hold; null: the file does not say. */
  contextTrain: number | null;
  /** Tokens beyond which it has no position at all: positions are learned; null: it goes on. */
  mostPositions: number | null;
  chatTemplate: string | null;
  /** The token that begins a prompt, `none`, or null: the file does not say. */
  firstToken: string | null;
  /** The token that ends a text, or null: the file does not say. */
  endToken: string | null;
  /** How its answers are drawn best, as far as the file says. */
  sampling?: Partial<SamplingSettings>;
}

const shapeKeys = [
  "block_count",
  "embedding_length",
  "feed_forward_length",
  "attention.head_count",
  "attention.head_count_kv",
  "expert_count",
];

/** By field of sampling the key of its header. */
const samplingKeys = {
  temperature: "temp",
  topK: "top_k",
  topP: "top_p",
  minP: "min_p",
  repeatPenalty: "penalty_repeat",
} as const;

/** What a header says of sampling; what is out of range is as if it was not there. */
function samplingIn(values: GgufSummary["values"]): Partial<SamplingSettings> {
  const { shape } = samplingSchema;
  return Object.fromEntries(
    Object.entries(samplingKeys).flatMap(([field, key]) => {
      const value = values.get(`general.sampling.${key}`);
      // A float32 as people write it.
      const number = value === undefined ? undefined : Number(Number(value).toPrecision(6));
      const found = shape[field as keyof typeof samplingKeys].unwrap().safeParse(number);
      return found.success ? [[field, found.data]] : [];
    }),
  );
}

/** Facts of a file whose header has been read. */
export function factsOf({
  path,
  architecture,
  values,
  tensors,
  tokens,
  chatTemplate,
}: GgufSummary): ModelFacts {
  const numberOf = (key: string): number | null => {
    const value = values.get(`${architecture}.${key}`);
    return value === undefined ? null : Number(value);
  };
  const tokenOf = (key: string): string | null => {
    const id = values.get(`tokenizer.ggml.${key}`);
    return id === undefined ? null : describeToken(Number(id), tokens[Number(id)] ?? "");
  };
  const typeToBytes = new Map<number, number>();
  for (const { type, bytes } of tensors) typeToBytes.set(type, (typeToBytes.get(type) ?? 0) + bytes);
  const [main] = [...typeToBytes].sort(([, a], [, b]) => b - a);
  const addsFirst = values.get("tokenizer.ggml.add_bos_token");
  return {
    path,
    architecture,
    shape: Object.fromEntries(
      shapeKeys.flatMap((key) => {
        const value = numberOf(key);
        return value === null ? [] : [[key, value]];
      }),
    ),
    quantization: main === undefined ? "unknown" : (tensorTypeNames[main[0]] ?? `type ${main[0]}`),
    numParameters: tensors.reduce((sum, { elements }) => sum + elements, 0),
    sizeBytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    contextTrain: numberOf("context_length"),
    mostPositions: tensors.find(({ name }) => name === "position_embd.weight")?.shape[1] ?? null,
    chatTemplate,
    firstToken: addsFirst === undefined ? null : addsFirst === false ? "none" : tokenOf("bos_token_id"),
    endToken: tokenOf("eos_token_id"),
    sampling: samplingIn(values),
  };
}

/** A token as findings write it: `2 "</s>"`. */
export function describeToken(token: number, text: string): string {
  return `${token} ${JSON.stringify(text)}`;
}

/** A header read for its own sake, before anything is loaded. @throws ShouldersError `model_file_invalid` */
export function readModelFacts(path: string): ModelFacts & { tokens: readonly string[] } {
  const file = checkModelFile(path);
  return { ...factsOf(file), tokens: file.tokens };
}

/**
 * The header of an expert: of a model, or of an adapter, which has the facts of the reference that it adapts.
 *
 * @throws ShouldersError `model_file_invalid`, `adapter_invalid`
 */
export function readExpertFacts(
  path: string,
  referencePath: string,
): { facts: ReturnType<typeof readModelFacts>; isAdapter: boolean } {
  const isAdapter = readGgufHeader(path).values.get("general.type") === "adapter";
  if (!isAdapter) return { facts: readModelFacts(path), isAdapter };
  const { numParameters, sizeBytes } = checkAdapterFile(path, checkModelFile(referencePath));
  return { facts: { ...readModelFacts(referencePath), path, numParameters, sizeBytes }, isAdapter };
}

/** How a model is called in sentences. */
export const nameOf = ({ path }: Pick<ModelFacts, "path">): string => basename(path);
