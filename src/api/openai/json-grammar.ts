import { ShouldersError } from "../../errors.js";
import { formats, literal, type GrammarBuilder } from "./grammar-builder.js";

/**
 * GBNF of the JSON that a schema allows. What is written is compact, with at most one space after a colon or a
 * comma, so that no model can fill an answer with white space; properties come in the schema's order. What the
 * grammar would not enforce is refused, with its path.
 */

type JsonSchema = Record<string, unknown>;

const deepest = 64;
const mostRepetitions = 2_000;
/** An integer range is written out value by value. */
const mostIntegers = 512;
/** The digits that an integer may have here. */
const largestInteger = 999_999_999_999_999;

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

const keywordsOf = {
  string: ["minLength", "maxLength", "format"],
  number: ["minimum", "exclusiveMinimum"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  boolean: [],
  null: [],
  array: ["items", "minItems", "maxItems"],
  object: ["properties", "required", "additionalProperties", "propertyNames"],
} as const;

type TypeName = keyof typeof keywordsOf;

const json = (value: unknown) => literal(JSON.stringify(value));

/**
 * @param param path of the schema in the request
 * @returns the name of a rule: what the schema allows
 * @throws ShouldersError `unsupported_field` with the path of what cannot be enforced
 */
export function addSchema(builder: GrammarBuilder, schema: unknown, param: string): string {
  return new SchemaWriter(builder, schema, param).write();
}

class SchemaWriter {
  readonly #builder: GrammarBuilder;
  readonly #root: unknown;
  readonly #param: string;
  /** Pointer to the rule of what it refers to. */
  readonly #ruleOf = new Map<string, string>();
  #depth = 0;

  constructor(builder: GrammarBuilder, root: unknown, param: string) {
    this.#builder = builder;
    this.#root = root;
    this.#param = param;
  }

  write(): string {
    return this.#reference("#", this.#param);
  }

  #visit(schema: unknown, path: string): string {
    if (schema === true) return "value";
    if (typeof schema !== "object" || schema === null || Array.isArray(schema))
      throw refuse(path, "expected a schema");
    if (++this.#depth > deepest) throw refuse(path, `schemas may be nested ${deepest} deep`);
    const body = this.#body(schema as JsonSchema, path);
    this.#depth--;
    return this.#builder.rule(body);
  }

  #body(schema: JsonSchema, path: string): string {
    const only = (...keywords: string[]) => refuseOthers(schema, keywords, path);
    if (schema["$ref"] !== undefined) {
      only("$ref");
      return this.#reference(schema["$ref"], `${path}.$ref`);
    }
    for (const keyword of ["anyOf", "oneOf", "allOf"] as const) {
      const branches = schema[keyword];
      if (branches === undefined) continue;
      only(keyword);
      return this.#branches(keyword, branches, `${path}.${keyword}`);
    }
    if (schema["const"] !== undefined) {
      only("const", "type");
      checkTypes([schema["const"]], schema, path);
      return json(schema["const"]);
    }
    if (schema["enum"] !== undefined) {
      only("enum", "type");
      const values = schema["enum"];
      if (!Array.isArray(values) || values.length === 0)
        throw refuse(`${path}.enum`, "expected a list of values");
      checkTypes(values, schema, path);
      return values.map(json).join(" | ");
    }
    const types = typesOf(schema, path);
    if (types === null) {
      only();
      return "value";
    }
    only("type", ...types.flatMap((type) => keywordsOf[type]));
    return types.map((type) => `(${this.#typed(type, schema, path)})`).join(" | ");
  }

  #typed(type: TypeName, schema: JsonSchema, path: string): string {
    switch (type) {
      case "boolean":
        return `"true" | "false"`;
      case "null":
        return `"null"`;
      case "string":
        return string(schema, path);
      case "number":
        return number(schema, path);
      case "integer":
        return integer(schema, path);
      case "array":
        return this.#array(schema, path);
      case "object":
        return this.#object(schema, path);
    }
  }

  #reference(pointer: unknown, path: string): string {
    if (typeof pointer !== "string" || !/^#(\/(\$defs|definitions)\/[^/]+)?$/.test(pointer))
      throw refuse(path, `expected "#", "#/$defs/name" or "#/definitions/name"`);
    const known = this.#ruleOf.get(pointer);
    if (known !== undefined) return known;
    const [, list, encoded] = pointer.split("/");
    const name = encoded && decodeURIComponent(encoded).replaceAll("~1", "/").replaceAll("~0", "~");
    const lists = (this.#root ?? {}) as Record<string, Record<string, unknown> | undefined>;
    const target =
      name === undefined
        ? this.#root
        : Object.entries(lists[list ?? ""] ?? {}).find(([key]) => key === name)?.[1];
    if (target === undefined) throw refuse(path, "it points to nothing");
    const { name: rule, define } = this.#builder.reserve();
    this.#ruleOf.set(pointer, rule);
    const at = name === undefined ? this.#param : `${this.#param}.${list ?? ""}.${name}`;
    define(this.#visit(target, at));
    return rule;
  }

  #branches(keyword: "anyOf" | "oneOf" | "allOf", branches: unknown, path: string): string {
    if (!Array.isArray(branches) || branches.length === 0) throw refuse(path, "expected a list of schemas");
    if (keyword === "allOf" && branches.length > 1) throw refuse(path, "only one schema can be enforced");
    if (keyword === "oneOf" && !areDisjoint(branches as unknown[]))
      throw refuse(
        path,
        "branches may overlap; use anyOf, or types or constant properties that tell them apart",
      );
    return branches.map((branch, index) => this.#visit(branch, `${path}.${index}`)).join(" | ");
  }

  #array(schema: JsonSchema, path: string): string {
    const item = schema["items"] === undefined ? "value" : this.#visit(schema["items"], `${path}.items`);
    const { least, most } = countsOf(schema, "minItems", "maxItems", path);
    if (most === 0) return `"[]"`;
    const rest = `("," space ${item}){${Math.max(0, least - 1)},${most === null ? "" : most - 1}}`;
    const items = `${item} ${most === 1 ? "" : rest}`;
    return `"[" ${least === 0 ? `(${items})?` : items} "]"`;
  }

  #object(schema: JsonSchema, path: string): string {
    const properties = objectAt(schema["properties"] ?? {}, `${path}.properties`);
    const names = Object.keys(properties);
    const required = schema["required"] ?? [];
    if (!Array.isArray(required)) throw refuse(`${path}.required`, "expected a list of names");
    required.forEach((name, index) => {
      if (!names.includes(name as string))
        throw refuse(`${path}.required.${index}`, "it is not among the properties");
    });
    const keys = schema["propertyNames"];
    if (keys !== undefined && JSON.stringify(keys) !== `{"type":"string"}`)
      throw refuse(`${path}.propertyNames`, `only {"type": "string"} can be enforced`);
    const others = schema["additionalProperties"] ?? true;
    // Others are never written beside named ones: one of the same name could contradict its schema.
    if (names.length === 0)
      return others === false ? `"{}"` : this.#map(others, `${path}.additionalProperties`);
    const members = names.map((name) => ({
      isRequired: required.includes(name),
      text: `${json(name)} ":" space ${this.#visit(properties[name], `${path}.properties.${name}`)}`,
    }));
    return `"{" ${this.#members(members)} "}"`;
  }

  #map(values: unknown, path: string): string {
    const member = `string ":" space ${this.#visit(values, path)}`;
    return `"{" (${member} ("," space ${member})*)? "}"`;
  }

  /** Members in order; the first that is there has no comma before it. */
  #members(members: readonly { isRequired: boolean; text: string }[]): string {
    const tails = [""];
    for (const { isRequired, text } of [...members].reverse()) {
      const next = tails[0] as string;
      tails.unshift(
        this.#builder.rule(isRequired ? `"," space ${text} ${next}` : `("," space ${text})? ${next}`),
      );
    }
    const firstRequired = members.findIndex(({ isRequired }) => isRequired);
    const heads = members.slice(0, firstRequired < 0 ? members.length : firstRequired + 1);
    const starts = heads.map(({ text }, index) => `${text} ${tails[index + 1] as string}`);
    return `(${starts.join(" | ")})${firstRequired < 0 ? "?" : ""}`;
  }
}

