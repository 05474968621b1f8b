/** The GGUF file format as far as it is checked, as data. Source: gguf.h and ggml.c of the pinned llama.cpp. */

export const ggufMagic = "GGUF";
export const ggufVersions = [2, 3] as const;
export const defaultAlignment = 32;
export const mostDimensions = 4;
/** Tensor names are shorter than this, in bytes. */
export const tensorNameLimit = 64;

/** Metadata types by number: their name and bytes. */
export const valueTypes: Readonly<Record<number, { name: string; bytes: number }>> = {
  0: { name: "uint8", bytes: 1 },
  1: { name: "int8", bytes: 1 },
  2: { name: "uint16", bytes: 2 },
  3: { name: "int16", bytes: 2 },
  4: { name: "uint32", bytes: 4 },
  5: { name: "int32", bytes: 4 },
  6: { name: "float32", bytes: 4 },
  7: { name: "bool", bytes: 1 },
  10: { name: "uint64", bytes: 8 },
  11: { name: "int64", bytes: 8 },
  12: { name: "float64", bytes: 8 },
};
export const stringType = 8;
export const arrayType = 9;

/** Tensor types by number: elements and bytes of a block. */
export const tensorTypes: Readonly<Record<number, readonly [elements: number, bytes: number]>> = {
  0: [1, 4], // F32
  1: [1, 2], // F16
  2: [32, 18], // Q4_0
  3: [32, 20], // Q4_1
  6: [32, 22], // Q5_0
  7: [32, 24], // Q5_1
  8: [32, 34], // Q8_0
  9: [32, 36], // Q8_1
  10: [256, 84], // Q2_K
  11: [256, 110], // Q3_K
  12: [256, 144], // Q4_K
  13: [256, 176], // Q5_K
  14: [256, 210], // Q6_K
  15: [256, 292], // Q8_K
  16: [256, 66], // IQ2_XXS
  17: [256, 74], // IQ2_XS
  18: [256, 98], // IQ3_XXS
  19: [256, 50], // IQ1_S
  20: [32, 18], // IQ4_NL
  21: [256, 110], // IQ3_S
  22: [256, 82], // IQ2_S
  23: [256, 136], // IQ4_XS
  24: [1, 1], // I8
  25: [1, 2], // I16
  26: [1, 4], // I32
  27: [1, 8], // I64
  28: [1, 8], // F64
  29: [256, 56], // IQ1_M
  30: [1, 2], // BF16
  34: [256, 54], // TQ1_0
  35: [256, 66], // TQ2_0
  39: [32, 17], // MXFP4
  40: [64, 36], // NVFP4
  41: [128, 18], // Q1_0
  42: [64, 18], // Q2_0
};

export const float32Tensor = 0;
export const int32Tensor = 26;
/** Types of tensors that no product of matrices takes: Q8_1 and Q8_K for parts of products, I8 to I64, F64. */
export const notForMatrices: readonly number[] = [9, 15, 24, 25, 26, 27, 28];

/** Element types that libllama expects; for some arrays it does not ask, and another type would end the process. */
export const arrayElementTypes: Readonly<Record<string, readonly string[]>> = {
  "tokenizer.ggml.tokens": ["string"],
  "tokenizer.ggml.merges": ["string"],
  "tokenizer.ggml.scores": ["float32", "int32"],
  "tokenizer.ggml.token_type": ["int32"],
};
