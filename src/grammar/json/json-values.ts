import { acceptsText, automatonOf, type Automaton, type Spend } from "../regular/automaton.js";
import { NotRegular } from "../regular/expression.js";
import { readRegex } from "../regular/regex-reader.js";
import { isObject, type JsonSchema } from "./json-schema.js";
import { childOf, has, type Located, type SchemaDocument } from "./schema-document.js";

/** Whether a value that a schema names (`enum`, `const`) fits what else is said of it. */

const deepest = 200;
/** Of one value against one schema, as `Spend` counts it. */
const checkWork = 30;

interface Checked {
  document: SchemaDocument;
  /** Patterns that were read. */
  patterns: Map<string, Automaton | null>;
  /** Told what it takes. */
  spend: Spend;
  /** Told where a pattern is that cannot be read: every text fits it. */
  unread: (path: string) => void;
  depth: number;
}

type Check = (value: never, at: { located: Located; schema: JsonSchema; checked: Checked }) => boolean;

/** @throws NotRegular where a schema goes round for ever */
export function fits(value: unknown, located: Located, checked: Checked): boolean {
  const { schema } = located;
  if (!isObject(schema)) return schema !== false;
  if (checked.depth > deepest) throw new NotRegular("it goes round");
  checked.spend(checkWork + Object.keys(schema).length);
  const deeper = { ...checked, depth: checked.depth + 1 };
  return (
    typesFit(value, schema) &&
    combinationsFit(value, located, deeper) &&
    Object.entries(checksOf(value)).every(
      ([keyword, check]) =>
        !has(located, keyword) || check(value as never, { located, schema, checked: deeper }),
    )
  );
}

function typesFit(value: unknown, schema: JsonSchema): boolean {
  if (schema["type"] === undefined) return true;
  const types = Array.isArray(schema["type"]) ? (schema["type"] as unknown[]) : [schema["type"]];
  const itself = (name: unknown) => name;
  const name = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  return isIn(name, types, itself) || (Number.isInteger(value) && isIn("integer", types, itself));
}

function combinationsFit(value: unknown, located: Located, checked: Checked): boolean {
  const schema = located.schema as JsonSchema;
  const at = (...steps: (string | number)[]) => fits(value, childOf(located, ...steps), checked);
  const branches = (keyword: string) => (Array.isArray(schema[keyword]) ? [...schema[keyword].keys()] : []);
  const textOf = (one: unknown) => canonical(one, checked.spend);
  if ("const" in schema && textOf(value) !== textOf(schema["const"])) return false;
  if (Array.isArray(schema["enum"]) && !isIn(value, schema["enum"], textOf)) return false;
  if (typeof schema["$ref"] === "string") {
    const target = checked.document.find(schema["$ref"], located);
    if (target !== null && !fits(value, target, checked)) return false;
  }
  if (!branches("allOf").every((index) => at("allOf", index))) return false;
  if (has(located, "anyOf") && !branches("anyOf").some((index) => at("anyOf", index))) return false;
  if (has(located, "oneOf") && branches("oneOf").filter((index) => at("oneOf", index)).length !== 1)
    return false;
  if (has(located, "not") && at("not")) return false;
  if (!has(located, "if")) return true;
  const branch = at("if") ? "then" : "else";
  return !has(located, branch) || at(branch);
}

function checksOf(value: unknown): Record<string, Check> {
  if (typeof value === "string") return stringChecks;
  if (typeof value === "number") return numberChecks;
  if (Array.isArray(value)) return arrayChecks;
  return isObject(value) ? objectChecks : {};
}

const limit = (
  keyword: string,
  holds: (value: number, limit: number) => boolean,
  measure: (value: never) => number,
): [string, Check] => [keyword, (value, { schema }) => holds(measure(value), schema[keyword] as number)];
const atLeast = (value: number, bound: number) => value >= bound;
const atMost = (value: number, bound: number) => value <= bound;
const itself = (value: number) => value;
const numCharacters = (value: string) => Array.from(value).length;
const numItems = (value: unknown[]) => value.length;
const numKeys = (value: object) => Object.keys(value).length;

const stringChecks: Record<string, Check> = {
  ...Object.fromEntries([
    limit("minLength", atLeast, numCharacters),
    limit("maxLength", atMost, numCharacters),
  ]),
  pattern: (value: string, { located, schema, checked }) => {
    const isMatch = matches(value, schema["pattern"], checked);
    if (checked.patterns.get(String(schema["pattern"])) === null) checked.unread(`${located.path}.pattern`);
    return isMatch;
  },
};

const numberChecks: Record<string, Check> = {
  ...Object.fromEntries([
    limit("minimum", atLeast, itself),
    limit("maximum", atMost, itself),
    limit("exclusiveMinimum", (value, bound) => value > bound, itself),
    limit("exclusiveMaximum", (value, bound) => value < bound, itself),
  ]),
  multipleOf: (value: number, { schema }) => {
    const quotient = value / (schema["multipleOf"] as number);
    return Math.abs(quotient - Math.round(quotient)) < 1e-9;
  },
};

