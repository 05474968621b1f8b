import path from "node:path";
import type { EngineDescription } from "../src/engine/protocol.js";

/** How an engine decodes: at the same time or in turn, and with how many threads each file. */
export interface Decoding {
  mode: string;
  threadsOf: (file: string) => number;
}

export function decodingOf(description: EngineDescription): Decoding {
  const { decoding, threads } = description as {
    decoding?: { mode: string; threads: Record<string, number> };
    threads?: number;
  };
  return {
    mode: decoding?.mode ?? "together",
    threadsOf: (file) => decoding?.threads[path.basename(file, ".gguf")] ?? threads ?? 1,
  };
}
