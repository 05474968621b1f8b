import type { LoadedFusionConfig } from "../config/load.js";
import type { EngineDescription } from "../protocol/protocol.js";
import { decodingLines, memoryLines } from "./engine-text.js";

type Config = LoadedFusionConfig["config"];

/** A text inside single quotes of a POSIX shell. */
const shellQuoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function exampleOf(configs: readonly Config[]): { id: string; question: string } {
  const shown =
    configs.find((config) => config.example !== undefined && config.experts.length > 0) ??
    configs.find((config) => config.example !== undefined) ??
    configs[0];
  return { id: shown?.id ?? "", question: shown?.example ?? "Who are you?" };
}

/** A line to paste into a shell that shows an answer with its weights. */
export function curlLine(address: string, configs: readonly Config[]): string {
  const { id, question } = exampleOf(configs);
  const body = {
    model: id,
    stream: true,
    messages: [{ role: "user", content: question }],
    fusion: { trace: "weights" },
  };
  return `curl -N ${address}/v1/chat/completions -H 'Content-Type: application/json' -d ${shellQuoted(JSON.stringify(body))}`;
}

/** What `serve` prints once it answers: where, which fusion configs, and something to try. */
export function banner(
  address: string,
  configs: readonly Config[],
  engine: EngineDescription | null,
): string {
  const widest = Math.max(...configs.map((config) => config.id.length));
  const lines = configs.map((config) => `  ${config.id.padEnd(widest)}  ${config.description}`.trimEnd());
  return [
    `Shoulders listens on ${address}`,
    "",
    "Fusion configs (the models of the API):",
    ...lines,
    "",
    ...(engine === null
      ? ["No models are loaded yet: the first request of each loads them.", ""]
      : [
          `Memory    ${memoryLines(engine).join("\n          ")}`,
          `Decoding  ${decodingLines(engine).join("\n          ")}`,
          "",
        ]),
    "Try:",
    `  ${curlLine(address, configs)}`,
    "",
    "",
  ].join("\n");
}
