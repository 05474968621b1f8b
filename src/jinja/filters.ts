import { percentFormat } from "./format.js";
import { batch, best, chosen, dictSorted, getter, grouped, sliced, sorted, unique } from "./list-filters.js";
import { attributeOf } from "./members.js";
import { arithmetic } from "./operators.js";
import { capitalize, pad, replace, splitLines, strip } from "./string-methods.js";
import {
  bind,
  charactersOf,
  escaped,
  Float,
  isMap,
  isNumber,
  isTrue,
  itemsOf,
  numberOf,
  Markup,
  plain,
  repr,
  sizeOf,
  textOf,
  toJson,
  Tuple,
  typeName,
  type Arguments,
  type Budget,
  type Value,
} from "./values.js";

/** jinja2's filters, and `tojson` as Hugging Face has it: JSON without escapes for HTML. */

export type Filter = (value: Value, given: Arguments, budget: Budget) => Value;

export function filterNamed(name: string): Filter | undefined {
  return Object.hasOwn(filters, name) ? filters[name] : undefined;
}

/** Filters of a text take what `safe` has marked as a text. */
export function applied(
  filter: Filter,
  value: Value,
  { positional, named }: Arguments,
  budget: Budget,
): Value {
  const given = {
    positional: positional.map(plain),
    named: new Map([...named].map(([name, one]) => [name, plain(one)])),
  };
  return filter(
    filter === filters["e"] || filter === filters["escape"] ? value : plain(value),
    given,
    budget,
  );
}

function mapped(value: Value, { positional, named }: Arguments, budget: Budget): Value[] {
  if (!isTrue(value)) return [];
  if (named.has("attribute")) {
    const [get, otherwise] = [getter(named.get("attribute")), named.get("default")];
    return itemsOf(value).map((item) => get(item) ?? otherwise);
  }
  const [name, ...rest] = positional;
  const filter = filterNamed(textOf(name));
  if (filter === undefined) throw new TypeError(`no filter named '${textOf(name)}'`);
  return itemsOf(value).map((item) => filter(item, { positional: rest, named }, budget));
}

function toInteger(value: Value, given: Arguments): Value {
  const [otherwise = 0, base = 10] = bind(given, ["default", "base"]);
  if (value === undefined) throw new TypeError("an undefined value is no number");
  if (isNumber(value)) return Math.trunc(numberOf(value));
  if (typeof value !== "string") return otherwise;
  const text = value.trim().replaceAll("_", "").toLowerCase();
  const digits = text.replace(/^([-+]?)0[xob]/, "$1");
  const radix = Number(base);
  const number = Number.parseInt(radix === 10 ? text : digits, radix);
  const isWhole = radix === 10 ? /^[-+]?\d+$/.test(text) : !Number.isNaN(number);
  if (isWhole) return number;
  const float = text === "" ? NaN : Number(text);
  return Number.isFinite(float) && !/^[-+]?0[xob]/.test(text) ? Math.trunc(float) : otherwise;
}

function toFloat(value: Value, given: Arguments): Value {
  const [otherwise = new Float(0)] = bind(given, ["default"]);
  if (value === undefined) throw new TypeError("an undefined value is no number");
  if (isNumber(value)) return new Float(numberOf(value));
  const number = typeof value === "string" && value.trim() !== "" ? Number(value.trim()) : NaN;
  return Number.isNaN(number) ? otherwise : new Float(number);
}

function rounded(value: Value, given: Arguments): Value {
  const [precision = 0, method = "common"] = bind(given, ["precision", "method"]);
  if (!isNumber(value)) throw new TypeError(`cannot round ${typeName(value)}`);
  const scale = 10 ** Number(precision);
  const number = numberOf(value) * scale;
  if (method === "ceil") return new Float(Math.ceil(number) / scale);
  if (method === "floor") return new Float(Math.floor(number) / scale);
  const floor = Math.floor(number);
  const isHalf = number - floor === 0.5;
  const whole = isHalf ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(number);
  return value instanceof Float ? new Float(whole / scale) : whole / scale;
}

function indented(value: Value, given: Arguments, budget: Budget): string {
  const [width = 4, first = false, blank = false] = bind(given, ["width", "first", "blank"]);
  const indention = typeof width === "string" ? width : " ".repeat(Math.max(0, Number(width)));
  const lines = splitLines(`${textOf(value)}\n`);
  budget.make(lines.length * indention.length);
  const shifted = lines.map((line, index) =>
    (index === 0 && !isTrue(first)) || (index > 0 && line === "" && !isTrue(blank)) ? line : indention + line,
  );
  return shifted.join("\n");
}

