/**
 * Values of a template. They are Python's, as JavaScript has them: `undefined` is jinja2's Undefined, `null` is None,
 * a number is an int, a `Map` a dict.
 */

/** How far a template may go: what it does is counted, whatever it says. */
export interface Budget {
  /** @throws TypeError past the limit */
  spend(steps: number): void;
  /** To be asked before so many characters, or items, are made. */
  make(length: number): void;
}

export interface Arguments {
  positional: readonly Value[];
  named: ReadonlyMap<string, Value>;
}

export type Callable = (given: Arguments, budget: Budget) => Value;

export type Value =
  | undefined
  | null
  | boolean
  | number
  | string
  | Float
  | Tuple
  | Namespace
  | Markup
  | Callable
  | readonly Value[]
  | ReadonlyMap<Value, Value>;

/** Python prints a float otherwise than an int. */
export class Float {
  constructor(readonly value: number) {}
}

export class Tuple {
  /** @param names of the places, where they have some */
  constructor(
    readonly items: readonly Value[],
    readonly names: readonly string[] = [],
  ) {}
}

/** A text that `safe` or `escape` made: what it is joined to is escaped for HTML. */
export class Markup {
  constructor(readonly text: string) {}
}

const escapes: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&#39;",
  '"': "&#34;",
};

