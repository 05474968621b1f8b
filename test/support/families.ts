import { type GgufContent, type GgufTensor, type GgufValue, randomLlama } from "./gguf-writer.js";

/** Small random models of many architectures, all over the vocabulary of `randomLlama`. */

const width = 64;
const numLayers = 3;

const matrix = (name: string, columns: number, rows: number): GgufTensor => ({
  name,
  shape: [columns, rows],
  type: "f16",
  fill: { spread: 1 / Math.sqrt(columns) },
});
const filled = (name: string, shape: number[], fill: GgufTensor["fill"]): GgufTensor => ({
  name,
  shape,
  type: "f32",
  fill,
});
const norm = (name: string, length = width): GgufTensor => filled(name, [length], "ones");
const uint = (value: number): GgufValue => ({ type: "uint32", value });

/** A model's content with the vocabulary of a `randomLlama`. */
function contentOf(
  architecture: string,
  values: Record<string, GgufValue>,
  tensors: GgufTensor[],
  seed: number,
): GgufContent {
  const { metadata } = randomLlama();
  const vocabulary = [...metadata].filter(([key]) => key.startsWith("tokenizer."));
  const own = Object.entries({
    context_length: uint(512),
    embedding_length: uint(width),
    block_count: uint(numLayers),
    "attention.layer_norm_rms_epsilon": { type: "float32", value: 1e-5 } as const,
    ...values,
  }).map(([key, value]): [string, GgufValue] => [`${architecture}.${key}`, value]);
  const vocabularySize = 320;
  return {
    version: 3,
    metadata: new Map<string, GgufValue>([
      ["general.architecture", { type: "string", value: architecture }],
      // libllama changes vocabularies by some names.
      ["general.name", { type: "string", value: "random" }],
      ["general.file_type", uint(1)],
      ...own,
      ...vocabulary,
    ]),
    tensors: [
      matrix("token_embd.weight", width, vocabularySize),
      matrix("output.weight", width, vocabularySize),
      ...tensors,
    ],
    seed,
  };
}

const layers = (of: (layer: string, index: number) => GgufTensor[]): GgufTensor[] =>
  Array.from({ length: numLayers }, (_, index) => of(`blk.${index}`, index)).flat();

/** Recurrent: no layer attends. */
export function randomMamba(seed = 1): GgufContent {
  const [inner, state, kernel, rank] = [2 * width, 16, 4, 8];
  return contentOf(
    "mamba",
    {
      feed_forward_length: uint(0),
      "attention.head_count": uint(0),
      "ssm.conv_kernel": uint(kernel),
      "ssm.inner_size": uint(inner),
      "ssm.state_size": uint(state),
      "ssm.time_step_rank": uint(rank),
    },
    [
      norm("output_norm.weight"),
      ...layers((layer) => [
        norm(`${layer}.attn_norm.weight`),
        matrix(`${layer}.ssm_in.weight`, width, 2 * inner),
        filled(`${layer}.ssm_conv1d.weight`, [kernel, inner], { spread: 0.5 }),
        filled(`${layer}.ssm_conv1d.bias`, [inner], { spread: 0.1 }),
        matrix(`${layer}.ssm_x.weight`, inner, rank + 2 * state),
        matrix(`${layer}.ssm_dt.weight`, rank, inner),
        filled(`${layer}.ssm_dt.bias`, [inner], { spread: 0.5 }),
        // A state fades.
        filled(`${layer}.ssm_a`, [state, inner], { value: -0.5 }),
        norm(`${layer}.ssm_d`, inner),
        matrix(`${layer}.ssm_out.weight`, inner, width),
      ]),
    ],
    seed,
  );
}

