import { z } from "zod";
import { traceLevels } from "../wire/token-record.js";
import { logLevels } from "./log-level.js";

/** What a person may set about the server. The table in docs/operations.md is generated from it. */

/** Marks a setting that is a path: relative ones are resolved against where they were written. */
const path = z.string().min(1).meta({ format: "path" });

export const settingsSchema = z.strictObject({
  host: z
    .string()
    .min(1)
    .default("127.0.0.1")
    .describe("Address to listen on; 0.0.0.0 opens the server to the network, which needs API keys."),
  port: z.int().min(0).max(65_535).default(8080).describe("Port to listen on; 0: any free one, printed."),
  replica: z
    .string()
    .regex(/^([a-z0-9][a-z0-9-]{0,62})?$/, "write up to 63 of a-z, 0-9 and '-', or leave it empty")
    .default("")
    .describe("Name of this server among replicas, in ids of answers and X-Shoulders-Replica; empty: none."),
  apiKeysFile: z
    .string()
    .meta({ format: "path" })
    .default("")
    .describe("File of API keys, `name=key` a line (also: SHOULDERS_API_KEYS); empty: nobody is asked."),
  withoutKeys: z
    .enum(["loopback", "anywhere"])
    .default("loopback")
    .describe("Where a server without API keys may listen; anywhere: whoever reaches it may use it."),
  allowedHosts: z
    .array(z.string().min(1))
    .default([])
    .describe("Names by which clients may call this server, besides localhost and addresses; *: any."),
  allowedOrigins: z
    .array(z.string().min(1))
    .default([])
    .describe("Origins of other sites whose pages may use this server (CORS): https://app.example."),
  requestsPerMinute: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe("Most requests of one API key in a minute; more get 429; 0: no limit."),
  concurrentRequests: z
    .int()
    .min(0)
    .max(100_000)
    .default(0)
    .describe("Most requests of one API key at a time; more get 429; 0: no limit."),
  fusionConfigs: path
    .default("fusion-configs")
    .describe("Directory of fusion configs, or one file; the default is the program's own."),
  load: z
    .array(z.string().min(1))
    .default([])
    .describe("Ids of the fusion configs to load, separated by commas; empty: all."),
  watchConfigs: z
    .enum(["on", "off"])
    .default("on")
    .describe(
      "Whether fusion configs are read again when their files change; SIGHUP and a route do it always.",
    ),
  memoryMegabytes: z
    .int()
    .min(0)
    .max(100_000_000)
    .default(0)
    .describe("Most memory of all loaded models; what was used longest ago makes room; 0: what is free."),
  unloadAfterMinutes: z
    .int()
    .min(0)
    .max(525_600)
    .default(0)
    .describe("Models that nobody has used for so long are unloaded, until somebody asks again; 0: never."),
  pin: z
    .array(z.string().min(1))
    .default([])
    .describe("Ids of fusion configs that are never unloaded, separated by commas."),
  modelsDir: path.default(".cache/models").describe("Directory where models named by hf: URIs are kept."),
  backend: z
    .enum(["auto", "cpu", "cuda", "vulkan", "metal"])
    .default("auto")
    .describe("Where models compute; auto: the fastest that works here."),
  threads: z
    .union([z.literal("auto"), z.int().min(1).max(512)])
    .default("auto")
    .describe("Threads of each model's decode; auto: what measures fastest at start."),
  batchTokens: z
    .int()
    .min(16)
    .max(65_536)
    .default(512)
    .describe("Most tokens in one model's batch of a step: bounds how long a prompt can hold others up."),
  kernel: z
    .enum(["simd", "reference"])
    .default("simd")
    .describe("Arithmetic of the fusion; reference: slow and plain, to compare with."),
  speculation: z
    .enum(["on", "off"])
    .default("on")
    .describe("off: the base is asked about every token, also where it cannot change it; to compare with."),
  maxWaiting: z
    .int()
    .min(0)
    .max(100_000)
    .default(512)
    .describe("Most requests that wait for a free sequence; more get 429."),
  maxWaitingTokens: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .default(1_000_000)
    .describe("Most prompt tokens of all requests that wait; more get 429."),
  queueTimeoutSeconds: z
    .int()
    .min(1)
    .max(86_400)
    .default(600)
    .describe("Longest wait for a free sequence; then 503."),
  cacheSequences: z
    .int()
    .min(0)
    .max(200)
    .default(8)
    .describe("Finished answers that stay in the models' memory for prompts that begin like them; 0: none."),
  traces: z
    .enum(traceLevels)
    .default("off")
    .describe("What is kept of the tokens of an answer whose request does not say: off, weights or full."),
  traceMegabytes: z
    .int()
    .min(1)
    .max(65_536)
    .default(64)
    .describe("Memory for the traces of recent requests; the oldest go first."),
  traceMinutes: z
    .int()
    .min(1)
    .max(44_640)
    .default(60)
    .describe("How long the trace of a finished request is kept."),
  responseMegabytes: z
    .int()
    .min(1)
    .max(65_536)
    .default(64)
    .describe("Room for what /v1/responses keeps; the oldest go first."),
  responseMinutes: z
    .int()
    .min(0)
    .max(525_600)
    .default(1440)
    .describe("How long a response is kept, unless its request says store: false; 0: none is."),
  stateDir: z
    .string()
    .meta({ format: "path" })
    .default(".cache/state")
    .describe("Directory of what outlives the server: ratings, and kept responses; empty: none does."),
  databaseUrl: z
    .string()
    .regex(/^(postgres(ql)?:\/\/\S+)?$/, "write postgres://user@host/database, or leave it empty")
    .default("")
    .describe("PostgreSQL that servers share, in place of the state directory: postgres://user@host/name."),
  feedback: z
    .enum(["on", "off"])
    .default("on")
    .describe("Whether answers can be rated; then a few numbers of each token are kept, and no text."),
  feedbackTexts: z
    .enum(["on", "off"])
    .default("off")
    .describe("on: prompts, answers and notes are kept with that, too."),
  feedbackDays: z
    .int()
    .min(1)
    .max(36_500)
    .default(90)
    .describe("How long ratings, and what is kept of answers for them, stay."),
  feedbackMegabytes: z
    .int()
    .min(1)
    .max(1_048_576)
    .default(256)
    .describe("Room for both; who has most loses his oldest first."),
  logLevel: z
    .enum(logLevels)
    .default("info")
    .describe("Least severe log line on standard error; debug adds stacks."),
});

