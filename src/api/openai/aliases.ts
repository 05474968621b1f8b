import { fieldError } from "../../errors.js";
import { withoutFunctions } from "./old-functions.js";
import { isNothing } from "./other-fields.js";
import { isObject } from "../../grammar/json/json-schema.js";

/** What other servers taught people to send, as the fields that it means here. */

/** Fields with another name for the same thing. */
const names: Readonly<Record<string, string>> = {
  n_predict: "max_tokens",
  num_predict: "max_tokens",
  max_new_tokens: "max_tokens",
  min_new_tokens: "min_tokens",
  ban_eos_token: "ignore_eos",
  repetition_penalty: "repeat_penalty",
  rep_pen: "repeat_penalty",
  typical: "typical_p",
  stop_sequences: "stop",
  stop_sequence: "stop",
  stopping_strings: "stop",
  guided_grammar: "grammar",
  ebnf: "grammar",
  typ_p: "typical_p",
  random_seed: "seed",
};

type Convert = (value: unknown, path: string) => Meaning;

/** Fields of a body, and what the client calls each. */
interface Meaning {
  fields: Record<string, unknown>;
  /** Path here to path in the body, where it is another. */
  names: Record<string, string>;
  /** Paths of what in it asks for what is not done. */
  ignored?: string[];
}

const noMeaning: Meaning = { fields: {}, names: {} };

/** Fields whose value is written otherwise here. */
const conversions: Readonly<Record<string, Convert>> = {
  response_format: (value, path) => (isNothing(value) ? noMeaning : responseFormatOf(value, path)),
  json_schema: (value, path) => schemaOf(value, path),
  guided_json: (value, path) => schemaOf(value, path),
  guided_choice: (value, path) => formatOf({ type: "choice", choices: value }, path),
  guided_regex: (value, path) => formatOf({ type: "regex", regex: value }, path),
  regex: (value, path) => formatOf({ type: "regex", regex: value }, path),
  // OpenRouter lists it as a thing that models can do, and some send it so.
  structured_outputs: (value, path) => (typeof value === "boolean" ? noMeaning : structured(value, path)),
  reasoning: (value, path) => thinkingOf(value, path),
  thinking: (value, path) => thinkingOf(value, path),
  // Ollama's: "json", or a schema.
  format: (value, path) =>
    value === "json" ? formatOf({ type: "json_object" }, path) : schemaOf(value, path),
  functions: (value, path) => {
    if (isNothing(value)) return noMeaning;
    if (!Array.isArray(value)) throw fieldError(path, "expected a list of functions");
    const places = [...value.keys()].flatMap((index) => [
      [`tools.${index}`, `${path}.${index}`],
      [`tools.${index}.function`, `${path}.${index}`],
    ]);
    return {
      fields: { tools: value.map((one: unknown) => ({ type: "function", function: one })) },
      names: { ...(Object.fromEntries(places) as Record<string, string>), tools: path },
    };
  },
  function_call: (value, path) => {
    if (value === "auto" || isNothing(value)) return noMeaning;
    const choice = isObject(value) ? { type: "function", function: value } : value;
    return { fields: { tool_choice: choice }, names: { "tool_choice.function": path, tool_choice: path } };
  },
  n_probs: (value, path) => {
    const isAsked = typeof value === "number" && value > 0;
    if (!isAsked) return noMeaning;
    return { fields: { logprobs: true, top_logprobs: value }, names: { top_logprobs: path, logprobs: path } };
  },
};

/** llama.cpp's and others' schema without its wrapping; TGI's forms, whose content is `value`. */
function responseFormatOf(given: unknown, path: string): Meaning {
  const { type, schema, value, ...rest } = isObject(given) ? given : {};
  if (value != null && (type === "json" || type === "json_object")) return schemaOf(value, `${path}.value`);
  const pattern = value ?? rest["pattern"];
  if (type === "regex" && pattern != null && rest["regex"] == null)
    return formatOf({ type, regex: pattern }, `${path}.${value == null ? "pattern" : "value"}`);
  if (type !== "json_schema" || rest["json_schema"] != null || (schema == null && !isObject(value)))
    return { fields: { response_format: given }, names: {} };
  const inner = schema == null ? (value as object) : { ...rest, schema };
  const format = { type, json_schema: { name: "answer", ...inner } };
  const called = schema == null ? `${path}.value` : path;
  return { fields: { response_format: format }, names: { "response_format.json_schema": called } };
}

function formatOf(format: object, path: string): Meaning {
  const inner = ["choices", "regex", "json_schema.schema", "json_schema"].map((name) => [
    `response_format.${name}`,
    path,
  ]);
  return {
    fields: { response_format: format },
    names: { ...(Object.fromEntries(inner) as Record<string, string>), response_format: path },
  };
}