function string(schema: JsonSchema, path: string): string {
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

function number(schema: JsonSchema, path: string): string {
  const bounds = [schema["minimum"], schema["exclusiveMinimum"]];
  if (bounds.every((bound) => bound === undefined)) return `"-"? number`;
  if (schema["minimum"] === 0 && schema["exclusiveMinimum"] === undefined) return "number";
  throw refuse(path, "of the bounds of a number only a minimum of 0 can be enforced; leave them out");
}

function integer(schema: JsonSchema, path: string): string {
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

function bound(schema: JsonSchema, keyword: string, path: string): number | null {
  const value = schema[keyword];
  if (value === undefined) return null;
  if (typeof value !== "number") throw refuse(`${path}.${keyword}`, "expected a number");
  return value;
}

/** @returns null where any type is allowed. */
function typesOf(schema: JsonSchema, path: string): TypeName[] | null {
  const given = schema["type"];
  const type = given ?? (schema["properties"] ? "object" : schema["items"] ? "array" : undefined);
  if (type === undefined) return null;
  const types = (Array.isArray(type) ? type : [type]) as unknown[];
  const isKnown = types.every((name) => typeof name === "string" && Object.hasOwn(keywordsOf, name));
  if (!isKnown || types.length === 0)
    throw refuse(`${path}.type`, `expected ${Object.keys(keywordsOf).join(", ")}`);
  return types as TypeName[];
}

/** @throws ShouldersError when a constant is not of the schema's own type */
function checkTypes(values: readonly unknown[], { type }: JsonSchema, path: string): void {
  if (type === undefined) return;
  const types = [type].flat();
  const isOfType = (value: unknown) =>
    types.includes(value === null ? "null" : Array.isArray(value) ? "array" : typeof value) ||
    (types.includes("integer") && Number.isInteger(value));
  if (!values.every(isOfType)) throw refuse(path, "its values are not of its type");
}

function countsOf(schema: JsonSchema, from: string, to: string, path: string) {
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

function refuseOthers(schema: JsonSchema, allowed: readonly string[], path: string): void {
  const other = Object.keys(schema).find(
    (keyword) => !annotations.has(keyword) && !allowed.includes(keyword),
  );
  if (other !== undefined) throw refuse(`${path}.${other}`, "it cannot be enforced here; leave it out");
}

/** Whether no value fits two branches, as far as types and constant properties tell. */
function areDisjoint(branches: readonly unknown[]): boolean {
  return branches.every((branch, index) =>
    branches.slice(index + 1).every((other) => excludes(branch as JsonSchema, other as JsonSchema)),
  );
}

function excludes(a: JsonSchema, b: JsonSchema): boolean {
  const [valuesOfA, valuesOfB] = [constantsOf(a), constantsOf(b)];
  if (valuesOfA && valuesOfB) return !valuesOfA.some((value) => valuesOfB.includes(value));
  const [typesOfA, typesOfB] = [a, b].map(
    ({ type }) => new Set([type].flat().map((name) => (name === "integer" ? "number" : name))),
  );
  if (
    typesOfA &&
    typesOfB &&
    !typesOfA.has(undefined) &&
    ![...typesOfB].some((type) => type === undefined || typesOfA.has(type))
  )
    return true;
  const properties = (schema: JsonSchema) =>
    (schema["properties"] ?? {}) as Record<string, JsonSchema | undefined>;
  const isRequired = (schema: JsonSchema, name: string) => [schema["required"]].flat().includes(name);
  return Object.entries(properties(a)).some(([name, property]) => {
    const other = properties(b)[name];
    const isConstant = property && other && constantsOf(property) && constantsOf(other);
    return isConstant && isRequired(a, name) && isRequired(b, name) && excludes(property, other);
  });
}

function constantsOf(schema: JsonSchema): string[] | null {
  if (schema["const"] !== undefined) return [JSON.stringify(schema["const"])];
  return Array.isArray(schema["enum"]) ? schema["enum"].map((value) => JSON.stringify(value)) : null;
}

function objectAt(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw refuse(path, "expected an object");
}

function refuse(path: string, why: string): ShouldersError {
  const param = path.slice(0, 200);
  return new ShouldersError("unsupported_field", `Invalid '${param}': ${why}.`, { param });
}
