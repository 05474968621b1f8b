/**
 * The part of llama.h that is used, as data. Written for one exact llama.cpp; `library.ts` checks the tag, the
 * struct sizes and the default values before anything else is called.
 */

/** The llama.cpp tag whose header these layouts follow, and the node-llama-cpp that ships it. */
export const pinned = { llamaCpp: "v0.5.0", nodeLlamaCpp: "3.22.1" } as const;

/** C types of fields, arguments and results. Enums are `int32`. */
export type Primitive = "bool" | "int32" | "uint32" | "int64" | "size" | "float" | "pointer";

type Layout = Readonly<Record<string, Primitive>>;

const modelParams = {
  devices: "pointer",
  tensor_buft_overrides: "pointer",
  n_gpu_layers: "int32",
  split_mode: "int32",
  load_mode: "int32",
  lazy_mode: "int32",
  main_gpu: "int32",
  tensor_split: "pointer",
  progress_callback: "pointer",
  progress_callback_user_data: "pointer",
  kv_overrides: "pointer",
  vocab_only: "bool",
  check_tensors: "bool",
  use_extra_bufts: "bool",
  no_host: "bool",
  no_alloc: "bool",
  load_mtp: "bool",
} as const satisfies Layout;

const contextParams = {
  n_ctx: "uint32",
  n_batch: "uint32",
  n_ubatch: "uint32",
  n_seq_max: "uint32",
  n_rs_seq: "uint32",
  n_outputs_max: "uint32",
  n_outputs_max_per_seq: "uint32",
  n_threads: "int32",
  n_threads_batch: "int32",
  ctx_type: "int32",
  rope_scaling_type: "int32",
  pooling_type: "int32",
  attention_type: "int32",
  flash_attn_type: "int32",
  rope_freq_base: "float",
  rope_freq_scale: "float",
  yarn_ext_factor: "float",
  yarn_attn_factor: "float",
  yarn_beta_fast: "float",
  yarn_beta_slow: "float",
  yarn_orig_ctx: "uint32",
  defrag_thold: "float",
  cb_eval: "pointer",
  cb_eval_user_data: "pointer",
  type_k: "int32",
  type_v: "int32",
  abort_callback: "pointer",
  abort_callback_data: "pointer",
  embeddings: "bool",
  offload_kqv: "bool",
  no_perf: "bool",
  op_offload: "bool",
  swa_full: "bool",
  kv_unified: "bool",
  samplers: "pointer",
  n_samplers: "size",
  ctx_other: "pointer",
} as const satisfies Layout;

const batch = {
  n_tokens: "int32",
  token: "pointer",
  embd: "pointer",
  pos: "pointer",
  n_seq_id: "pointer",
  seq_id: "pointer",
  logits: "pointer",
} as const satisfies Layout;

const samplerChainParams = { no_perf: "bool" } as const satisfies Layout;

export const structs = { modelParams, contextParams, batch, samplerChainParams } as const;

/** Bytes of each struct on 64-bit machines, from the C header. */
export const structSizes = { modelParams: 80, contextParams: 160, batch: 56, samplerChainParams: 1 } as const;

/**
 * What the default-params functions must give, field by field, from llama-context.cpp and llama-model.cpp: with a
 * field missing, moved or of another size, some of these read as nonsense. Pointers are null.
 */
export const defaultValues = {
  modelParams: {
    n_gpu_layers: -1,
    split_mode: 1,
    load_mode: -1,
    lazy_mode: 1,
    main_gpu: 0,
    vocab_only: false,
    check_tensors: false,
    use_extra_bufts: true,
    no_host: false,
    no_alloc: false,
    load_mtp: false,
  },
  contextParams: {
    n_ctx: 512,
    n_batch: 2048,
    n_ubatch: 512,
    n_seq_max: 1,
    n_rs_seq: 0,
    n_outputs_max: 0,
    n_outputs_max_per_seq: 1,
    n_threads: 4,
    n_threads_batch: 4,
    ctx_type: 0,
    rope_scaling_type: -1,
    pooling_type: -1,
    attention_type: -1,
    flash_attn_type: -1,
    rope_freq_base: 0,
    rope_freq_scale: 0,
    yarn_ext_factor: -1,
    yarn_attn_factor: -1,
    yarn_beta_fast: -1,
    yarn_beta_slow: -1,
    yarn_orig_ctx: 0,
    defrag_thold: -1,
    type_k: 1,
    type_v: 1,
    embeddings: false,
    offload_kqv: true,
    no_perf: true,
    op_offload: true,
    swa_full: true,
    kv_unified: false,
    n_samplers: 0,
  },
} as const satisfies {
  [Name in "modelParams" | "contextParams"]: Partial<Record<keyof (typeof structs)[Name], number | boolean>>;
};

