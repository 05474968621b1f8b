import { readFileSync } from "node:fs";
import path from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import { isMessagesPath } from "../../src/api/anthropic/message-error.js";

/** Answers as the official SDKs' types have them; scripts/write-sdk-schemas.ts writes the schemas. */

/** The types of sdk-types.ts. */
export const sdkTypes = [
  "OpenAiChatCompletion",
  "OpenAiChatCompletionChunk",
  "OpenAiCompletion",
  "OpenAiResponse",
  "OpenAiResponseEvent",
  "OpenAiResponseItemList",
  "OpenAiModel",
  "OpenAiError",
  "AnthropicMessage",
  "AnthropicMessageEvent",
  "AnthropicTokensCount",
  "AnthropicError",
] as const;
export type SdkType = (typeof sdkTypes)[number];

const root = path.resolve(import.meta.dirname, "../..");
export const sdkSchemasPath = path.join(root, "test/vectors/sdk-schemas.json");

interface ObjectSchema {
  $ref?: string;
  anyOf?: ObjectSchema[];
  properties?: Record<string, object>;
  required?: string[];
}

interface SdkSchemas {
  /** Of the SDKs that the schemas were made from. */
  versions: Record<string, string>;
  definitions: Record<string, ObjectSchema>;
}

export const readSdkSchemas = (): SdkSchemas =>
  JSON.parse(readFileSync(sdkSchemasPath, "utf8")) as SdkSchemas;

/** Versions of the SDKs that are installed. */
export function sdkVersions(): Record<string, string> {
  const versionOf = (name: string) => {
    const file = path.join(root, "node_modules", name, "package.json");
    return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
  };
  return Object.fromEntries(["openai", "@anthropic-ai/sdk"].map((name) => [name, versionOf(name)]));
}

const ajv = new Ajv({ strict: false, validateFormats: false });
let loaded: SdkSchemas["definitions"] | null = null;
const validators = new Map<string, ValidateFunction>();

function load(): SdkSchemas["definitions"] {
  const { definitions } = readSdkSchemas();
  Object.values(definitions).forEach(asItIsSent);
  ajv.addSchema({ $id: "sdk", definitions });
  return definitions;
}

function validatorOf(type: SdkType, value: unknown): ValidateFunction {
  loaded ??= load();
  const ref = branchOf(loaded, type, value);
  const known = validators.get(ref) ?? ajv.compile({ $ref: `sdk${ref}` });
  validators.set(ref, known);
  return known;
}

/** Of a union of events, the one of this type: what is wrong with it says more than what is wrong with the others. */
function branchOf(definitions: SdkSchemas["definitions"], type: SdkType, value: unknown): string {
  const whole = `#/definitions/${type}`;
  const nameOf = (ref: string) => ref.slice("#/definitions/".length);
  const schema = definitions[type];
  const union = schema?.$ref === undefined ? schema : definitions[nameOf(schema.$ref)];
  const branch = union?.anyOf?.find(({ $ref: ref, properties: own }) => {
    const { type: name } = (ref === undefined ? own : definitions[nameOf(ref)]?.properties) ?? {};
    return (name as { const?: string } | undefined)?.const === (value as { type?: string }).type;
  });
  return branch?.$ref ?? whole;
}

/** Where the types are of what the SDK makes of an answer, or leave out what OpenAI's own pages show. */
function asItIsSent(schema: ObjectSchema): void {
  const { properties = {}, required = [] } = schema;
  // The SDK puts it together.
  if ("output_text" in properties) schema.required = required.filter((name) => name !== "output_text");
  // Text that cites nothing has none; other clients refuse a null.
  if ("citations" in properties) schema.required = required.filter((name) => name !== "citations");
  // A streamed text completion has no reason before its end.
  if ("finish_reason" in properties && "text" in properties)
    properties["finish_reason"] = { anyOf: [properties["finish_reason"], { type: "null" }] };
  // OpenAI's pages promise null in all chunks but the last; the type of a text completion lacks it.
  if ("usage" in properties && "choices" in properties)
    properties["usage"] = { anyOf: [properties["usage"], { type: "null" }] };
  // Custom tools are called in streams, too.
  if ("index" in properties && "function" in properties && "type" in properties)
    properties["type"] = { enum: ["function", "custom"] };
  // Nothing comes before the first token of an echoed prompt.
  for (const name of ["token_logprobs", "top_logprobs"]) {
    const list =
      "text_offset" in properties ? (properties[name] as { items?: object } | undefined) : undefined;
    if (list?.items) list.items = { anyOf: [list.items, { type: "null" }] };
  }
}

/** What a type of an official SDK does not know of a value. */
export function sdkFaultsOf(type: SdkType, value: unknown): string[] {
  const validate = validatorOf(type, value);
  if (validate(value)) return [];
  const faults = (validate.errors ?? []).slice(0, 3);
  return faults.map(
    ({ instancePath, message }) =>
      `${type}${instancePath} ${message} in ${JSON.stringify(value).slice(0, 300)}`,
  );
}

const whole: readonly (readonly [RegExp, SdkType])[] = [
  [/^\/chat\/completions$/, "OpenAiChatCompletion"],
  [/^\/completions$/, "OpenAiCompletion"],
  [/^\/responses(?:\/(?!input_tokens$)[^/]+)?$/, "OpenAiResponse"],
  [/^\/responses\/[^/]+\/input_items$/, "OpenAiResponseItemList"],
  [/^\/models\/[^/]+$/, "OpenAiModel"],
  [/^\/messages$/, "AnthropicMessage"],
  [/^\/messages\/count_tokens$/, "AnthropicTokensCount"],
];
const events: readonly (readonly [RegExp, SdkType])[] = [
  [/^\/chat\/completions$/, "OpenAiChatCompletionChunk"],
  [/^\/completions$/, "OpenAiCompletion"],
  [/^\/responses$/, "OpenAiResponseEvent"],
  [/^\/messages$/, "AnthropicMessageEvent"],
];

/**
 * What the official SDK of a route does not know of what it answers.
 *
 * @param request method and path
 */
export function sdkFaults(
  { method, path: full }: { method: string; path: string },
  value: unknown,
  kind: "whole" | "event" | "error",
): string[] {
  const route = full.replace(/^\/v1/, "");
  if (kind === "error") {
    if (isMessagesPath(full)) return sdkFaultsOf("AnthropicError", value);
    return sdkFaultsOf("OpenAiError", (value as { error: unknown }).error);
  }
  const asked = method !== "DELETE" && !/^\/models\/(?:load|unload|reload)$/.test(route);
  const table = kind === "whole" ? whole : events;
  const type = asked ? table.find(([pattern]) => pattern.test(route))?.[1] : undefined;
  return type === undefined ? [] : sdkFaultsOf(type, value);
}
