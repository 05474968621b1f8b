import path from "node:path";
import { setTimeout } from "node:timers/promises";
import type { DecodePlan, DecodeWay, Engine, EngineDescription } from "../src/protocol/protocol.js";

/** Threads for one token, and for more. */
export interface Threads {
  single: number;
  batch: number;
}

/** How an engine decodes: at the same time or in turn, and with how many threads each file. */
export interface Decoding {
  /** Of one token a model, and of more. */
  mode: { single: DecodePlan["mode"]; batch: DecodePlan["mode"] };
  threadsOf: (file: string) => Threads;
}

export function decodingOf({ decoding }: EngineDescription): Decoding {
  const { batch } = decoding;
  const countIn = ({ threads }: DecodeWay, file: string) => threads[path.basename(file, ".gguf")] ?? 1;
  return {
    mode: { single: decoding.mode, batch: batch.mode },
    threadsOf: (file) => ({ single: countIn(decoding, file), batch: countIn(batch, file) }),
  };
}

/** Waits until the engine has timed how it decodes and what batches take, as one does that is asked nothing for a while. */
export async function settledDecoding(engine: Engine, numModels: number): Promise<EngineDescription> {
  const untilMs = performance.now() + 120_000;
  while (performance.now() < untilMs) {
    const { description } = engine;
    if (description && Object.keys(description.decoding.curves).length === numModels) return description;
    await setTimeout(250);
  }
  throw new Error("the engine has not timed its batches within two minutes");
}
