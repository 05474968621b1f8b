import { formats, literal } from "./grammar-builder.js";
import { countsOf, refuse, type JsonSchema } from "./json-schema.js";

/** Strings and numbers of a schema as GBNF. */

/** An integer range is written out value by value. */
const mostIntegers = 512;
/** The digits that an integer may have here. */
const largestInteger = 999_999_999_999_999;

export function string(schema: JsonSchema, path: string): string {
  const format = schema["format"];
  const { least, most } = countsOf(schema, "minLength", "maxLength", path);
  if (format === undefined) return `"\\"" char{${least},${most ?? ""}} "\\""`;
  const body = Object.entries(formats).find(([name]) => name === format)?.[1];
  if (body === undefined)
    throw refuse(`${path}.format`, `only ${Object.keys(formats).join(", ")} can be enforced; leave it out`);
  if (least > 0 || most !== null)
    throw refuse(`${path}.format`, "a format and a length cannot be enforced together");
  return `"\\"" ${body} "\\""`;
}

export function number(schema: JsonSchema, path: string): string {
  const bounds = [schema["minimum"], schema["exclusiveMinimum"]];
  if (bounds.every((bound) => bound === undefined)) return `"-"? number`;
  if (schema["minimum"] === 0 && schema["exclusiveMinimum"] === undefined) return "number";
  throw refuse(path, "of the bounds of a number only a minimum of 0 can be enforced; leave them out");
}

export function integer(schema: JsonSchema, path: string): string {
  const [minimum, maximum] = [bound(schema, "minimum", path), bound(schema, "maximum", path)];
  const [above, below] = [bound(schema, "exclusiveMinimum", path), bound(schema, "exclusiveMaximum", path)];
  const low = Math.max(Math.ceil(minimum ?? -Infinity), Math.floor((above ?? -Infinity) + 1));
  const high = Math.min(Math.floor(maximum ?? Infinity), Math.ceil((below ?? Infinity) - 1));
  if (low > high) throw refuse(path, "no integer is within its bounds");
  if (high - low < mostIntegers)
    return Array.from({ length: high - low + 1 }, (_, index) => literal(String(low + index))).join(" | ");
  if (high >= largestInteger) {
    if (low <= -largestInteger) return `"-"? digits`;
    if (low === 0) return "digits";
    if (low === 1) return "[1-9] [0-9]{0,14}";
  }
  throw refuse(
    path,
    `of an integer's bounds a minimum of 0 or 1, or at most ${mostIntegers} values, can be enforced`,
  );
}

export function bound(schema: JsonSchema, keyword: string, path: string): number | null {
  const value = schema[keyword];
  if (value === undefined) return null;
  if (typeof value !== "number") throw refuse(`${path}.${keyword}`, "expected a number");
  return value;
}
