import { Worker } from "node:worker_threads";

/** The child's end of a pipe on which nothing is ever written. The server holds the other end, and nobody else does. */
export const lifelineDescriptor = 4;

/**
 * Ends this process when the server's end of the pipe closes, however the server ended. A thread of its own listens,
 * because this one may be busy for long, in a template or in native code.
 */
export function holdLifeline(): void {
  const thread = new Worker(new URL("./lifeline-thread.js", import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2 },
  });
  thread.unref();
}