export const escaped = (value: Value): string =>
  value instanceof Markup ? value.text : textOf(value).replaceAll(/[&<>'"]/g, (one) => escapes[one] ?? one);

/** For all but what joins texts, it is a text like any other. */
export const plain = (value: Value): Value => (value instanceof Markup ? value.text : value);

/** What a template may write into, and what it may only read from, such as `loop`. */
export class Namespace {
  /** @param call what happens when it is called; null: it cannot be */
  constructor(
    readonly fields: Map<string, Value>,
    readonly isFixed = false,
    readonly call: Callable | null = null,
  ) {}
}

/** The arguments in the order of their names. */
export function bind({ positional, named }: Arguments, names: readonly string[]): Value[] {
  if (positional.length > names.length)
    throw new TypeError(`expected at most ${names.length} arguments, got ${positional.length}`);
  for (const name of named.keys())
    if (!names.includes(name)) throw new TypeError(`unexpected keyword argument '${name}'`);
  return names.map((name, index) => (index < positional.length ? positional[index] : named.get(name)));
}

export function toValue(given: unknown): Value {
  if (typeof given === "number") return Number.isInteger(given) ? given : new Float(given);
  if (given === null || typeof given !== "object" || given instanceof Namespace) return given as Value;
  if (Array.isArray(given)) return given.map(toValue);
  if (given instanceof Map || given instanceof Float || given instanceof Markup || given instanceof Tuple)
    return given as Value;
  return new Map(
    Object.entries(given).flatMap(([key, value]) => (value === undefined ? [] : [[key, toValue(value)]])),
  );
}

export const isMap = (value: Value): value is ReadonlyMap<Value, Value> => value instanceof Map;
export const isList = (value: Value): value is readonly Value[] => Array.isArray(value);

export function isNumber(value: Value): value is number | boolean | Float {
  return typeof value === "number" || typeof value === "boolean" || value instanceof Float;
}

export const numberOf = (value: number | boolean | Float): number =>
  value instanceof Float ? value.value : Number(value);

export function typeName(value: Value): string {
  if (value === undefined) return "Undefined";
  if (value === null) return "NoneType";
  if (isList(value)) return "list";
  if (isMap(value)) return "dict";
  if (value instanceof Float) return "float";
  if (value instanceof Tuple) return "tuple";
  if (value instanceof Markup) return "Markup";
  if (value instanceof Namespace) return "Namespace";
  return { boolean: "bool", number: "int", string: "str" }[typeof value as string] ?? "function";
}

export function isTrue(value: Value): boolean {
  if (isMap(value)) return value.size > 0;
  if (isList(value)) return value.length > 0;
  if (value instanceof Tuple) return value.items.length > 0;
  if (value instanceof Float) return value.value !== 0;
  return Boolean(plain(value));
}

/** Code points: Python's unit of length. */
export function charactersOf(text: string): string[] {
  return /[\ud800-\udfff]/.test(text) ? Array.from(text) : text.split("");
}

export function sizeOf(value: Value): number {
  if (value === undefined) return 0;
  if (typeof value === "string") return charactersOf(value).length;
  if (isMap(value)) return value.size;
  return itemsOf(value).length;
}

/** @throws TypeError for what cannot be walked through */
export function itemsOf(value: Value): readonly Value[] {
  if (value === undefined) return [];
  if (typeof value === "string") return charactersOf(value);
  if (isList(value)) return value;
  if (value instanceof Tuple) return value.items;
  if (isMap(value)) return [...value.keys()];
  throw new TypeError(`'${typeName(value)}' object is not iterable`);
}

export function isEqual(a: Value, b: Value): boolean {
  if (isNumber(a) && isNumber(b)) return numberOf(a) === numberOf(b);
  if ((isList(a) && isList(b)) || (a instanceof Tuple && b instanceof Tuple)) {
    const [left, right] = [itemsOf(a), itemsOf(b)];
    return left.length === right.length && left.every((item, index) => isEqual(item, right[index]));
  }
  if (isMap(a) && isMap(b))
    return a.size === b.size && [...a].every(([key, value]) => b.has(key) && isEqual(value, b.get(key)));
  return a === b;
}

/** Below, at or above 0. @throws TypeError for what has no order */
export function compare(a: Value, b: Value): number {
  if (isNumber(a) && isNumber(b)) return numberOf(a) - numberOf(b);
  if (typeof a === "string" && typeof b === "string") return compareTexts(a, b);
  if ((isList(a) && isList(b)) || (a instanceof Tuple && b instanceof Tuple)) {
    const [left, right] = [itemsOf(a), itemsOf(b)];
    const at = left.findIndex((item, index) => index >= right.length || !isEqual(item, right[index]));
    if (at < 0 || at >= right.length) return left.length - right.length;
    return compare(left[at], right[at]);
  }
  throw new TypeError(`'<' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

/** In the order of code points. */
function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  const [left, right] = [charactersOf(a), charactersOf(b)];
  const at = left.findIndex((character, index) => character !== right[index]);
  if (at < 0 || at >= right.length) return left.length - right.length;
  return (left[at]?.codePointAt(0) ?? 0) - (right[at]?.codePointAt(0) ?? 0);
}

/** Python's `x in y`. */
export function contains(container: Value, value: Value): boolean {
  if (typeof container === "string") {
    if (typeof value !== "string")
      throw new TypeError(`'in <string>' requires string as left operand, not ${typeName(value)}`);
    return container.includes(value);
  }
  if (isMap(container)) return container.has(value);
  return itemsOf(container).some((item) => isEqual(item, value));
}

/** Python's `str`. */
export function textOf(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Markup) return value.text;
  return value === undefined ? "" : repr(value);
}

export function repr(value: Value): string {
  if (value === undefined) return "Undefined";
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return quoted(value);
  if (value instanceof Float) return floatText(value.value);
  if (isList(value)) return `[${value.map(repr).join(", ")}]`;
  if (value instanceof Tuple) {
    const items = value.items.map(repr);
    return items.length === 1 ? `(${items[0] ?? ""},)` : `(${items.join(", ")})`;
  }
  if (isMap(value)) return `{${[...value].map(([key, item]) => `${repr(key)}: ${repr(item)}`).join(", ")}}`;
  return `<${typeName(value)}>`;
}

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const named: Record<string, string> = {
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\\": "\\\\",
    [quote]: `\\${quote}`,
  };
  const body = text.replaceAll(/[\\'"\x00-\x1f\x7f-\xa0\xad]/g, (character) => {
    const name = named[character];
    if (name !== undefined) return name;
    return /['"]/.test(character) ? character : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return quote + body + quote;
}

export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const [digits = "", exponent = "0"] = value.toExponential().split("e");
  const power = Number(exponent);
  if (value !== 0 && (power < -4 || power >= 16))
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  const plain = Object.is(value, -0)
    ? "-0"
    : value.toFixed(20).includes(".")
      ? String(value)
      : value.toFixed(0);
  const written = plain.includes("e") ? value.toFixed(Math.max(0, digits.length - 2 - power)) : plain;
  return written.includes(".") ? written : `${written}.0`;
}

export interface JsonOptions {
  indent: string | null;
  isAscii: boolean;
  separators: readonly [string, string];
  isSorted: boolean;
}

/** Python's `json.dumps`. @throws TypeError for what is no JSON */
export function toJson(value: Value, options: JsonOptions, padding = "\n"): string {
  const { indent, isAscii, separators, isSorted } = options;
  const text = (given: string) => {
    const json = JSON.stringify(given);
    return isAscii
      ? json.replaceAll(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      : json;
  };
  const inner = padding + (indent ?? "");
  const wrap = ([open, close]: string, parts: readonly string[]) => {
    if (parts.length === 0 || indent === null)
      return `${open ?? ""}${parts.join(separators[0])}${close ?? ""}`;
    return `${open ?? ""}${inner}${parts.join(separators[0] + inner)}${padding}${close ?? ""}`;
  };
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") return String(value);
  if (value instanceof Float) return floatText(value.value).replace("inf", "Infinity").replace("nan", "NaN");
  if (typeof value === "string") return text(value);
  if (isList(value) || value instanceof Tuple)
    return wrap(
      "[]",
      itemsOf(value).map((item) => toJson(item, options, inner)),
    );
  if (!isMap(value)) throw new TypeError(`Object of type ${typeName(value)} is not JSON serializable`);
  const entries = [...value];
  if (isSorted) entries.sort(([a], [b]) => compare(a, b));
  return wrap(
    "{}",
    entries.map(([key, item]) => text(keyText(key)) + separators[1] + toJson(item, options, inner)),
  );
}

function keyText(key: Value): string {
  if (key === null || typeof key === "boolean") return String(key);
  if (typeof key === "string" || typeof key === "number" || key instanceof Float) return textOf(key);
  throw new TypeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}
