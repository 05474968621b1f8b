import type { DecodeWay, EngineDescription } from "../protocol/protocol.js";
import { bufferKinds } from "../llama/types.js";
import { formatBytes } from "./units.js";

/**
 * A line a place that holds something: `1.48 GiB of 22.1 GiB in main memory: weights 854 MiB, cells 440 MiB,
 * compute 20 MiB, rows 8 MiB, programs about 225 MiB`; of a device its layers too
 */
export function memoryLines({ memory }: Pick<EngineDescription, "memory">): string[] {
  return memory.flatMap(({ name, description, freeBytes, buffers, numLayers = 0, programBytes }) => {
    const parts = bufferKinds.filter((kind) => buffers[kind] > 0);
    const sum = bufferKinds.reduce((bytes, kind) => bytes + buffers[kind], programBytes);
    if (sum === 0) return [];
    const texts = parts.map((kind) => `${kind} ${formatBytes(buffers[kind])}`);
    if (numLayers > 0) texts.unshift(`${numLayers} layers`);
    if (programBytes > 0) texts.push(`programs about ${formatBytes(programBytes)}`);
    const where = description === "" ? name : `${name} (${description})`;
    return [`${formatBytes(sum)} of ${formatBytes(freeBytes)} in ${where}: ${texts.join(", ")}`];
  });
}

/** How a single token and a batch are decoded: `1 token: together, threads base 2, expert 1; 1.30 ms (measured)` */
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
  return [line("1 token", decoding), line("a batch", decoding.batch), ...curveLines(decoding)];
}

/** What batches take each model: `base: 1, 2, 4 tokens take 1, 1.2, 1.9 times one; with one row 1.1, 1.3` */
function curveLines({ curves }: EngineDescription["decoding"]): string[] {
  return Object.entries(curves).flatMap(([model, points]) => {
    const [first] = points;
    if (first === undefined) return [];
    const isOfOneRow = ({ tokens, rows }: typeof first) => tokens > 1 && rows === 1;
    const full = points.filter((point) => !isOfOneRow(point));
    const ratios = (some: typeof points) => some.map(({ ms }) => (ms / first.ms).toPrecision(2)).join(", ");
    const few = points.filter(isOfOneRow);
    const ofOneRow = few.length > 0 ? `; with one row ${ratios(few)}` : "";
    const sizes = full.map(({ tokens }) => tokens).join(", ");
    return [`${model}: ${sizes} tokens take ${ratios(full)} times one${ofOneRow}`];
  });
}
