import { runEngineProcess } from "../../dist/engine/process.js";
import { openLibrary } from "../../dist/llama/library.js";

/**
 * Runs as an engine's child whose contexts are changed as they are made.
 *
 * @param {(context: object, model: object) => object} watch
 */
export function runWatchedEngine(watch) {
  runEngineProcess(async (options) => {
    const library = await openLibrary(options);
    const loadModel = library.loadModel.bind(library);
    library.loadModel = async (...parameters) => {
      const model = await loadModel(...parameters);
      const createContext = model.createContext.bind(model);
      model.createContext = (contextOptions) => watch(createContext(contextOptions), model);
      return model;
    };
    return library;
  });
}
