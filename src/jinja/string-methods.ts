import { space } from "./lexer.js";
import {
  bind,
  charactersOf,
  itemsOf,
  Tuple,
  typeName,
  type Arguments,
  type Budget,
  type Value,
} from "./values.js";

/** Methods of Python's `str`. */

type Method = (text: string, given: Arguments, budget: Budget) => Value;

const leading = new RegExp(`^${space}+`);
const words = new RegExp(`(?:(?!${space})[^])+`, "g");

const oneText = (given: Arguments): string => textAt(given, 0);

function textAt({ positional }: Arguments, index: number, otherwise?: string): string {
  const value = positional[index] ?? otherwise;
  if (typeof value !== "string") throw new TypeError(`expected a str, not ${typeName(value)}`);
  return value;
}

/** Without the characters at its ends; null: white space. */
export function strip(text: string, characters: Value, { left = true, right = true }): string {
  if (characters === null || characters === undefined) {
    const shortened = left ? text.replace(leading, "") : text;
    return right ? withoutTrailing(shortened) : shortened;
  }
  const set = new Set(charactersOf(textAt({ positional: [characters], named: new Map() }, 0)));
  const all = charactersOf(text);
  let [start, end] = [0, all.length];
  while (left && start < end && set.has(all[start] as string)) start++;
  while (right && end > start && set.has(all[end - 1] as string)) end--;
  return all.slice(start, end).join("");
}

const isSpace = new RegExp(space);

/** A pattern would look at every run of white space in the text. */
function withoutTrailing(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace.test(text[end - 1] as string)) end--;
  return text.slice(0, end);
}

export function splitLines(text: string, keepsEnds = false): string[] {
  const lines = [
    ...text.matchAll(/([^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*)(\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]|$)/g),
  ];
  return lines.flatMap(([whole, line = ""]) => (whole === "" ? [] : [keepsEnds ? whole : line]));
}

export function replace(text: string, [old, by, count]: readonly Value[], budget: Budget): string {
  if (typeof old !== "string" || typeof by !== "string") throw new TypeError("replace() takes two str");
  const most = typeof count === "number" && count >= 0 ? count : Infinity;
  const parts = old === "" ? ["", ...charactersOf(text), ""] : text.split(old);
  const numReplaced = Math.min(most, parts.length - 1);
  budget.make(text.length + numReplaced * by.length);
  const rest = parts.slice(numReplaced).join(old);
  return numReplaced === 0 ? rest : parts.slice(0, numReplaced).join(by) + by + rest;
}

export function capitalize(text: string): string {
  const [first = "", ...rest] = charactersOf(text);
  return first.toUpperCase() + rest.join("").toLowerCase();
}

function titled(text: string): string {
  return text.replaceAll(/\p{L}+/gu, capitalize);
}

function split(text: string, given: Arguments, fromRight: boolean): Value {
  const [separator = null, limit = -1] = bind(given, ["sep", "maxsplit"]);
  const most = typeof limit === "number" && limit >= 0 ? limit : Infinity;
  if (separator === null) return splitWords(text, most, fromRight);
  if (typeof separator !== "string") throw new TypeError("sep must be a str or None");
  if (separator === "") throw new TypeError("empty separator");
  const parts = text.split(separator);
  if (parts.length - 1 <= most) return parts;
  if (fromRight) {
    const numJoined = parts.length - most;
    return [parts.slice(0, numJoined).join(separator), ...parts.slice(numJoined)];
  }
  return [...parts.slice(0, most), parts.slice(most).join(separator)];
}

function splitWords(text: string, most: number, fromRight: boolean): string[] {
  const found = [...text.matchAll(words)];
  const parts = found.map(([word]) => word);
  if (parts.length <= most) return parts;
  if (fromRight) {
    const last = found[found.length - most - 1];
    const rest = last ? text.slice(0, last.index + last[0].length) : "";
    return [strip(rest, null, { right: false }), ...parts.slice(parts.length - most)];
  }
  return [...parts.slice(0, most), withoutTrailing(text.slice(found[most]?.index ?? text.length))];
}

/** Places of Python's strings count code points. */
function find(text: string, { positional }: Arguments, fromRight: boolean): number {
  const [wanted, start, end] = positional;
  if (typeof wanted !== "string") throw new TypeError("must be str");
  const all = charactersOf(text);
  const bound = (value: Value, otherwise: number) =>
    typeof value !== "number"
      ? otherwise
      : Math.min(all.length, value < 0 ? Math.max(0, value + all.length) : value);
  const from = bound(start, 0);
  if (from > bound(end, all.length)) return -1;
  const part = all.slice(from, bound(end, all.length)).join("");
  const at = fromRight ? part.lastIndexOf(wanted) : part.indexOf(wanted);
  return at < 0 ? -1 : from + charactersOf(part.slice(0, at)).length;
}

function found(at: number): number {
  if (at < 0) throw new TypeError("substring not found");
  return at;
}

