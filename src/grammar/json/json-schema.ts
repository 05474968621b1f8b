import { fieldError, type ShouldersError } from "../../errors.js";

/** Reading JSON schemas: what may stand in one, and refusals that name the place. */

export type JsonSchema = Record<string, unknown>;

export const mostRepetitions = 2_000;

/** Keywords that say something of values of a type. */
const keywordsOf = {
  string: ["minLength", "maxLength", "pattern", "format"],
  number: ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"],
  integer: [],
  boolean: [],
  null: [],
  array: ["items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems", "unevaluatedItems"],
  object: [
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
  ],
} as const;

export type TypeName = keyof typeof keywordsOf;
export const allTypes = Object.keys(keywordsOf) as TypeName[];

/** @returns null where the schema names no type. */
export function typesOf({ type }: JsonSchema, path: string): TypeName[] | null {
  if (type === undefined) return null;
  const types = [...new Set<unknown>(Array.isArray(type) ? type : [type])];
  const isKnown = types.every((name) => typeof name === "string" && Object.hasOwn(keywordsOf, name));
  if (!isKnown || types.length === 0) throw refuse(`${path}.type`, `expected ${allTypes.join(", ")}`);
  return types as TypeName[];
}

/** The types of which schemas that name none say something: those are meant. null: of none. */
export function impliedTypes(schemas: readonly JsonSchema[]): TypeName[] | null {
  const said = new Set(schemas.flatMap((schema) => Object.keys(schema)));
  const types = allTypes.filter((type) => keywordsOf[type].some((keyword) => said.has(keyword)));
  return types.length > 0 ? types : null;
}

export function countAt(value: unknown, path: string): number {
  if (Number.isInteger(value) && (value as number) >= 0) return value as number;
  throw refuse(path, "expected an integer from 0 on");
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
