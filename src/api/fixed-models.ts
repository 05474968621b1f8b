import type { Models } from "../protocol/models.js";
import type { Engine } from "../protocol/protocol.js";

/** The models of an engine that loads and unloads nothing. */
export function fixedModels(engine: Engine): Models {
  const configs = () => engine.description?.configs ?? [];
  const nothing = () => undefined;
  return {
    get isReady() {
      return engine.description !== null;
    },
    get trouble() {
      return engine.trouble;
    },
    list: () =>
      configs().map(({ id }) => ({ id, status: "loaded", progress: null, failure: null, isPinned: false })),
    has: (id) => configs().some((config) => config.id === id),
    tryHold: () => nothing,
    hold: () => Promise.resolve(nothing),
    load: () => Promise.resolve(),
    unload: () => Promise.resolve(),
    reload: () => Promise.resolve([]),
  };
}
