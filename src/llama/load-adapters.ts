import { ShouldersError } from "../errors.js";
import type { Pointer } from "./abi.js";
import type { AdapterFacts } from "./adapter-file.js";
import { callAsync } from "./bindings.js";
import type { NativeHandle } from "./native-handle.js";
import { logLinesArrived } from "./native-log.js";

/** An adapter in libllama, which releases it with its model. */
export interface LoadedAdapter {
  pointer: Pointer;
  facts: AdapterFacts;
}

/**
 * Loads adapters of a model, before it has a context.
 *
 * @returns them by their paths
 * @throws ShouldersError `adapter_invalid` with libllama's own words
 */
export async function loadAdapters(
  { native, log }: NativeHandle,
  model: Pointer,
  checked: readonly AdapterFacts[],
): Promise<Map<string, LoadedAdapter>> {
  const adapters = new Map<string, LoadedAdapter>();
  for (const facts of checked) {
    const mark = log.mark();
    const pointer = await callAsync(native.llama_adapter_lora_init, model, facts.path);
    if (pointer === null) {
      await logLinesArrived();
      const reason = log.reasonSince(mark);
      throw new ShouldersError("adapter_invalid", `Adapter ${facts.path} cannot be loaded: ${reason}.`);
    }
    adapters.set(facts.path, { pointer, facts });
  }
  return adapters;
}
