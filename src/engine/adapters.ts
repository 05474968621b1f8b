import { basename } from "node:path";

import { present, ShouldersError } from "../errors.js";
import type { Finding } from "../protocol/description.js";
import type { ModelSlot } from "./model-slot.js";

/** Experts that are adapters of the reference: whether they do anything, and whether they are of that reference. */

/** Different ones: among equal tokens attention has nothing to choose, and an adapter of it would show nothing. */
const numProbes = 8;

/** Logits differ by no more where nothing was added. */
const noDifference = 1e-6;

/**
 * Holds every adapter against its model as it is.
 *
 * @throws ShouldersError `adapter_has_no_effect`: their rows are the same
 */
export async function checkAdapters(slots: readonly ModelSlot[]): Promise<void> {
  for (const slot of slots) {
    const { adapter, model } = slot;
    if (adapter === null) continue;
    const plain = slots.find((other) => other.model === model && other.adapter === null);
    const [own, others] = [await probe(slot), await probe(present(plain, "reference of an adapter"))];
    const differ = own.some((logit, token) => !(Math.abs(logit - (others[token] ?? 0)) <= noDifference));
    if (!differ)
      throw new ShouldersError(
        "adapter_has_no_effect",
        `Adapter ${adapter.path} changes nothing at scale ${adapter.scale}: ${model.path} answers the same with it. ` +
          `Was it saved before it was trained? Convert the trained one, or raise its scale.`,
      );
  }
}

/** The row after a few tokens [vocabularySize], a copy. */
async function probe({ model, context }: ModelSlot): Promise<Float32Array> {
  const step = Math.max(1, Math.floor(model.vocabulary.size / (numProbes + 1)));
  let row = 0;
  for (let position = 0; position < numProbes; position++) {
    context.batch.clear();
    row = context.batch.add(step * (position + 1), position, 0, true);
    await context.decode();
  }
  const logits = context.logits(row).slice();
  context.removePositions(0, 0, null);
  return logits;
}

/** Names of models as far as they are compared: `Qwen2.5 0.5B Instruct` and `qwen2.5-0.5b-instruct` are the same. */
const bare = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");

/** Adapters that say they were trained on a model of another name than the reference's. */
export function adapterFindings(
  experts: readonly { id: string; model: number }[],
  slots: readonly ModelSlot[],
): Finding[] {
  return experts.flatMap(({ id, model: index }): Finding[] => {
    const { adapter, model } = present(slots[index], "slot");
    const trainedOn = adapter && model.adapters.get(adapter.path)?.trainedOn;
    if (!trainedOn || bare(trainedOn) === bare(model.name)) return [];
    // Names in headers are often those of a training run; files are then called after the model.
    if (bare(basename(model.path)).includes(bare(trainedOn))) return [];
    return [
      {
        code: "adapter_of_another_model",
        message: `expert "${id}" says that it was trained on ${trainedOn}; the reference is ${model.name}`,
        advice: "Take as the reference exactly the checkpoint that the adapter was trained on.",
      },
    ];
  });
}