/** Byte offsets inside `llama_token_data` (12 bytes) and `llama_token_data_array` (32 bytes). */
export const tokenData = { bytes: 12, id: 0, logit: 4, p: 8 } as const;
export const tokenDataArray = { bytes: 32, data: 0, size: 8, selected: 16, sorted: 24 } as const;

/** `enum llama_split_mode`. */
export const splitModes = { none: 0, layer: 1, row: 2 } as const;
/** `enum llama_load_mode`. */
export const loadModes = { auto: -1, none: 0, mlock: 2, mmapMlock: 3 } as const;
/** `enum llama_flash_attn_type`. */
export const flashAttentionTypes = { auto: -1, off: 0, on: 1 } as const;
/** `enum llama_rope_scaling_type`. */
export const ropeScalingTypes = { none: 0, linear: 1, yarn: 2 } as const;
/** `enum ggml_type`, those that cells can have. */
export const cacheTypeNumbers = {
  f32: 0,
  f16: 1,
  q4_0: 2,
  q4_1: 3,
  q5_0: 6,
  q5_1: 7,
  q8_0: 8,
  iq4_nl: 20,
  bf16: 30,
} as const;

/** `enum llama_token_attr`. */
export const tokenAttribute = { unknown: 1, unused: 2, control: 8, userDefined: 16 } as const;

/** `enum llama_vocab_type`. */
export const vocabularyTypes = ["none", "SPM", "BPE", "WPM", "UGM", "RWKV", "PLaMo-2", "test"] as const;

type TypeName = Primitive | keyof typeof structs | "void" | "string" | "memory";

/**
 * Name: [result, ...arguments]. `string`: UTF-8, ended by NUL. `memory`: a pointer, or a typed array that
 * native code reads or fills before it returns (never in an `.async` call).
 */
