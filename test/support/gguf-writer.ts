import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";

/** Writes GGUF files for tests and benches: small models of the llama architecture with random weights. */

export type GgufValue =
  | { type: "string"; value: string }
  | { type: "uint32" | "int32" | "float32" | "uint16" | "uint64"; value: number }
  | { type: "bool"; value: boolean }
  | { type: "strings"; value: readonly string[] }
  | { type: "int32s" | "float32s"; value: readonly number[] };

export interface GgufTensor {
  name: string;
  /** Fastest dimension first. */
  shape: readonly number[];
  type: "f32" | "f16";
  /** How far values lie from 0; `ones`: every value is 1; or what every value is, in float32. */
  fill: { spread: number } | { value: number } | "ones";
}

export interface GgufContent {
  version: number;
  metadata: Map<string, GgufValue>;
  tensors: GgufTensor[];
  seed: number;
}

export interface RandomLlamaOptions {
  vocabularySize: number;
  embedding: number;
  layers: number;
  heads: number;
  feedForward: number;
  contextTrain: number;
  seed: number;
  /** Raw texts of the first tokens; the rest is filled up. Default: <bos>, <eos>, then the 256 bytes. */
  tokens: readonly string[];
  /** Ids of control tokens. */
  controlTokens: readonly number[];
  bos: number;
  eos: number;
  addsBos: boolean;
  chatTemplate: string | null;
  name: string;
}

export const smallLlama: RandomLlamaOptions = {
  vocabularySize: 320,
  embedding: 64,
  layers: 2,
  heads: 4,
  feedForward: 128,
  contextTrain: 512,
  seed: 1,
  tokens: ["<bos>", "<eos>", ...byteTokens()],
  controlTokens: [0, 1],
  bos: 0,
  eos: 1,
  addsBos: true,
  chatTemplate: null,
  name: "random",
};

/** The characters that stand for the 256 bytes in a byte-level vocabulary (GPT-2's table). */
export function byteTokens(): string[] {
  const isPlain = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPlain(byte) ? byte : next++));
}

/** A decoder of the llama architecture: float16 matrices, float32 norms, an output matrix of its own. */
export function randomLlama(changes: Partial<RandomLlamaOptions> = {}): GgufContent {
  const options = { ...smallLlama, ...changes };
  const { vocabularySize, embedding, layers, heads, feedForward } = options;
  const tokens = Array.from({ length: vocabularySize }, (_, id) => options.tokens[id] ?? `Ġtoken${id}`);
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "llama" }],
    ["general.name", { type: "string", value: options.name }],
    ["general.file_type", { type: "uint32", value: 1 }],
    ["llama.context_length", { type: "uint32", value: options.contextTrain }],
    ["llama.embedding_length", { type: "uint32", value: embedding }],
    ["llama.block_count", { type: "uint32", value: layers }],
    ["llama.feed_forward_length", { type: "uint32", value: feedForward }],
    ["llama.attention.head_count", { type: "uint32", value: heads }],
    ["llama.attention.head_count_kv", { type: "uint32", value: heads }],
    ["llama.attention.layer_norm_rms_epsilon", { type: "float32", value: 1e-5 }],
    ["llama.rope.dimension_count", { type: "uint32", value: embedding / heads }],
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: "qwen2" }],
    ["tokenizer.ggml.tokens", { type: "strings", value: tokens }],
    [
      "tokenizer.ggml.token_type",
      { type: "int32s", value: tokens.map((_, id) => (options.controlTokens.includes(id) ? 3 : 1)) },
    ],
    ["tokenizer.ggml.merges", { type: "strings", value: [] }],
    ["tokenizer.ggml.bos_token_id", { type: "uint32", value: options.bos }],
    ["tokenizer.ggml.eos_token_id", { type: "uint32", value: options.eos }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: options.addsBos }],
  ]);
  if (options.chatTemplate !== null)
    metadata.set("tokenizer.chat_template", { type: "string", value: options.chatTemplate });
  const matrix = (name: string, columns: number, rows: number): GgufTensor => ({
    name: `${name}.weight`,
    shape: [columns, rows],
    type: "f16",
    fill: { spread: 1 / Math.sqrt(columns) },
  });
  const norm = (name: string): GgufTensor => ({
    name: `${name}.weight`,
    shape: [embedding],
    type: "f32",
    fill: "ones",
  });
  const tensors = [
    matrix("token_embd", embedding, vocabularySize),
    norm("output_norm"),
    matrix("output", embedding, vocabularySize),
    ...Array.from({ length: layers }, (_, layer) => [
      norm(`blk.${layer}.attn_norm`),
      matrix(`blk.${layer}.attn_q`, embedding, embedding),
      matrix(`blk.${layer}.attn_k`, embedding, embedding),
      matrix(`blk.${layer}.attn_v`, embedding, embedding),
      matrix(`blk.${layer}.attn_output`, embedding, embedding),
      norm(`blk.${layer}.ffn_norm`),
      matrix(`blk.${layer}.ffn_gate`, embedding, feedForward),
      matrix(`blk.${layer}.ffn_up`, embedding, feedForward),
      matrix(`blk.${layer}.ffn_down`, feedForward, embedding),
    ]).flat(),
  ];
  return { version: 3, metadata, tensors, seed: options.seed };
}