function titled(text: string): string {
  return text
    .split(/([-\s({[<]+)/u)
    .map(capitalize)
    .join("");
}

function truncated(text: string, given: Arguments): string {
  const [length = 255, killsWords = false, end = "...", leeway = 5] = bind(given, [
    "length",
    "killwords",
    "end",
    "leeway",
  ]);
  const characters = charactersOf(text);
  if (characters.length <= Number(length) + Number(leeway)) return text;
  const cut = characters.slice(0, Number(length) - sizeOf(end)).join("");
  if (isTrue(killsWords)) return cut + textOf(end);
  const at = cut.lastIndexOf(" ");
  return (at < 0 ? cut : cut.slice(0, at)) + textOf(end);
}

function json(value: Value, given: Arguments, budget: Budget): string {
  const [isAscii, indent, separators, isSorted] = bind(given, [
    "ensure_ascii",
    "indent",
    "separators",
    "sort_keys",
  ]);
  const step =
    typeof indent === "number"
      ? " ".repeat(Math.min(64, indent))
      : typeof indent === "string"
        ? indent
        : null;
  const own =
    separators == null ? (step === null ? [", ", ": "] : [",", ": "]) : itemsOf(separators).map(textOf);
  const [between = ", ", after = ": "] = own;
  const text = toJson(value, {
    indent: step,
    isAscii: isTrue(isAscii),
    separators: [between, after],
    isSorted: isTrue(isSorted),
  });
  budget.make(text.length);
  return text;
}

function join(value: Value, given: Arguments, budget: Budget): string {
  const [separator = "", attribute] = bind(given, ["d", "attribute"]);
  const texts = itemsOf(value).map((item) => textOf(getter(attribute)(item)));
  const between = textOf(separator);
  budget.make(texts.reduce((sum, { length }) => sum + length + between.length, 0));
  return texts.join(between);
}

const withDefault: Filter = (value, given) => {
  const [otherwise = "", isForFalse = false] = bind(given, ["default_value", "boolean"]);
  return value === undefined || (isTrue(isForFalse) && !isTrue(value)) ? otherwise : value;
};

const filters: Readonly<Record<string, Filter>> = {
  abs: (value) => {
    if (!isNumber(value)) throw new TypeError(`bad operand type for abs(): '${typeName(value)}'`);
    return value instanceof Float ? new Float(Math.abs(value.value)) : Math.abs(Number(value));
  },
  attr: (value, { positional: [name] }) => (isMap(value) ? undefined : attributeOf(value, textOf(name))),
  batch,
  capitalize: (value) => capitalize(textOf(value)),
  center: (value, given, budget) =>
    pad(textOf(value), bind(given, ["width"])[0] ?? 80, " ", "center", budget),
  count: sizeOf,
  length: sizeOf,
  d: withDefault,
  default: withDefault,
  dictsort: dictSorted,
  e: (value) => new Markup(escaped(value)),
  escape: (value) => new Markup(escaped(value)),
  forceescape: (value) => new Markup(escaped(textOf(value))),
  first: (value) => itemsOf(value)[0],
  last: (value) => itemsOf(value).at(-1),
  float: toFloat,
  format: (value, { positional }, budget) => percentFormat(textOf(value), new Tuple(positional), budget),
  groupby: grouped,
  indent: indented,
  int: toInteger,
  items: (value) => {
    if (value === undefined) return [];
    if (!isMap(value)) throw new TypeError("can only get item pairs from a mapping");
    return [...value].map((entry) => new Tuple(entry));
  },
  join,
  list: (value) => [...itemsOf(value)],
  lower: (value) => textOf(value).toLowerCase(),
  upper: (value) => textOf(value).toUpperCase(),
  map: mapped,
  max: (value, given) => best(itemsOf(value), given, 1),
  min: (value, given) => best(itemsOf(value), given, -1),
  pprint: repr,
  reject: (value, { positional }) => chosen(value, positional, (item) => item, false),
  select: (value, { positional }) => chosen(value, positional, (item) => item, true),
  rejectattr: (value, { positional: [path, ...rest] }) => chosen(value, rest, getter(path), false),
  selectattr: (value, { positional: [path, ...rest] }) => chosen(value, rest, getter(path), true),
  replace: (value, given, budget) => {
    const [old, by, count] = bind(given, ["old", "new", "count"]);
    return replace(textOf(value), [textOf(old), textOf(by), count], budget);
  },
  reverse: (value) => {
    const items = [...(typeof value === "string" ? charactersOf(value) : itemsOf(value))].reverse();
    return typeof value === "string" ? items.map(textOf).join("") : items;
  },
  round: rounded,
  safe: (value) => new Markup(textOf(value)),
  slice: sliced,
  sort: (value, given) => sorted(itemsOf(value), bind(given, ["reverse", "case_sensitive", "attribute"])),
  string: textOf,
  sum: (value, given, budget) => {
    const [attribute, start = 0] = bind(given, ["attribute", "start"]);
    return itemsOf(value).reduce(
      (sum: Value, item) => arithmetic("+", sum, getter(attribute)(item), budget),
      start,
    );
  },
  title: (value) => titled(textOf(value)),
  tojson: json,
  trim: (value, given) => strip(textOf(value), bind(given, ["chars"])[0], {}),
  truncate: (value, given) => truncated(textOf(value), given),
  unique,
  urlencode: (value) => encodeURIComponent(textOf(value)).replaceAll("%2F", "/"),
  wordcount: (value) => textOf(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0,
};
