import type { z } from "zod";
import { nearestKey } from "../../config/nearest-key.js";
import { fieldError, withFieldNames } from "../../errors.js";
import { isObject } from "../../grammar/json/json-schema.js";
import { parseRequest } from "../parse.js";
import { aliasNames, withoutAliases } from "./aliases.js";
import { foreignFields, idleFields, isNothing, onFields } from "./other-fields.js";

/** Unknown fields of a body; more of them are no client's. */
const mostUnknown = 128;
/** Characters in which a mistyped name differs: programs have fields of their own that are further from ours. */
const mostMistyped = 2;
/** Of a field's name that is given back. */
const longestName = 64;

export interface ReadBody<Body> {
  body: Body;
  /** Paths of what was ignored, as the client calls them. */
  ignored: string[];
  /** What the client calls a field of `body`. */
  fieldName: (param: string) => string;
}

/**
 * Reads a body as programs write it: under the names of other servers, with fields that are not ours.
 *
 * @throws ShouldersError that names the field at fault, as the client calls it
 */
export function readBody<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  given: unknown,
): ReadBody<z.output<z.ZodObject<Shape>>> {
  requireObject(given);
  const { body, names, ignored } = withoutAliases(given);
  const fieldName = (param: string) => renamed(param, names);
  const read = withFieldNames(fieldName, () => readFields(schema, body, aliasNames));
  return { ...read, ignored: [...ignored, ...read.ignored], fieldName };
}

/**
 * Reads a body with fields that are not ours. A mistyped name is refused, since a person meant something by it; what
 * else is unknown is ignored, and told.
 *
 * @param aliases names that are no fields of the schema, and may be meant too
 * @throws ShouldersError that names the field at fault
 */
export function readFields<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  given: unknown,
  aliases: readonly string[] = [],
): Omit<ReadBody<z.output<z.ZodObject<Shape>>>, "fieldName"> {
  requireObject(given);
  const known = [...Object.keys(schema.shape), ...aliases];
  const unknown = Object.keys(given).filter(
    (key) => !Object.hasOwn(schema.shape, key) && !idleFields.has(key),
  );
  if (unknown.length > mostUnknown) throw fieldError("", `it has ${unknown.length} unknown fields`);
  const isMeant = (key: string) => given[key] != null && !foreignFields.has(key) && !onFields.has(key);
  for (const key of unknown) if (isMeant(key)) refuseMistyped(key, known);
  const told = unknown.filter((key) => (onFields.has(key) ? given[key] === false : !isNothing(given[key])));
  return { body: parseRequest(schema, given), ignored: told.map((key) => key.slice(0, longestName)) };
}

function requireObject(given: unknown): asserts given is Record<string, unknown> {
  if (isObject(given)) return;
  throw fieldError("", `expected object, received ${Array.isArray(given) ? "array" : typeof given}`);
}

function refuseMistyped(key: string, known: readonly string[]): void {
  const meant = nearestKey(key, known, mostMistyped);
  if (meant === null) return;
  throw fieldError(key, `unknown key ${JSON.stringify(key)}; did you mean "${meant}"?`);
}

/** A path whose beginning has another name, the longest that is known. */
export function renamed(param: string, names: Readonly<Record<string, string>>): string {
  const parts = param.split(".");
  for (let length = parts.length; length > 0; length--) {
    const beginning = parts.slice(0, length).join(".");
    if (Object.hasOwn(names, beginning)) return [names[beginning], ...parts.slice(length)].join(".");
  }
  return param;
}
