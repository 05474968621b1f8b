import path from "node:path";
import type { DecodePlan, EngineDescription } from "../src/protocol/protocol.js";

/** How an engine decodes: at the same time or in turn, and with how many threads each file. */
export interface Decoding {
  mode: DecodePlan["mode"];
  threadsOf: (file: string) => number;
}

export function decodingOf({ decoding }: EngineDescription): Decoding {
  return {
    mode: decoding.mode,
    threadsOf: (file) => decoding.threads[path.basename(file, ".gguf")] ?? 1,
  };
}
