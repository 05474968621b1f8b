import path from "node:path";
import type { DecodePlan, DecodeWay, EngineDescription } from "../src/protocol/protocol.js";

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
