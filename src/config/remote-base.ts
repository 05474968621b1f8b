import { z } from "zod";
import { modelPath } from "./model-path.js";

/** A base that another server computes. */

const schema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .describe("Where the server is: http://127.0.0.1:8000, without /v1. Keep it in a network of your own."),
  kind: z
    .enum(["shoulders", "vllm", "sglang"])
    .describe("shoulders: `shoulders rows`, exact; vllm, sglang: the best entries of each row."),
  model: z
    .string()
    .min(1)
    .max(500)
    .optional()
    .describe("The model's name there. Needed for vllm; else only checked against what the server says."),
  tokenizer: modelPath.describe(
    "A GGUF file with the base's vocabulary and chat template, of which no weights are read. " +
      "It is proved against the server.",
  ),
  apiKeyFile: z
    .string()
    .min(1)
    .optional()
    .describe("File with the server's API key on its first line. Default: none is sent."),
  top: z
    .union([z.int().min(1).max(4096), z.literal("all")])
    .optional()
    .describe(
      "Entries of each row to ask for; all: whole rows, of shoulders alone. Default: all of shoulders, else 20.",
    ),
  draft: z
    .int()
    .min(0)
    .max(8)
    .default(4)
    .describe("Most tokens of an answer that its expert guesses ahead, and one round trip checks."),
  timeoutMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(30_000)
    .describe("Longest wait for the rows of a step, retries included."),
});

/** Entries of a row that are asked for where a config does not say: what vLLM gives by default at most. */
const defaultTop = 20;

/** As a source: the file that is found and loaded is that of the vocabulary. */
export const remoteBaseSchema = schema
  .check(({ value, issues }) => {
    const { kind, model, top } = value;
    const problem = (field: string, message: string) =>
      issues.push({ code: "custom", input: value, path: [field], message });
    if (kind === "vllm" && model === undefined)
      problem("model", "vllm has to be told which model: the name that `--served-model-name` gives it");
    if (kind !== "shoulders" && top === "all") problem("top", `${kind} gives no whole rows; give a number`);
  })
  .transform(({ url, tokenizer, top, ...rest }) => ({
    model: tokenizer,
    gpuLayers: 0 as const,
    remote: {
      ...rest,
      url: url.replace(/\/+$/, ""),
      top: top ?? (rest.kind === "shoulders" ? ("all" as const) : defaultTop),
    },
  }));

/** How a base is asked that another server computes. */
export type RemoteBase = z.output<typeof remoteBaseSchema>["remote"];