const alignment = 32;

/** Writes the file tensor by tensor, so that a model of gigabytes takes no memory. */
export function writeGguf(path: string, content: GgufContent): void {
  const random = generator(content.seed);
  const file = openSync(path, "w");
  try {
    writeSync(file, encodeHeader(content));
    for (const tensor of content.tensors) {
      const bytes = tensorBytes(tensor);
      for (let done = 0; done < bytes; done += chunkBytes)
        writeSync(file, encodeValues(tensor, Math.min(chunkBytes, bytes - done), random));
      writeSync(file, Buffer.alloc(padded(bytes) - bytes));
    }
  } finally {
    closeSync(file);
  }
}

/** Everything before the first tensor's data, padded. */
export function encodeHeader({ version, metadata, tensors }: GgufContent): Buffer {
  const parts: Buffer[] = [
    Buffer.from("GGUF"),
    uint32(version),
    uint64(tensors.length),
    uint64(metadata.size),
  ];
  for (const [key, value] of metadata) parts.push(string(key), Buffer.concat(encodeValue(value)));
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(string(tensor.name), uint32(tensor.shape.length), ...tensor.shape.map(uint64));
    parts.push(uint32(tensor.type === "f16" ? 1 : 0), uint64(offset));
    offset += padded(tensorBytes(tensor));
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([header, Buffer.alloc(padded(header.length) - header.length)]);
}

/** Copies a file with bytes replaced at an offset, cut to a length, or both. */
export function corrupt(
  from: string,
  to: string,
  change: { at?: number; bytes?: Uint8Array; length?: number },
): void {
  const content = Buffer.from(readFileSync(from));
  if (change.bytes) content.set(change.bytes, change.at ?? 0);
  writeFileSync(to, content.subarray(0, change.length ?? content.length));
}

const chunkBytes = 1 << 22;

function padded(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function tensorBytes({ shape, type }: GgufTensor): number {
  return shape.reduce((product, length) => product * length, 1) * (type === "f16" ? 2 : 4);
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

export function uint64(value: number | bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  return Buffer.concat([uint64(bytes.length), bytes]);
}

const typeNumbers = { uint16: 2, uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, uint64: 10 } as const;
const arrayNumber = 9;

function encodeValue(value: GgufValue): Buffer[] {
  switch (value.type) {
    case "string":
      return [uint32(typeNumbers.string), string(value.value)];
    case "uint32":
      return [uint32(typeNumbers.uint32), uint32(value.value)];
    case "uint64":
      return [uint32(typeNumbers.uint64), uint64(value.value)];
    case "uint16":
      return [uint32(typeNumbers.uint16), Buffer.from(new Uint16Array([value.value]).buffer)];
    case "int32":
      return [uint32(typeNumbers.int32), Buffer.from(new Int32Array([value.value]).buffer)];
    case "float32":
      return [uint32(typeNumbers.float32), Buffer.from(new Float32Array([value.value]).buffer)];
    case "bool":
      return [uint32(typeNumbers.bool), Buffer.from([value.value ? 1 : 0])];
    case "strings":
      return [...arrayHead(typeNumbers.string, value.value.length), ...value.value.map(string)];
    case "int32s":
      return [
        ...arrayHead(typeNumbers.int32, value.value.length),
        Buffer.from(new Int32Array(value.value).buffer),
      ];
    case "float32s":
      return [
        ...arrayHead(typeNumbers.float32, value.value.length),
        Buffer.from(new Float32Array(value.value).buffer),
      ];
  }
}

function arrayHead(type: number, length: number): Buffer[] {
  return [uint32(arrayNumber), uint32(type), uint64(length)];
}

/** xorshift32. */
function generator(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Random values are ±[0.5, 1) of twice the spread's power of two: cheap to make as float16 bits. */
function encodeValues(tensor: GgufTensor, bytes: number, random: () => number): Buffer {
  if (tensor.type === "f32") {
    const values = new Float32Array(bytes / 4);
    const { fill } = tensor;
    for (let index = 0; index < values.length; index++)
      values[index] =
        fill === "ones" ? 1 : "value" in fill ? fill.value : (random() / 2 ** 31 - 1) * fill.spread;
    return Buffer.from(values.buffer);
  }
  const values = new Uint16Array(bytes / 2);
  if (tensor.fill === "ones") values.fill(0x3c00);
  else if ("spread" in tensor.fill) {
    const exponent = 15 + Math.round(Math.log2(tensor.fill.spread));
    // Sign and mantissa are random bits, the exponent is fixed.
    for (let index = 0; index < values.length; index++)
      values[index] = (random() & 0x83ff) | (exponent << 10);
  }
  return Buffer.from(values.buffer);
}
