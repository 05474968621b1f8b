import { defaultAlignment, ggufMagic } from "./gguf-format.js";

/** GGUF's numbers of the types that are written here. */
const types = { uint32: 4, float32: 6, string: 8, array: 9 } as const;
const tensorTypes = { f32: 0, f16: 1 } as const;

/**
 * Shapes that shaders are written for: heads of 64, rows of more than one block. Of one layer only the tokens with a row
 * would be attended to; with two, batches go through a device as they do in larger models.
 */
const size = { vocabulary: 64, embedding: 256, heads: 4, feedForward: 256, layers: 2 } as const;

/** A spread of 1/√embedding, so that no layer makes values much larger or smaller. */
const float16Exponent = 15 - Math.log2(Math.sqrt(size.embedding));

interface Tensor {
  name: string;
  /** Fastest dimension first. */
  shape: readonly number[];
  bytes: Buffer;
  type: number;
}

/**
 * A whole model file of the llama architecture, two layers and 2 MB: what a device is tried on before a large model is
 * given to it. Its weights are pseudo-random and always the same.
 */
export function tinyModel(): Buffer {
  const tensors = tinyTensors();
  const metadata = tinyMetadata();
  const counts = [uint32(3), uint64(tensors.length), uint64(metadata.length)];
  const header = [Buffer.from(ggufMagic), ...counts, ...metadata.flat()];
  let offset = 0;
  for (const { name, shape, type, bytes } of tensors) {
    header.push(text(name), uint32(shape.length), ...shape.map(uint64), uint32(type), uint64(offset));
    offset += padded(bytes).length;
  }
  return Buffer.concat([padded(Buffer.concat(header)), ...tensors.map(({ bytes }) => padded(bytes))]);
}

function tinyMetadata(): Buffer[][] {
  const tokens = Array.from({ length: size.vocabulary }, (_, id) => `token${id}`);
  return [
    [text("general.architecture"), uint32(types.string), text("llama")],
    number("llama.context_length", 64),
    number("llama.embedding_length", size.embedding),
    number("llama.block_count", size.layers),
    number("llama.feed_forward_length", size.feedForward),
    number("llama.attention.head_count", size.heads),
    number("llama.attention.head_count_kv", size.heads),
    number("llama.rope.dimension_count", size.embedding / size.heads),
    [text("llama.attention.layer_norm_rms_epsilon"), uint32(types.float32), float32(1e-5)],
    [text("tokenizer.ggml.model"), uint32(types.string), text("gpt2")],
    [text("tokenizer.ggml.pre"), uint32(types.string), text("gpt-2")],
    texts("tokenizer.ggml.tokens", tokens),
    texts("tokenizer.ggml.merges", []),
    number("tokenizer.ggml.bos_token_id", 0),
    number("tokenizer.ggml.eos_token_id", 1),
  ];
}

function tinyTensors(): Tensor[] {
  const { vocabulary, embedding, feedForward } = size;
  const bits = pseudoRandomBits();
  const matrix = (name: string, columns: number, rows: number): Tensor => {
    // Sign and mantissa are random, the exponent is fixed.
    const values = Uint16Array.from(
      { length: columns * rows },
      () => (bits() & 0x83ff) | (float16Exponent << 10),
    );
    return {
      name: `${name}.weight`,
      shape: [columns, rows],
      bytes: Buffer.from(values.buffer),
      type: tensorTypes.f16,
    };
  };
  const norm = (name: string): Tensor => {
    const bytes = Buffer.from(new Float32Array(embedding).fill(1).buffer);
    return { name: `${name}.weight`, shape: [embedding], bytes, type: tensorTypes.f32 };
  };
  return [
    matrix("token_embd", embedding, vocabulary),
    norm("output_norm"),
    matrix("output", embedding, vocabulary),
    ...Array.from({ length: size.layers }, (_, layer) => [
      norm(`blk.${layer}.attn_norm`),
      ...["attn_q", "attn_k", "attn_v", "attn_output"].map((name) =>
        matrix(`blk.${layer}.${name}`, embedding, embedding),
      ),
      norm(`blk.${layer}.ffn_norm`),
      matrix(`blk.${layer}.ffn_gate`, embedding, feedForward),
      matrix(`blk.${layer}.ffn_up`, embedding, feedForward),
      matrix(`blk.${layer}.ffn_down`, feedForward, embedding),
    ]).flat(),
  ];
}

/** xorshift32 (Marsaglia 2003). */
function pseudoRandomBits(): () => number {
  let state = 2463534242;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 8;
  };
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

/** A string with its length before it. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function number(key: string, value: number): Buffer[] {
  return [text(key), uint32(types.uint32), uint32(value)];
}

function texts(key: string, values: readonly string[]): Buffer[] {
  return [
    text(key),
    uint32(types.array),
    uint32(types.string),
    uint64(values.length),
    ...values.map((value) => text(value)),
  ];
}

function padded(bytes: Buffer): Buffer {
  const rest = bytes.length % defaultAlignment;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(defaultAlignment - rest)]);
}
