// An engine child that never gets beyond opening its library, in the way that the environment says.
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

runEngineProcess(() => ways[process.env.STUCK]());
