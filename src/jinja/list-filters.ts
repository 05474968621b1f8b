import { itemOf } from "./members.js";
import { testNamed } from "./tests.js";
import {
  bind,
  compare,
  isEqual,
  isMap,
  isTrue,
  itemsOf,
  textOf,
  Tuple,
  typeName,
  type Arguments,
  type Budget,
  type Value,
} from "./values.js";

/** Filters of lists. */

/** `a.b.0`: jinja2's way into an item; null: the item itself. */
export function getter(path: Value): (item: Value) => Value {
  if (path === null || path === undefined) return (item) => item;
  if (typeof path === "number") return (item) => itemOf(item, path);
  const parts = textOf(path).split(".");
  return (item) =>
    parts.reduce<Value>((value, part) => itemOf(value, /^\d+$/.test(part) ? Number(part) : part), item);
}

const folded = (value: Value): Value => (typeof value === "string" ? value.toLowerCase() : value);

export function sorted(items: readonly Value[], [reverse, isCased, attribute]: readonly Value[]): Value[] {
  const getters = typeof attribute === "string" ? attribute.split(",").map(getter) : [getter(attribute)];
  const keyOf = (item: Value) => getters.map((get) => (isCased === true ? get(item) : folded(get(item))));
  const keyed = items.map((item) => ({ item, key: keyOf(item) }));
  const sign = isTrue(reverse) ? -1 : 1;
  return keyed.sort((a, b) => sign * compare(a.key, b.key)).map(({ item }) => item);
}

export function best(items: readonly Value[], given: Arguments, sign: number): Value {
  const [isCased, attribute] = bind(given, ["case_sensitive", "attribute"]);
  const get = getter(attribute);
  const keyOf = (item: Value) => (isCased === true ? get(item) : folded(get(item)));
  return items.reduce(
    (found: Value, item, index) =>
      index === 0 || sign * compare(keyOf(item), keyOf(found)) > 0 ? item : found,
    undefined,
  );
}

/** `select`, `reject` and those of an attribute: with a test and what it takes, or else by truth. */
export function chosen(
  value: Value,
  given: readonly Value[],
  get: (item: Value) => Value,
  isWanted: boolean,
): Value[] {
  const items = isTrue(value) ? itemsOf(value) : [];
  const [name, ...rest] = given;
  if (name === undefined) return items.filter((item) => isTrue(get(item)) === isWanted);
  const test = testNamed(textOf(name));
  if (test === undefined) throw new TypeError(`no test named '${textOf(name)}'`);
  return items.filter((item) => test(get(item), rest) === isWanted);
}

export function grouped(value: Value, given: Arguments): Value[] {
  const [attribute, otherwise, isCased] = bind(given, ["attribute", "default", "case_sensitive"]);
  const get = getter(attribute);
  const keyOf = (item: Value) => get(item) ?? otherwise;
  const orderOf = (item: Value) => (isCased === true ? keyOf(item) : folded(keyOf(item)));
  const items = [...itemsOf(value)].sort((a, b) => compare(orderOf(a), orderOf(b)));
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of items) {
    const last = groups.at(-1);
    if (last && isEqual(orderOf(last.items[0]), orderOf(item))) last.items.push(item);
    else groups.push({ key: keyOf(item), items: [item] });
  }
  return groups.map((group) => new Tuple([group.key, group.items], ["grouper", "list"]));
}

export function unique(value: Value, given: Arguments): Value[] {
  const [isCased, attribute] = bind(given, ["case_sensitive", "attribute"]);
  const get = getter(attribute);
  const seen = new Set<Value>();
  return itemsOf(value).filter((item) => {
    const key = isCased === true ? get(item) : folded(get(item));
    const isNew = !seen.has(key);
    seen.add(key);
    return isNew;
  });
}

export function batch(value: Value, given: Arguments): Value[] {
  const [size, fill = null] = bind(given, ["linecount", "fill_with"]);
  const length = Math.max(1, Number(size));
  const items = itemsOf(value);
  return Array.from({ length: Math.ceil(items.length / length) }, (_, index) => {
    const part = items.slice(index * length, (index + 1) * length);
    return fill === null ? part : [...part, ...Array<Value>(length - part.length).fill(fill)];
  });
}

export function sliced(value: Value, given: Arguments, budget: Budget): Value[] {
  const [count, fill = null] = bind(given, ["slices", "fill_with"]);
  const numSlices = Math.max(1, Number(count));
  budget.make(numSlices);
  const items = itemsOf(value);
  const [each, more] = [Math.floor(items.length / numSlices), items.length % numSlices];
  return Array.from({ length: numSlices }, (_, index) => {
    const start = index * each + Math.min(index, more);
    const part = items.slice(start, start + each + (index < more ? 1 : 0));
    return fill !== null && index >= more ? [...part, fill] : part;
  });
}

export function dictSorted(value: Value, given: Arguments): Value[] {
  if (!isMap(value)) throw new TypeError(`'${typeName(value)}' object is no dict`);
  const [isCased, by = "key", reverse] = bind(given, ["case_sensitive", "by", "reverse"]);
  const entries = [...value].map((entry) => new Tuple(entry));
  return sorted(entries, [reverse, isCased, by === "value" ? 1 : 0]);
}
