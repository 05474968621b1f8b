import { type FusionConfig, samplingSchema } from "../config/fusion-config.js";
import { present } from "../errors.js";
import type { ModelFacts } from "../llama/model-facts.js";
import type { ConfigDescription, ModelDescription } from "../protocol/description.js";
import type { ModelSlot } from "./model-slot.js";

/** An adapter is of its model's kind and size, in a file of its own. */
export function factsOf({ model, adapter }: ModelSlot): ModelFacts {
  return adapter === null ? model.facts : { ...model.facts, path: adapter.path };
}

/** A model with its context, as the API shows it. */
export function describeModel({ id, model, adapter, context }: ModelSlot): ModelDescription {
  const of = adapter && present(model.adapters.get(adapter.path), "adapter");
  return {
    id,
    path: adapter?.path ?? model.path,
    adapter: adapter &&
      of && { scale: adapter.scale, ranks: of.ranks, alpha: of.alpha, modelBytes: model.sizeBytes },
    name: model.name,
    architecture: model.architecture,
    quantization: model.quantization,
    numParameters: of?.numParameters ?? model.numParameters,
    sizeBytes: of?.sizeBytes ?? model.sizeBytes,
    vocabularySize: model.vocabulary.size,
    contextTrain: model.contextTrain,
    gpuLayers: model.placement.gpuLayers,
    devices: [...model.placement.devices],
    memoryBytes: context.memoryBytes,
  };
}

/** How answers are drawn where a request does not say: as the config says, the base's file, or as is usual. */
export function samplingOf(
  written: FusionConfig["sampling"],
  { model: { facts } }: ModelSlot,
): Pick<ConfigDescription, "sampling" | "samplingOfFile"> {
  const ofFile = facts.sampling ?? {};
  const samplingOfFile = Object.keys(ofFile).filter((field) => !(field in written));
  return { sampling: samplingSchema.parse({ ...ofFile, ...written }), samplingOfFile };
}