/** Hybrid: the middle layer attends, the others convolve. */
export function randomHybrid(seed = 1): GgufContent {
  const [heads, feedForward, kernel] = [4, 128, 3];
  return contentOf(
    "lfm2",
    {
      feed_forward_length: uint(feedForward),
      "attention.head_count": uint(heads),
      "attention.head_count_kv": { type: "int32s", value: [0, heads, 0] },
      "rope.freq_base": { type: "float32", value: 10_000 },
      "shortconv.l_cache": uint(kernel),
    },
    [
      norm("token_embd_norm.weight"),
      ...layers((layer, index) => [
        norm(`${layer}.attn_norm.weight`),
        norm(`${layer}.ffn_norm.weight`),
        matrix(`${layer}.ffn_gate.weight`, width, feedForward),
        matrix(`${layer}.ffn_up.weight`, width, feedForward),
        matrix(`${layer}.ffn_down.weight`, feedForward, width),
        ...(index === 1
          ? [
              norm(`${layer}.attn_q_norm.weight`, width / heads),
              norm(`${layer}.attn_k_norm.weight`, width / heads),
              ...["q", "k", "v", "output"].map((name) =>
                matrix(`${layer}.attn_${name}.weight`, width, width),
              ),
            ]
          : [
              filled(`${layer}.shortconv.conv.weight`, [kernel, width], { spread: 0.5 }),
              matrix(`${layer}.shortconv.in_proj.weight`, width, 3 * width),
              matrix(`${layer}.shortconv.out_proj.weight`, width, width),
            ]),
      ]),
    ],
    seed,
  );
}

/** Every other layer sees the last 16 tokens only. */
export function randomWindowed(seed = 1): GgufContent {
  const [heads, feedForward] = [4, 128];
  const content = contentOf(
    "gemma2",
    {
      feed_forward_length: uint(feedForward),
      "attention.head_count": uint(heads),
      "attention.head_count_kv": uint(heads),
      "attention.key_length": uint(width / heads),
      "attention.value_length": uint(width / heads),
      "attention.sliding_window": uint(16),
    },
    [
      norm("output_norm.weight"),
      ...layers((layer) => [
        ...["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"].map((name) =>
          norm(`${layer}.${name}.weight`),
        ),
        ...["q", "k", "v", "output"].map((name) => matrix(`${layer}.attn_${name}.weight`, width, width)),
        matrix(`${layer}.ffn_gate.weight`, width, feedForward),
        matrix(`${layer}.ffn_up.weight`, width, feedForward),
        matrix(`${layer}.ffn_down.weight`, feedForward, width),
      ]),
    ],
    seed,
  );
  // Its output is its embeddings.
  return { ...content, tensors: content.tensors.filter(({ name }) => name !== "output.weight") };
}

/** An encoder: it reads texts and writes none. */
export function randomEncoder(seed = 1): GgufContent {
  const [heads, feedForward, buckets] = [4, 128, 8];
  return contentOf(
    "t5encoder",
    {
      feed_forward_length: uint(feedForward),
      "attention.head_count": uint(heads),
      "attention.relative_buckets_count": uint(buckets),
    },
    [
      norm("enc.output_norm.weight"),
      ...layers((layer) => [
        norm(`enc.${layer}.attn_norm.weight`),
        norm(`enc.${layer}.ffn_norm.weight`),
        filled(`enc.${layer}.attn_rel_b.weight`, [heads, buckets], { spread: 0.1 }),
        ...["attn_q", "attn_k", "attn_v", "attn_o"].map((name) =>
          matrix(`enc.${layer}.${name}.weight`, width, width),
        ),
        matrix(`enc.${layer}.ffn_gate.weight`, width, feedForward),
        matrix(`enc.${layer}.ffn_up.weight`, width, feedForward),
        matrix(`enc.${layer}.ffn_down.weight`, feedForward, width),
      ]),
    ],
    seed,
  );
}

/** A gated feed-forward network. */
const gated = (layer: string, feedForward = 128): GgufTensor[] => [
  matrix(`${layer}.ffn_gate.weight`, width, feedForward),
  matrix(`${layer}.ffn_up.weight`, width, feedForward),
  matrix(`${layer}.ffn_down.weight`, feedForward, width),
];
const attention = (layer: string): GgufTensor[] =>
  ["q", "k", "v", "output"].map((name) => matrix(`${layer}.attn_${name}.weight`, width, width));
const norms = (layer: string, ...names: string[]): GgufTensor[] =>
  names.map((name) => norm(`${layer}.${name}.weight`));
const bias = (name: string, length = width): GgufTensor => filled(`${name}.bias`, [length], { spread: 0.1 });
const layerNorm = (name: string): GgufTensor[] => [norm(`${name}.weight`), bias(name)];

const numHeads = 4;
const usual = {
  feed_forward_length: uint(128),
  "attention.head_count": uint(numHeads),
  "attention.head_count_kv": uint(numHeads),
} satisfies Record<string, GgufValue>;