export const functions = {
  llama_version: ["string"],
  llama_model_default_params: ["modelParams"],
  llama_context_default_params: ["contextParams"],
  llama_max_parallel_sequences: ["size"],
  llama_log_get: ["void", "memory", "memory"],
  llama_log_set: ["void", "pointer", "pointer"],

  llama_model_load_from_file: ["pointer", "string", "modelParams"],
  llama_model_free: ["void", "pointer"],
  llama_model_get_vocab: ["pointer", "pointer"],
  llama_model_n_ctx_train: ["int32", "pointer"],
  llama_model_n_layer: ["int32", "pointer"],
  llama_model_n_params: ["int64", "pointer"],
  llama_model_size: ["int64", "pointer"],
  llama_model_ftype: ["int32", "pointer"],
  llama_ftype_name: ["string", "int32"],
  llama_model_has_encoder: ["bool", "pointer"],
  llama_model_has_decoder: ["bool", "pointer"],
  llama_model_is_diffusion: ["bool", "pointer"],
  llama_model_chat_template: ["string", "pointer", "string"],

  llama_vocab_type: ["int32", "pointer"],
  llama_vocab_n_tokens: ["int32", "pointer"],
  llama_vocab_get_text: ["string", "pointer", "int32"],
  llama_vocab_get_attr: ["int32", "pointer", "int32"],
  llama_vocab_is_eog: ["bool", "pointer", "int32"],
  llama_vocab_bos: ["int32", "pointer"],
  llama_vocab_eos: ["int32", "pointer"],
  llama_vocab_eot: ["int32", "pointer"],
  llama_vocab_fim_pre: ["int32", "pointer"],
  llama_vocab_fim_suf: ["int32", "pointer"],
  llama_vocab_fim_mid: ["int32", "pointer"],
  llama_vocab_get_add_bos: ["bool", "pointer"],
  llama_token_to_piece: ["int32", "pointer", "int32", "memory", "int32", "int32", "bool"],
  llama_tokenize: ["int32", "pointer", "memory", "int32", "memory", "int32", "bool", "bool"],

  llama_init_from_model: ["pointer", "pointer", "contextParams"],
  llama_free: ["void", "pointer"],
  llama_n_ctx: ["uint32", "pointer"],
  llama_n_batch: ["uint32", "pointer"],
  llama_get_memory: ["pointer", "pointer"],
  llama_memory_seq_rm: ["bool", "pointer", "int32", "int32", "int32"],
  llama_memory_seq_cp: ["void", "pointer", "int32", "int32", "int32", "int32"],
  llama_memory_seq_pos_max: ["int32", "pointer", "int32"],
  llama_decode: ["int32", "pointer", "batch"],
  llama_set_n_threads: ["void", "pointer", "int32", "int32"],
  llama_synchronize: ["void", "pointer"],
  llama_get_logits: ["pointer", "pointer"],

  llama_adapter_lora_init: ["pointer", "pointer", "string"],
  llama_set_adapters_lora: ["int32", "pointer", "memory", "size", "memory"],

  llama_sampler_chain_init: ["pointer", "samplerChainParams"],
  llama_sampler_chain_add: ["void", "pointer", "pointer"],
  llama_sampler_apply: ["void", "pointer", "pointer"],
  llama_sampler_accept: ["void", "pointer", "int32"],
  llama_sampler_free: ["void", "pointer"],
  llama_sampler_init_logit_bias: ["pointer", "int32", "int32", "memory"],
  llama_sampler_init_penalties: ["pointer", "int32", "int32", "float", "float", "float"],
  llama_sampler_init_top_k: ["pointer", "int32"],
  llama_sampler_init_typical: ["pointer", "float", "size"],
  llama_sampler_init_top_p: ["pointer", "float", "size"],
  llama_sampler_init_min_p: ["pointer", "float", "size"],
  llama_sampler_init_temp: ["pointer", "float"],
  llama_sampler_init_dist: ["pointer", "uint32"],
  llama_sampler_init_greedy: ["pointer"],
} as const satisfies Record<string, readonly [TypeName, ...TypeName[]]>;

/** An address; never 0. */
export type Pointer = bigint;

/** A struct by value, field by field. */
export type StructValue<Name extends keyof typeof structs> = {
  -readonly [Field in keyof (typeof structs)[Name]]: PrimitiveValue<
    (typeof structs)[Name][Field] & Primitive
  >;
};

type PrimitiveValue<Name extends Primitive> = Name extends "bool"
  ? boolean
  : Name extends "pointer"
    ? Pointer | null
    : Name extends "int64" | "size"
      ? number | bigint
      : number;

type ValueOf<Name> = Name extends Primitive
  ? PrimitiveValue<Name>
  : Name extends keyof typeof structs
    ? StructValue<Name>
    : Name extends "string"
      ? string | null
      : Name extends "memory"
        ? NodeJS.TypedArray | Pointer | null
        : undefined;

type Values<Names extends readonly unknown[]> = { [Index in keyof Names]: ValueOf<Names[Index]> };

export interface NativeFunction<Result, Arguments extends unknown[]> {
  (...args: Arguments): Result;
  /** Runs on libuv's pool: 4 threads unless UV_THREADPOOL_SIZE says otherwise, which whoever forks the engine sets. */
  async(...args: [...Arguments, (error: Error | null, result: Result) => void]): void;
}

export type NativeFunctions = {
  readonly [Name in keyof typeof functions]: (typeof functions)[Name] extends readonly [
    infer Result,
    ...infer Arguments,
  ]
    ? NativeFunction<ValueOf<Result>, Values<Arguments>>
    : never;
};
