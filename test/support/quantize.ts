// A call that the program itself has no use for.
// eslint-disable-next-line no-restricted-imports
import koffi from "koffi";
import { librariesAmong, listSharedObjects } from "../../src/llama/find-library.js";

/** Quantizes model files by libllama itself, as its tool does. */

/** `enum llama_ftype`. */
export const quantizations = {
  F32: 0,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q2_K: 10,
  Q3_K_M: 12,
  Q4_K_S: 14,
  Q4_K_M: 15,
  Q5_K_M: 17,
  Q6_K: 18,
  IQ4_NL: 25,
  IQ3_S: 26,
  IQ4_XS: 30,
  BF16: 32,
  TQ1_0: 36,
  TQ2_0: 37,
} as const;

const parametersType = koffi.struct("llama_model_quantize_params", {
  nthread: "int32",
  ftype: "int32",
  output_tensor_type: "int32",
  token_embedding_type: "int32",
  allow_requantize: "bool",
  quantize_output_tensor: "bool",
  only_copy: "bool",
  pure: "bool",
  keep_split: "bool",
  dry_run: "bool",
  imatrix: "void *",
  kv_overrides: "void *",
  tt_overrides: "void *",
  prune_layers: "void *",
  max_buf_size: "size_t",
});

/** @returns what quantizes files; the library has to be open. */
export function createQuantizer(): (from: string, to: string, type: keyof typeof quantizations) => void {
  const [path] = librariesAmong(listSharedObjects());
  if (path === undefined) throw new Error("no libllama is open");
  const library = koffi.load(path);
  const defaults = library.func("llama_model_quantize_default_params", parametersType, []);
  const quantize = library.func("llama_model_quantize", "uint32", [
    "str",
    "str",
    koffi.pointer(parametersType),
  ]);
  return (from, to, type) => {
    const parameters = { ...(defaults() as object), nthread: 1, ftype: quantizations[type] };
    if (quantize(from, to, parameters) !== 0) throw new Error(`libllama cannot quantize ${from} to ${type}`);
  };
}
