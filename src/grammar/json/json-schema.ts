import { fieldError, type ShouldersError } from "../../errors.js";

/** Reading JSON schemas: what may stand in one, and refusals that name the place. */

export type JsonSchema = Record<string, unknown>;

const mostRepetitions = 2_000;

/** Keywords that say nothing about what is valid. */
const annotations = new Set([
  "title",
  "description",
  "default",
  "examples",
  "deprecated",
  "readOnly",
  "writeOnly",
  "$schema",
  "$id",
  "$comment",
  "$defs",
  "definitions",
]);

export const keywordsOf = {
  string: ["minLength", "maxLength", "format"],
  number: ["minimum", "exclusiveMinimum"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  boolean: [],
  null: [],
  array: ["items", "minItems", "maxItems"],
  object: ["properties", "required", "additionalProperties", "propertyNames"],
} as const;

export type TypeName = keyof typeof keywordsOf;

/** @returns null where any type is allowed. */
export function typesOf(schema: JsonSchema, path: string): TypeName[] | null {
  const given = schema["type"];
  const type = given ?? (schema["properties"] ? "object" : schema["items"] ? "array" : undefined);
  if (type === undefined) return null;
  const types = [...new Set<unknown>(Array.isArray(type) ? type : [type])];
  const isKnown = types.every((name) => typeof name === "string" && Object.hasOwn(keywordsOf, name));
  if (!isKnown || types.length === 0)
    throw refuse(`${path}.type`, `expected ${Object.keys(keywordsOf).join(", ")}`);
  return types as TypeName[];
}

/** @throws ShouldersError when a constant is not of the schema's own type */
export function checkTypes(values: readonly unknown[], { type }: JsonSchema, path: string): void {
  if (type === undefined) return;
  const types = new Set<unknown>([type].flat());
  const isOfType = (value: unknown) =>
    types.has(value === null ? "null" : Array.isArray(value) ? "array" : typeof value) ||
    (types.has("integer") && Number.isInteger(value));
  if (!values.every(isOfType)) throw refuse(path, "its values are not of its type");
}

export function countsOf(schema: JsonSchema, from: string, to: string, path: string) {
  const read = (keyword: string): number | null => {
    const count = schema[keyword];
    if (count === undefined) return null;
    if (Number.isInteger(count) && (count as number) >= 0 && (count as number) <= mostRepetitions)
      return count as number;
    throw refuse(`${path}.${keyword}`, `expected an integer from 0 to ${mostRepetitions}`);
  };
  const [least, most] = [read(from) ?? 0, read(to)];
  if (most !== null && least > most) throw refuse(`${path}.${to}`, `it is less than ${from}`);
  return { least, most };
}

export function refuseOthers(schema: JsonSchema, allowed: readonly string[], path: string): void {
  const other = Object.keys(schema).find(
    (keyword) => !annotations.has(keyword) && !allowed.includes(keyword),
  );
  if (other !== undefined) throw refuse(`${path}.${other}`, "it cannot be enforced here; leave it out");
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function objectAt(value: unknown, path: string): Record<string, unknown> {
  if (isObject(value)) return value;
  throw refuse(path, "expected an object");
}

export function refuse(path: string, why: string): ShouldersError {
  return fieldError(path, why, "unsupported_field");
}
