// An engine child whose libllama fails: while the file that NATIVE_FAULT names exists, `llama_decode` does nothing and
// returns the number that stands in it, everywhere or, where "device" stands before it, on devices alone.
import { existsSync, readFileSync } from "node:fs";
// A fault where native code is called.
// eslint-disable-next-line no-restricted-imports
import koffi from "koffi";

let isOnDevice = false;
const { load } = koffi;
koffi.load = (...parameters) => {
  const library = load(...parameters);
  const func = (name, ...signature) => {
    const target = library.func(name, ...signature);
    if (name !== "llama_decode") return target;
    const faulty = (...args) => target(...args);
    faulty.async = (...args) => {
      const file = process.env.NATIVE_FAULT;
      const [status, place] = existsSync(file) ? readFileSync(file, "utf8").split(" ").reverse() : [];
      if (status === undefined || (place === "device" && !isOnDevice)) return target.async(...args);
      setImmediate(() => args.at(-1)(null, Number(status)));
    };
    return faulty;
  };
  // What koffi gives may not be changed.
  const get = (_nothing, key) => (key === "func" ? func : (library[key]?.bind?.(library) ?? library[key]));
  return new Proxy({}, { get });
};

const { openLibrary } = await import("../../dist/llama/library.js");
const { runEngineProcess } = await import("../../dist/engine/process.js");
runEngineProcess((choice) => {
  isOnDevice = choice.backend !== "cpu";
  return openLibrary(choice);
});
