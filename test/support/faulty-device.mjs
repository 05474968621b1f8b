// An engine child with a GPU driver that fails at its first decode, as DEVICE_FAULT says; on the processor it is the
// product's own. The product has none of this.
import { openLibrary } from "../../dist/llama/library.js";
import { runEngineProcess } from "../../dist/engine/process.js";

const faults = {
  hang: () => new Promise(() => undefined),
  abort: () => process.abort(),
  block: () => {
    for (;;);
  },
};

runEngineProcess(async (choice) => {
  const library = await openLibrary({ ...choice, backend: "cpu" });
  if (choice.backend === "cpu") return library;
  library.loadModel = () => faults[process.env.DEVICE_FAULT]();
  return library;
});
