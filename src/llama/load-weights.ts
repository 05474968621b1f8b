import koffi from "koffi";

import { ShouldersError } from "../errors.js";
import type { NativeFunctions, Pointer } from "./abi.js";
import { callAsync, progressCallbackType } from "./bindings.js";
import type { NativeHandle } from "./native-handle.js";
import { logLinesArrived } from "./native-log.js";
import type { PlacedParameters } from "./parameters.js";
import type { LoadModelOptions } from "./types.js";

function outOfMemory(path: string, reason: string, cause?: unknown): ShouldersError {
  return new ShouldersError(
    "out_of_memory",
    `Model ${path} does not fit: ${reason}. Use a smaller or a more quantized file.`,
    cause === undefined ? {} : { cause },
  );
}

/**
 * Loads what a file has off the event loop.
 *
 * @returns the model in libllama
 * @throws ShouldersError `model_file_invalid` or `out_of_memory`, with libllama's reason
 */
export async function loadWeights(
  { native, log }: NativeHandle,
  path: string,
  {
    parameters,
    isVocabulary,
    onProgress,
  }: Pick<LoadModelOptions, "onProgress"> & { parameters: PlacedParameters; isVocabulary: boolean },
): Promise<Pointer> {
  const mark = log.mark();
  // Called from the loading thread, which waits until the event loop has run it. True: go on.
  const callback = koffi.register((fraction: number) => {
    onProgress(fraction);
    return true;
  }, progressCallbackType);
  try {
    const pointer = await callAsync(native.llama_model_load_from_file, path, {
      ...native.llama_model_default_params(),
      ...parameters.values,
      vocab_only: isVocabulary,
      progress_callback: callback,
    });
    if (pointer !== null) return pointer;
  } finally {
    koffi.unregister(callback);
  }
  await logLinesArrived();
  const reason = log.reasonSince(mark);
  if (/alloc|out of memory/i.test(reason)) throw outOfMemory(path, reason);
  throw new ShouldersError("model_file_invalid", `Model file ${path} cannot be loaded: ${reason}.`);
}

/**
 * Only models that go on with a text, token by token, take part in fusion.
 *
 * @throws ShouldersError `model_file_invalid`
 */
export function checkKind(native: NativeFunctions, model: Pointer, path: string): void {
  const kinds = [
    ["an encoder model", native.llama_model_has_encoder(model) || !native.llama_model_has_decoder(model)],
    ["a diffusion model", native.llama_model_is_diffusion(model)],
  ] as const;
  const found = kinds.find(([, is]) => is);
  if (found)
    throw new ShouldersError(
      "model_file_invalid",
      `Model file ${path} is ${found[0]}; only models that write a text on, token by token, can be fused.`,
    );
}
