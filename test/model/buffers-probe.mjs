// Loads a model for real, with what libllama logs of its buffers, and prints them beside what was measured before.
import koffi from "koffi";
import { bindFunctions } from "../../dist/llama/bindings.js";
import { addContextBuffers, addLoadedWeights, MemorySum } from "../../dist/llama/buffers.js";
import { Devices } from "../../dist/llama/devices.js";
import { openLibrary } from "../../dist/llama/library.js";
import { NativeLog } from "../../dist/llama/native-log.js";
import { contextParameters, PlacedParameters } from "../../dist/llama/parameters.js";
import { inMainMemory } from "../../dist/llama/types.js";

const { backend, path, placement, options } = JSON.parse(process.argv[2]);
const library = await openLibrary({ backend });
const where = { ...inMainMemory, ...placement };
const resident = () => process.memoryUsage.rss();

const measurer = library.createMeasurer();
const measured = measurer.measure(path, where, options);
measurer[Symbol.dispose]();

process.report.excludeNetwork = true;
const { sharedObjects } = process.report.getReport();
const libllama = sharedObjects.find((name) => /libllama(\.[a-z]+)?\.v/.test(name));
const native = bindFunctions(koffi.load(libllama));
const parameters = new PlacedParameters(where, new Devices(sharedObjects, libllama));
const log = new NativeLog();
globalThis.gc?.();
const before = resident();
const loaded = log.capture(native, () =>
  native.llama_model_load_from_file(path, {
    ...native.llama_model_default_params(),
    ...parameters.values,
  }),
);
const made = log.capture(native, () =>
  native.llama_init_from_model(
    loaded.result,
    contextParameters(native.llama_context_default_params(), options, "auto"),
  ),
);
const sum = new MemorySum(where.devices);
addLoadedWeights(sum, loaded.lines);
addContextBuffers(sum, made.lines);
const print = (places) => Object.fromEntries(places);
console.log(
  JSON.stringify({
    measured: print(measured.memory),
    used: print(sum.places),
    numLayers: measured.numLayers,
    grownBytes: resident() - before,
  }),
);
native.llama_free(made.result);
native.llama_model_free(loaded.result);
parameters.free();
await library[Symbol.asyncDispose]();
