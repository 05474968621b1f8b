import type { DecodeWay, EngineDescription } from "../engine/protocol.js";
import { formatBytes } from "./units.js";

/** `1.42 GiB: weights 854 MiB, contexts 440 MiB, programs about 157 MiB` */
export function memoryText({ memory }: EngineDescription): string {
  const { weightsBytes, contextsBytes, programBytes } = memory;
  return (
    `${formatBytes(weightsBytes + contextsBytes + programBytes)}: weights ${formatBytes(weightsBytes)}, ` +
    `contexts ${formatBytes(contextsBytes)}, programs about ${formatBytes(programBytes)}`
  );
}

/** How a single token and a batch are decoded: `1 token: together, threads giant 2, dwarf 1; 1.30 ms (measured)` */
export function decodingLines({ decoding }: EngineDescription): string[] {
  const source = {
    measured: "measured",
    cache: "measured at an earlier start",
  }[decoding.source];
  const threadsText = decoding.areThreadsSet ? "threads as set, " : "";
  const line = (name: string, { mode, threads, stepMs }: DecodeWay) => {
    const counts = Object.entries(threads).map(([model, count]) => `${model} ${count}`);
    return `${name}: ${mode}, threads ${counts.join(", ")}; ${stepMs.toPrecision(3)} ms (${threadsText}${source})`;
  };
  return [line("1 token", decoding), line("a batch", decoding.batch)];
}