const arrayChecks: Record<string, Check> = {
  ...Object.fromEntries([limit("minItems", atLeast, numItems), limit("maxItems", atMost, numItems)]),
  uniqueItems: (value: unknown[], { schema, checked }) =>
    schema["uniqueItems"] !== true ||
    new Set(value.map((one) => canonical(one, checked.spend))).size === value.length,
  prefixItems: (value: unknown[], { located, checked }) =>
    value.every((one, index) => {
      const item = childOf(located, "prefixItems", index);
      return item.schema === undefined || fits(one, item, checked);
    }),
  items: (value: unknown[], { located, schema, checked }) => {
    if (Array.isArray(schema["items"])) return true;
    const from = Array.isArray(schema["prefixItems"]) ? schema["prefixItems"].length : 0;
    return value.slice(from).every((one) => fits(one, childOf(located, "items"), checked));
  },
  contains: (value: unknown[], { located, schema, checked }) => {
    const count = value.filter((one) => fits(one, childOf(located, "contains"), checked)).length;
    const { minContains: least = 1, maxContains: most = Infinity } = schema as Record<
      string,
      number | undefined
    >;
    return count >= least && count <= most;
  },
};

const objectChecks: Record<string, Check> = {
  ...Object.fromEntries([limit("minProperties", atLeast, numKeys), limit("maxProperties", atMost, numKeys)]),
  required: (value: object, { schema }) =>
    (schema["required"] as string[]).every((name) => Object.hasOwn(value, name)),
  properties: (value: Record<string, unknown>, { located, schema, checked }) =>
    Object.keys(schema["properties"] as object)
      .filter((name) => Object.hasOwn(value, name))
      .every((name) => fits(value[name], childOf(located, "properties", name), checked)),
  propertyNames: (value: object, { located, checked }) =>
    Object.keys(value).every((name) => fits(name, childOf(located, "propertyNames"), checked)),
  patternProperties: (value: object, { located, schema, checked }) =>
    Object.keys(schema["patternProperties"] as object).every((pattern) =>
      Object.entries(value)
        .filter(([name]) => matches(name, pattern, checked))
        .every(([, one]) => fits(one, childOf(located, "patternProperties", pattern), checked)),
    ),
  additionalProperties: (value: object, { located, schema, checked }) => {
    const known = new Set(Object.keys(schema["properties"] ?? {}));
    const patterns = Object.keys(schema["patternProperties"] ?? {});
    return Object.entries(value)
      .filter(([name]) => !known.has(name) && !patterns.some((pattern) => matches(name, pattern, checked)))
      .every(([, one]) => fits(one, childOf(located, "additionalProperties"), checked));
  },
  dependentRequired: (value: object, { schema }) =>
    Object.entries(schema["dependentRequired"] as Record<string, string[]>)
      .filter(([name]) => Object.hasOwn(value, name))
      .every(([, names]) => names.every((name) => Object.hasOwn(value, name))),
  dependentSchemas: (value: object, { located, schema, checked }) =>
    Object.keys(schema["dependentSchemas"] as object)
      .filter((name) => Object.hasOwn(value, name))
      .every((name) => fits(value, childOf(located, "dependentSchemas", name), checked)),
};

/** By an automaton: a regular expression of the engine could take for ever. One that is not regular fits all. */
export function matches(
  text: string,
  pattern: unknown,
  { patterns, spend }: Pick<Checked, "patterns" | "spend">,
): boolean {
  if (typeof pattern !== "string") return true;
  spend(text.length);
  let automaton = patterns.get(pattern);
  if (automaton === undefined) {
    automaton = readOrNull(pattern, spend);
    patterns.set(pattern, automaton);
  }
  return automaton === null || acceptsText(automaton, text);
}

function readOrNull(pattern: string, spend: Spend): Automaton | null {
  try {
    return automatonOf(readRegex(pattern), spend, true);
  } catch (thrown) {
    if (thrown instanceof NotRegular) return null;
    throw thrown;
  }
}

/** A value as JSON with its keys in order: equal values have equal texts. */
function canonical(value: unknown, spend: Spend): string {
  if (Array.isArray(value)) return `[${value.map((one) => canonical(one, spend)).join()}]`;
  if (!isObject(value)) {
    const text = JSON.stringify(value);
    spend(text.length);
    return text;
  }
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key], spend)}`).join()}}`;
}

/** What long lists of a schema hold, read once. */
const setOf = new WeakMap<readonly unknown[], ReadonlySet<unknown>>();

function isIn(value: unknown, list: readonly unknown[], keyOf: (value: unknown) => unknown): boolean {
  let known = setOf.get(list);
  if (known === undefined) {
    known = new Set(list.map(keyOf));
    setOf.set(list, known);
  }
  return known.has(keyOf(value));
}