function affix(holds: (part: string) => boolean, { positional: [given] }: Arguments): boolean {
  const parts = given instanceof Tuple ? given.items : [given];
  return parts.some((part) => {
    if (typeof part !== "string") throw new TypeError("expected str or a tuple of str");
    return holds(part);
  });
}

function partition(text: string, separator: string, fromRight: boolean): Tuple {
  if (separator === "") throw new TypeError("empty separator");
  const at = fromRight ? text.lastIndexOf(separator) : text.indexOf(separator);
  if (at < 0) return new Tuple(fromRight ? ["", "", text] : [text, "", ""]);
  return new Tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
}

/** @param align where the text is */
export function pad(
  text: string,
  width: Value,
  fill: string,
  align: "left" | "right" | "center",
  budget: Budget,
): string {
  if (typeof width !== "number") throw new TypeError("the width must be an int");
  budget.make(width);
  const missing = Math.max(0, width - charactersOf(text).length);
  // As CPython rounds.
  const left = { left: 0, right: missing, center: Math.floor(missing / 2) + (missing & width & 1) }[align];
  return fill.repeat(left) + text + fill.repeat(missing - left);
}

const every = (pattern: RegExp) => (text: string) => pattern.test(text);
const isCased = (text: string, own: string, other: string) => text === own && own !== other;

export const stringMethods: Readonly<Record<string, Method>> = {
  upper: (text) => text.toUpperCase(),
  lower: (text) => text.toLowerCase(),
  casefold: (text) => text.toLowerCase().replaceAll("ß", "ss"),
  capitalize: (text) => capitalize(text),
  title: (text) => titled(text),
  swapcase: (text) =>
    charactersOf(text)
      .map((one) => (one === one.toUpperCase() ? one.toLowerCase() : one.toUpperCase()))
      .join(""),
  strip: (text, { positional: [characters] }) => strip(text, characters, {}),
  lstrip: (text, { positional: [characters] }) => strip(text, characters, { right: false }),
  rstrip: (text, { positional: [characters] }) => strip(text, characters, { left: false }),
  split: (text, given) => split(text, given, false),
  rsplit: (text, given) => split(text, given, true),
  splitlines: (text, given) => splitLines(text, bind(given, ["keepends"])[0] === true),
  partition: (text, given) => partition(text, oneText(given), false),
  rpartition: (text, given) => partition(text, oneText(given), true),
  replace: (text, given, budget) => replace(text, bind(given, ["old", "new", "count"]), budget),
  removeprefix: (text, given) => (text.startsWith(oneText(given)) ? text.slice(oneText(given).length) : text),
  removesuffix: (text, given) =>
    text.endsWith(oneText(given)) ? text.slice(0, text.length - oneText(given).length) : text,
  startswith: (text, given) => affix((part) => text.startsWith(part), given),
  endswith: (text, given) => affix((part) => text.endsWith(part), given),
  find: (text, given) => find(text, given, false),
  rfind: (text, given) => find(text, given, true),
  index: (text, given) => found(find(text, given, false)),
  rindex: (text, given) => found(find(text, given, true)),
  count: (text, given) => {
    const wanted = oneText(given);
    return wanted === "" ? charactersOf(text).length + 1 : text.split(wanted).length - 1;
  },
  join: (text, { positional: [parts] }, budget) => {
    const texts = itemsOf(parts).map((part) => {
      if (typeof part !== "string") throw new TypeError(`expected str to join, found ${typeName(part)}`);
      return part;
    });
    budget.make(texts.reduce((sum, { length }) => sum + length + text.length, 0));
    return texts.join(text);
  },
  center: (text, given, budget) => pad(text, given.positional[0], textAt(given, 1, " "), "center", budget),
  ljust: (text, given, budget) => pad(text, given.positional[0], textAt(given, 1, " "), "left", budget),
  rjust: (text, given, budget) => pad(text, given.positional[0], textAt(given, 1, " "), "right", budget),
  zfill: (text, { positional: [width] }, budget) => {
    const [, sign = "", digits = ""] = /^([-+]?)([^]*)$/.exec(text) ?? [];
    const room = typeof width === "number" ? width - sign.length : width;
    return sign + pad(digits, room, "0", "right", budget);
  },
  expandtabs: (text, { positional: [size = 8] }) => text.replaceAll("\t", " ".repeat(Number(size))),
  isalnum: every(/^[\p{L}\p{N}]+$/u),
  isalpha: every(/^\p{L}+$/u),
  isascii: every(/^[\x00-\x7f]*$/),
  isdecimal: every(/^\p{Nd}+$/u),
  isdigit: every(/^[\p{Nd}²³¹⁰-₉]+$/u),
  isnumeric: every(/^\p{N}+$/u),
  isidentifier: every(/^[\p{L}_][\p{L}\p{N}_]*$/u),
  isspace: every(new RegExp(`^${space}+$`)),
  islower: (text) => isCased(text, text.toLowerCase(), text.toUpperCase()),
  isupper: (text) => isCased(text, text.toUpperCase(), text.toLowerCase()),
  istitle: (text) => isCased(text, titled(text), text.toLowerCase()),
};
