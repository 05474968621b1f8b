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

/** Tensor types by number: name, and elements and bytes of a block. */
const types: readonly (readonly [number: number, name: string, elements: number, bytes: number])[] = [
  [0, "F32", 1, 4],
  [1, "F16", 1, 2],
  [2, "Q4_0", 32, 18],
  [3, "Q4_1", 32, 20],
  [6, "Q5_0", 32, 22],
  [7, "Q5_1", 32, 24],
  [8, "Q8_0", 32, 34],
  [9, "Q8_1", 32, 36],
  [10, "Q2_K", 256, 84],
  [11, "Q3_K", 256, 110],
  [12, "Q4_K", 256, 144],
  [13, "Q5_K", 256, 176],
  [14, "Q6_K", 256, 210],
  [15, "Q8_K", 256, 292],
  [16, "IQ2_XXS", 256, 66],
  [17, "IQ2_XS", 256, 74],
  [18, "IQ3_XXS", 256, 98],
  [19, "IQ1_S", 256, 50],
  [20, "IQ4_NL", 32, 18],
  [21, "IQ3_S", 256, 110],
  [22, "IQ2_S", 256, 82],
  [23, "IQ4_XS", 256, 136],
  [24, "I8", 1, 1],
  [25, "I16", 1, 2],
  [26, "I32", 1, 4],
  [27, "I64", 1, 8],
  [28, "F64", 1, 8],
  [29, "IQ1_M", 256, 56],
  [30, "BF16", 1, 2],
  [34, "TQ1_0", 256, 54],
  [35, "TQ2_0", 256, 66],
  [39, "MXFP4", 32, 17],
  [40, "NVFP4", 64, 36],
  [41, "Q1_0", 128, 18],
  [42, "Q2_0", 64, 18],
];

/** Tensor types by number: elements and bytes of a block. */
export const tensorTypes: Readonly<Record<number, readonly [elements: number, bytes: number]>> =
  Object.fromEntries(types.map(([number, , elements, bytes]) => [number, [elements, bytes]]));

/** Tensor types by number: their names in ggml. */
export const tensorTypeNames: Readonly<Record<number, string>> = Object.fromEntries(
  types.map(([number, name]) => [number, name]),
);

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
