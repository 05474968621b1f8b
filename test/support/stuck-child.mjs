// An engine child that never gets beyond a part of its start, in the way that the environment says.
import { openLibrary } from "../../dist/llama/library.js";
import { runEngineProcess } from "../../dist/engine/process.js";

const ways = {
  // As a template that loops.
  busy: () => {
    for (;;);
  },
  // As a call of native code on the main thread.
  native: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  // As a disk or a device that does not answer a call on another thread.
  waiting: () => new Promise(() => undefined),
  // As a device that does not come back from a decode, once each model has been tried out.
  timing: async (choice) => {
    const library = await openLibrary(choice);
    const loadModel = library.loadModel.bind(library);
    library.loadModel = async (...parameters) => {
      const model = await loadModel(...parameters);
      const createContext = model.createContext.bind(model);
      model.createContext = (options) => {
        const context = createContext(options);
        const decode = context.decode.bind(context);
        let numDecodes = 0;
        context.decode = () => (++numDecodes === 1 ? decode() : new Promise(() => undefined));
        return context;
      };
      return model;
    };
    return library;
  },
  throws: () => {
    setImmediate(() => {
      throw new Error("x".repeat(100_000));
    });
    return new Promise(() => undefined);
  },
  rejects: () => {
    void Promise.reject(new Error("nobody's"));
    return new Promise(() => undefined);
  },
};

runEngineProcess((choice) => ways[process.env.STUCK](choice));
