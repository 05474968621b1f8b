import { allTypes, isObject, type JsonSchema } from "./json-schema.js";
import { lists, maps, single } from "./schema-document.js";

/** Schemas as programs write them: with null for what is not said, other languages' names, older drafts' words. */

/** Tells that what stands at a path says nothing and is left out. */
type Tell = (path: string) => void;

/** Names that languages and other APIs have for types. `any` is none. */
const typeNames: Readonly<Record<string, string>> = {
  ...{ str: "string", text: "string", char: "string", date: "string", datetime: "string" },
  ...{ int: "integer", int32: "integer", int64: "integer", long: "integer" },
  ...{ float: "number", double: "number", decimal: "number" },
  ...{ bool: "boolean", none: "null", list: "array", tuple: "array", set: "array" },
  ...{ dict: "object", map: "object", struct: "object" },
};
const openTypes = new Set(["", "any", "unspecified", "type_unspecified"]);

/** Keywords whose value may be null, or anything. */
const values = new Set(["const", "default", "example", "examples"]);
const numbers = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const counts = ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];
const texts = ["pattern", "format"];

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

/**
 * A schema without what says nothing in it.
 *
 * @param tell is told what else is left out since no schema has it; left out: that stays, for somebody to refuse
 */
export function mendedSchema(schema: unknown, path: string, tell?: Tell): unknown {
  // What PHP writes for an object without fields.
  if (schema === null || isEmptyList(schema)) return {};
  if (typeof schema === "boolean") return schema;
  if (!isObject(schema)) return tell === undefined ? schema : told({}, path, tell);
  const mended: JsonSchema = {};
  for (const [keyword, value] of Object.entries(withoutBooleanBounds(schema))) {
    if (value === null && !values.has(keyword)) continue;
    const at = `${path}.${keyword}`;
    const inner = mendedValue(keyword, value, { path: at, tell });
    if (inner === undefined) continue;
    if (isSound(keyword, inner) || tell === undefined) mended[keyword] = inner;
    else tell(at);
  }
  return mended;
}

function told<Value>(value: Value, path: string, tell: Tell): Value {
  tell(path);
  return value;
}

/** @returns undefined where it says nothing */
function mendedValue(
  keyword: string,
  value: unknown,
  { path, tell }: { path: string; tell?: Tell | undefined },
) {
  if (keyword === "type") return mendedType(value);
  if (keyword === "enum" || keyword === "required") {
    const isNone = isEmptyList(value) || (isObject(value) && Object.keys(value).length === 0);
    return isNone ? undefined : value;
  }
  if (lists.has(keyword) && Array.isArray(value)) {
    if (value.length === 0 && keyword !== "items" && keyword !== "prefixItems") return undefined;
    return value.map((entry, index) => mendedSchema(entry, `${path}.${index}`, tell));
  }
  if (maps.has(keyword) && (isObject(value) || isEmptyList(value))) {
    const entries = Object.entries(value as object).map(([name, entry]) => [
      name,
      mendedSchema(entry, `${path}.${name}`, tell),
    ]);
    return Object.fromEntries(entries) as unknown;
  }
  return single.has(keyword) && isObject(value) ? mendedSchema(value, path, tell) : value;
}

function mendedType(type: unknown): unknown {
  if (Array.isArray(type)) {
    const types = type.map(mendedType);
    return types.length === 0 || types.includes(undefined) ? undefined : types;
  }
  if (typeof type !== "string" || allTypes.some((name) => name === type)) return type;
  const name = type.toLowerCase();
  if (openTypes.has(name)) return undefined;
  if (allTypes.some((known) => known === name)) return name;
  return Object.hasOwn(typeNames, name) ? typeNames[name] : type;
}

/** Before draft 6, and in OpenAPI 3.0, a bound is exclusive by a word beside it. */
function withoutBooleanBounds(schema: JsonSchema): JsonSchema {
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = schema;
  return {
    ...schema,
    ...(typeof exclusiveMinimum === "boolean" && boundOf("Minimum", minimum, exclusiveMinimum)),
    ...(typeof exclusiveMaximum === "boolean" && boundOf("Maximum", maximum, exclusiveMaximum)),
  };
}

function boundOf(name: "Minimum" | "Maximum", bound: unknown, isExclusive: boolean): JsonSchema {
  const [inclusive, exclusive] = [name.toLowerCase(), `exclusive${name}`];
  return isExclusive ? { [inclusive]: null, [exclusive]: bound ?? null } : { [exclusive]: null };
}

/** Whether a schema can have this at a keyword. */
function isSound(keyword: string, value: unknown): boolean {
  if (keyword === "type") return [value].flat().every((name) => allTypes.some((known) => known === name));
  if (keyword === "enum") return Array.isArray(value);
  if (keyword === "required") return Array.isArray(value) && value.every((name) => typeof name === "string");
  if (numbers.includes(keyword)) return typeof value === "number" && (keyword !== "multipleOf" || value > 0);
  if (counts.includes(keyword)) return Number.isInteger(value) && (value as number) >= 0;
  if (texts.includes(keyword)) return typeof value === "string";
  if (maps.has(keyword)) return isObject(value);
  if (keyword === "items") return Array.isArray(value) || isSchema(value);
  if (lists.has(keyword)) return Array.isArray(value);
  return !single.has(keyword) || isSchema(value);
}

const isSchema = (value: unknown): boolean => isObject(value) || typeof value === "boolean";