function schemaOf(value: unknown, path: string): Meaning {
  const schema = typeof value === "string" ? parsed(value, path) : value;
  return formatOf({ type: "json_schema", json_schema: { name: "answer", schema } }, path);
}

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw fieldError(path, "expected a JSON schema");
  }
}

/** OpenRouter's, Anthropic's and DeepSeek's ways to say whether and how much is thought. */
function thinkingOf(value: unknown, path: string): Meaning {
  const given = typeof value === "boolean" ? { enabled: value } : value;
  if (!isObject(given)) throw fieldError(path, "expected an object");
  const { type, enabled, effort, exclude, ...others } = given;
  const isOn = enabled ?? (type == null ? null : type !== "disabled");
  return {
    fields: {
      ...(isOn != null && { enable_thinking: isOn }),
      ...(effort != null && { reasoning_effort: effort }),
      ...(exclude === true && { include_reasoning: false }),
    },
    names: {
      enable_thinking: `${path}.${type == null ? "enabled" : "type"}`,
      reasoning_effort: `${path}.effort`,
    },
    ignored: Object.keys(others).flatMap((key) => (isNothing(others[key]) ? [] : `${path}.${key}`)),
  };
}

/** vLLM's way to say what an answer must be. */
function structured(value: unknown, path: string): Meaning {
  if (!isObject(value)) throw fieldError(path, "expected an object");
  const given = Object.keys(value).filter((key) => value[key] != null && value[key] !== false);
  const [key, other] = given;
  if (key === undefined) return noMeaning;
  if (other !== undefined) throw fieldError(`${path}.${other}`, `leave it out, or ${key}`);
  const inner = value[key];
  const innerPath = `${path}.${key}`;
  switch (key) {
    case "json":
      return schemaOf(inner, innerPath);
    case "json_object":
      return formatOf({ type: "json_object" }, innerPath);
    case "choice":
      return formatOf({ type: "choice", choices: inner }, innerPath);
    case "regex":
      return formatOf({ type: "regex", regex: inner }, innerPath);
    case "grammar":
      return { fields: { grammar: inner }, names: { grammar: innerPath } };
    default:
      throw fieldError(
        innerPath,
        "only json, json_object, choice, regex and grammar can be held to",
        "unsupported_field",
      );
  }
}

/** Where several mean the same, the first counts. */
export const aliasNames: readonly string[] = [...Object.keys(conversions), ...Object.keys(names), "options"];

export interface UnaliasedBody {
  body: Record<string, unknown>;
  /** What the client calls a field, where it is another name: the path here to the path in its body. */
  names: Record<string, string>;
  /** Aliases that say nothing, since the field itself is given too. */
  ignored: string[];
}

/**
 * A body whose fields have the names that they have here. Where a field is given under both names, its own wins.
 *
 * @throws ShouldersError that names an alias whose value means nothing
 */
export function withoutAliases(given: Record<string, unknown>): UnaliasedBody {
  // Set as a field of an object, it would change what the object is.
  if (Object.hasOwn(given, "__proto__")) throw fieldError("__proto__", "nothing has this name");
  const own = Object.entries(given).filter(([field]) => !aliasNames.includes(field));
  const result: UnaliasedBody = { body: Object.fromEntries(own), names: {}, ignored: [] };
  if (Array.isArray(given["messages"])) {
    const { messages, names: inner } = withoutFunctions(given["messages"]);
    Object.assign(result.body, { messages });
    Object.assign(result.names, inner);
  }
  for (const alias of aliasNames) {
    // Programs have a field for a schema or a grammar, and send it empty.
    const isEmpty = given[alias] == null || given[alias] === "";
    if (Object.hasOwn(given, alias) && !isEmpty) add(result, alias, meaningOf(alias, given[alias]));
  }
  return result;
}

function meaningOf(alias: string, value: unknown): Meaning {
  const name = names[alias];
  if (name !== undefined) return { fields: { [name]: value }, names: { [name]: alias } };
  if (alias !== "options") return (conversions[alias] as Convert)(value, alias);
  // Ollama's: sampling in an object of its own.
  if (!isObject(value)) throw fieldError(alias, "expected an object");
  const { body, names: inner } = withoutAliases(value);
  const called = Object.keys(body).map((field) => [field, `${alias}.${inner[field] ?? field}`]);
  return { fields: body, names: Object.fromEntries(called) as Record<string, string> };
}

function add({ body, names: called, ignored }: UnaliasedBody, alias: string, meaning: Meaning): void {
  const taken = Object.keys(meaning.fields).filter((field) => body[field] != null);
  if (taken.length > 0 && alias !== "options") {
    ignored.push(alias);
    return;
  }
  ignored.push(...(meaning.ignored ?? []));
  for (const [field, value] of Object.entries(meaning.fields)) {
    if (taken.includes(field)) ignored.push(meaning.names[field] ?? alias);
    else body[field] = value;
  }
  for (const [path, sent] of Object.entries(meaning.names)) if (!taken.includes(path)) called[path] ??= sent;
}