export type Settings = z.output<typeof settingsSchema>;
export type SettingName = keyof Settings;

export const settingNames = Object.keys(settingsSchema.shape) as SettingName[];

/** `batchTokens` → `batch-tokens` */
const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** `batchTokens` → `--batch-tokens` */
export const flagOf = (name: SettingName): string => `--${kebab(name)}`;

/** `batchTokens` → `SHOULDERS_BATCH_TOKENS` */
export const variableOf = (name: SettingName): string =>
  `SHOULDERS_${kebab(name).replaceAll("-", "_").toUpperCase()}`;

export interface SettingDescription {
  name: SettingName;
  flag: string;
  variable: string;
  /** What may be written: `an integer from 0 to 65535`. */
  allowed: string;
  /** The default as a person would write it. */
  default: string;
  description: string;
  isPath: boolean;
}

type JsonSchema = z.core.JSONSchema.BaseSchema;

function describeAllowed(schema: JsonSchema): string {
  if (schema.anyOf) return schema.anyOf.map(describeAllowed).join(" or ");
  if (schema.const !== undefined) return String(schema.const);
  if (schema.enum) return `one of ${schema.enum.join(", ")}`;
  if (schema.type === "integer") return `an integer from ${schema.minimum} to ${schema.maximum}`;
  if (schema.type === "array") return "a list separated by commas";
  return schema.format === "path" ? "a path" : "a text";
}

/** Every setting with its names, range and default: for flags, messages and docs/operations.md. */
export function describeSettings(): SettingDescription[] {
  const properties = z.toJSONSchema(settingsSchema, { io: "input" }).properties ?? {};
  return settingNames.map((name) => {
    const schema = properties[name] as JsonSchema;
    return {
      name,
      flag: flagOf(name),
      variable: variableOf(name),
      allowed: describeAllowed(schema),
      default: Array.isArray(schema.default) ? schema.default.join(",") : String(schema.default),
      description: schema.description ?? "",
      isPath: schema.format === "path",
    };
  });
}