/** Architecture, its own numbers, and the tensors beside the embeddings. */
function transformer(
  architecture: string,
  of: (layer: string) => GgufTensor[],
  values: Record<string, GgufValue> = {},
  others: GgufTensor[] = [norm("output_norm.weight")],
): (seed?: number) => GgufContent {
  return (seed = 1) => contentOf(architecture, { ...usual, ...values }, [...others, ...layers(of)], seed);
}

const epsilon = { "attention.layer_norm_epsilon": { type: "float32", value: 1e-5 } } as const;
const head = width / numHeads;
/** All are used: with random gates two may be as good as each other, and noise would choose. */
const numExperts = 4;

/** A model of each kind of attention, normalization, feed-forward network and memory, by what it stands for. */
export const families: Readonly<Record<string, (seed?: number) => GgufContent>> = {
  "Qwen2: biases": transformer("qwen2", (layer) => [
    ...norms(layer, "attn_norm", "ffn_norm"),
    ...attention(layer),
    ...["q", "k", "v"].map((name) => bias(`${layer}.attn_${name}`)),
    ...gated(layer),
  ]),
  "Qwen3: norms of queries and keys": transformer(
    "qwen3",
    (layer) => [
      ...norms(layer, "attn_norm", "ffn_norm"),
      ...attention(layer),
      norm(`${layer}.attn_q_norm.weight`, head),
      norm(`${layer}.attn_k_norm.weight`, head),
      ...gated(layer),
    ],
    { "attention.key_length": uint(head), "attention.value_length": uint(head) },
  ),
  "OLMo 2: norms behind": transformer("olmo2", (layer) => [
    ...norms(layer, "attn_q_norm", "attn_k_norm", "post_attention_norm", "post_ffw_norm"),
    ...attention(layer),
    ...gated(layer),
  ]),
  "Granite: scales": transformer(
    "granite",
    (layer) => [...norms(layer, "attn_norm", "ffn_norm"), ...attention(layer), ...gated(layer)],
    Object.fromEntries(
      Object.entries({ logit_scale: 2, residual_scale: 0.7, embedding_scale: 3, "attention.scale": 0.2 }).map(
        ([key, value]) => [key, { type: "float32", value }] as const,
      ),
    ),
  ),
  "Phi 3: one matrix for queries, keys and values": transformer(
    "phi3",
    (layer) => [
      ...norms(layer, "attn_norm", "ffn_norm"),
      matrix(`${layer}.attn_qkv.weight`, width, 3 * width),
      matrix(`${layer}.attn_output.weight`, width, width),
      matrix(`${layer}.ffn_up.weight`, width, 256),
      matrix(`${layer}.ffn_down.weight`, 128, width),
    ],
    { "rope.dimension_count": uint(head) },
  ),
  "BLOOM: ALiBi": transformer(
    "bloom",
    (layer) => [
      ...layerNorm(`${layer}.attn_norm`),
      ...layerNorm(`${layer}.ffn_norm`),
      matrix(`${layer}.attn_qkv.weight`, width, 3 * width),
      bias(`${layer}.attn_qkv`, 3 * width),
      matrix(`${layer}.attn_output.weight`, width, width),
      bias(`${layer}.attn_output`),
      matrix(`${layer}.ffn_up.weight`, width, 128),
      bias(`${layer}.ffn_up`, 128),
      matrix(`${layer}.ffn_down.weight`, 128, width),
      bias(`${layer}.ffn_down`),
    ],
    epsilon,
    [...layerNorm("token_embd_norm"), ...layerNorm("output_norm")],
  ),
  "Mixtral: experts of a mixture": transformer(
    "llama",
    (layer) => [
      ...norms(layer, "attn_norm", "ffn_norm"),
      ...attention(layer),
      matrix(`${layer}.ffn_gate_inp.weight`, width, numExperts),
      ...gated(layer).map(({ name, shape, ...tensor }): GgufTensor => ({
        ...tensor,
        name: name.replace(".weight", "_exps.weight"),
        shape: [...shape, numExperts],
      })),
    ],
    {
      "rope.dimension_count": uint(head),
      expert_count: uint(numExperts),
      expert_used_count: uint(numExperts),
    },
  ),
  "Gemma 2: windows": randomWindowed,
  "Mamba: a state": randomMamba,
  "LFM2: a state in some layers": randomHybrid,
};
