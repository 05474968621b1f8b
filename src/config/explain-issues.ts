import { z } from "zod";
import { describeUnknownKey } from "./nearest-key.js";

/** One thing wrong with what a person or a client wrote: where, and what to write instead. */
export interface Problem {
  path: PropertyKey[];
  message: string;
}

type Issue = z.core.$ZodIssue;
type RawIssue = z.core.$ZodRawIssue;
type JsonSchema = z.core.JSONSchema.BaseSchema;

/** `experts.0.model`; empty for the whole. */
export function dottedPath(path: readonly PropertyKey[]): string {
  return path.map(String).join(".");
}

export type Checked<Schema extends z.ZodType> =
  { isValid: true; data: z.output<Schema> } | { isValid: false; issues: readonly Issue[] };

/** Checks a value; its issues have our words where the schema has none of its own. */
export function checkValue<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  context: z.core.ParseContext<Issue> = {},
): Checked<Schema> {
  const result = schema.safeParse(value, { ...context, error: wordsOf });
  if (result.success) return { isValid: true, data: result.data };
  return { isValid: false, issues: result.error.issues };
}

/**
 * The issues of `checkValue` as problems a person can act on: unknown keys name the nearest known one, a union tells what is
 * wrong with the alternative that was meant, a missing key is called missing. Values are not repeated (they
 * may be private), except numbers.
 */
export function explainIssues(schema: z.ZodType, value: unknown, issues: readonly Issue[]): Problem[] {
  const explain = (issue: Issue, prefix: PropertyKey[]): Problem[] => {
    const path = [...prefix, ...issue.path];
    if (issue.code === "unrecognized_keys") {
      const known = knownKeys(schema, value, path);
      return issue.keys.map((key) => ({ path: [...path, key], message: describeUnknownKey(key, known) }));
    }
    if (issue.code === "invalid_union") {
      const meant = issue.errors.find((branch) => !branch.some(missesWhole));
      if (meant !== undefined) return meant.flatMap((inner) => explain(inner, path));
      return [{ path, message: unionMessage(issue, valueAt(value, path)) }];
    }
    if (issue.code === "invalid_key")
      return [{ path, message: `bad key: ${issue.issues.map((inner) => inner.message).join("; ")}` }];
    return [{ path, message: messageFor(issue, valueAt(value, path)) }];
  };
  return issues.flatMap((issue) => explain(issue, []));
}

function messageFor(issue: Issue, given: unknown): string {
  if (issue.code === "custom") return issue.message;
  if (given === undefined) return `missing: ${issue.message}`;
  return issue.message + (typeof given === "number" ? `, got ${given}` : "");
}

/** The message of an issue that has no words of its own: a union is explained by its branches. */
export const noOwnWords = "it cannot be taken";

/** What is wrong with a value, in words that may follow its name. */
function wordsOf(issue: RawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `expected ${issue.expected}${issue.input === undefined ? "" : `, received ${typeName(issue.input)}`}`;
    case "invalid_value": {
      const values = issue.values.map((value) =>
        typeof value === "string" ? JSON.stringify(value) : String(value),
      );
      return `expected ${values.length > 1 ? "one of " : ""}${values.join("|")}`;
    }
    case "too_big":
      return `too big: expected ${sizeWords(issue, issue.inclusive === false ? "<" : "<=", issue.maximum)}`;
    case "too_small":
      return `too small: expected ${sizeWords(issue, issue.inclusive === false ? ">" : ">=", issue.minimum)}`;
    case "invalid_format":
      return issue.pattern === undefined ? `no ${issue.format}` : `must match pattern ${issue.pattern}`;
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "custom":
    case "invalid_element":
    case "invalid_key":
    case "invalid_union":
    case "unrecognized_keys":
      return noOwnWords;
  }
}

const units: Record<string, string> = { string: "characters", array: "items", set: "items", map: "entries" };

function sizeWords(
  { origin, exact }: { origin: string; exact?: boolean },
  relation: string,
  limit: number | bigint,
): string {
  const bound = `${exact ? "exactly " : relation}${limit}`;
  const unit = units[origin];
  return unit === undefined ? `${origin} to be ${bound}` : `${origin} to have ${bound} ${unit}`;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : typeof value;
}

/** Whether a branch of a union refused the value itself, and not something inside it. */
function missesWhole(issue: Issue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === "invalid_union") return issue.errors.every((branch) => branch.some(missesWhole));
  return issue.code === "invalid_type" || issue.code === "invalid_value";
}

function expectations(issue: Issue): string[] {
  if (issue.code === "invalid_type") return [issue.expected];
  if (issue.code === "invalid_value") return issue.values.map((value) => JSON.stringify(value));
  if (issue.code === "invalid_union") return issue.errors.flat().flatMap(expectations);
  return [];
}

function unionMessage(issue: z.core.$ZodIssueInvalidUnion, given: unknown): string {
  const expected = [...new Set(issue.errors.flat().flatMap(expectations))];
  if ("options" in issue && Array.isArray(issue.options))
    expected.push(...issue.options.flatMap((option) => (option == null ? [] : JSON.stringify(option))));
  const start = given === undefined ? "missing: expected" : "expected";
  const shown = typeof given === "number" ? `, got ${given}` : "";
  return expected.length > 0 ? `${start} ${expected.join(" or ")}${shown}` : issue.message;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null && Object.hasOwn(inner, key)
        ? (inner as Record<PropertyKey, unknown>)[key]
        : undefined,
    value,
  );
}

/** Made once a schema: it takes milliseconds, and a client may send one bad body after the other. */
const schemaToJson = new WeakMap<z.ZodType, JsonSchema>();

function toJsonSchema(schema: z.ZodType): JsonSchema {
  const known = schemaToJson.get(schema);
  if (known !== undefined) return known;
  const made = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  schemaToJson.set(schema, made);
  return made;
}

/** The keys that a schema knows at a place in a value, read from its JSON Schema. */
export function knownKeys(schema: z.ZodType, value: unknown, path: readonly PropertyKey[]): string[] {
  let nodes: JsonSchema[] = alternatives(toJsonSchema(schema), value);
  path.forEach((key, depth) => {
    const inner = valueAt(value, path.slice(0, depth + 1));
    nodes = nodes.flatMap((node) => childOf(node, key)).flatMap((node) => alternatives(node, inner));
  });
  return [...new Set(nodes.flatMap((node) => Object.keys(node.properties ?? {})))];
}

const isSchema = (node: unknown): node is JsonSchema => typeof node === "object" && node !== null;

function childOf(node: JsonSchema, key: PropertyKey): JsonSchema[] {
  const items = Array.isArray(node.items) ? node.items : [node.items];
  const children =
    typeof key === "number"
      ? [node.prefixItems?.[key], ...items]
      : [node.properties?.[String(key)] ?? node.additionalProperties];
  return children.filter(isSchema);
}

/** The branches of a union that the value may have meant: a constant (`type`) that differs rules a branch out. */
function alternatives(node: JsonSchema, value: unknown): JsonSchema[] {
  const branches = node.anyOf ?? node.oneOf;
  if (branches === undefined) return [node];
  const isMeant = (branch: JsonSchema): boolean =>
    Object.entries(branch.properties ?? {}).every(([key, property]) => {
      const constant = isSchema(property) ? property.const : undefined;
      return constant === undefined || valueAt(value, [key]) === constant;
    });
  return branches.filter(isMeant).flatMap((branch) => alternatives(branch, value));
}
