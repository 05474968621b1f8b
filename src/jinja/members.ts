import { braceFormat } from "./format.js";
import { stringMethods } from "./string-methods.js";
import {
  bind,
  charactersOf,
  isEqual,
  isList,
  isMap,
  itemsOf,
  Namespace,
  textOf,
  Tuple,
  typeName,
  type Arguments,
  type Budget,
  type Callable,
  type Value,
} from "./values.js";

/** What stands after a value's dot, or in its brackets. */

/** `x.name`: a method before an item, as jinja2 has it. Names that begin with `_` are hidden. */
export function attributeOf(object: Value, name: string): Value {
  if (object === undefined) throw new TypeError(`an undefined value has no '${name}'`);
  if (name.startsWith("_")) return undefined;
  const method = methodOf(object, name);
  if (method !== undefined) return method;
  if (isMap(object)) return object.get(name);
  if (object instanceof Namespace) return object.fields.get(name);
  return object instanceof Tuple ? object.items[object.names.indexOf(name)] : undefined;
}

/** `x[key]`: an item before a method. */
export function itemOf(object: Value, key: Value): Value {
  if (object === undefined) throw new TypeError(`an undefined value has no item`);
  if (isMap(object) && object.has(key)) return object.get(key);
  if (typeof key === "string") return attributeOf(object, key);
  if (typeof key !== "number" && typeof key !== "boolean") return undefined;
  if (typeof object !== "string" && !isList(object) && !(object instanceof Tuple)) return undefined;
  return itemsOf(object).at(Number(key));
}

/** `x[start:stop:step]`. */
export function slice(object: Value, [first = null, last = null, by = null]: readonly Value[]): Value {
  if (typeof object !== "string" && !isList(object) && !(object instanceof Tuple))
    throw new TypeError(`'${typeName(object)}' object cannot be sliced`);
  const items = typeof object === "string" ? charactersOf(object) : itemsOf(object);
  if (![first, last, by].every((bound) => bound === null || typeof bound === "number")) return undefined;
  const step = index(by) ?? 1;
  if (step === 0) throw new TypeError("slice step cannot be zero");
  const lowest = step > 0 ? 0 : -1;
  const highest = step > 0 ? items.length : items.length - 1;
  const clamp = (value: number) =>
    Math.min(highest, Math.max(lowest, value < 0 ? value + items.length : value));
  const start = index(first);
  const stop = index(last);
  const end = stop === null ? (step > 0 ? highest : lowest) : clamp(stop);
  const taken: Value[] = [];
  for (
    let at = start === null ? (step > 0 ? lowest : highest) : clamp(start);
    step > 0 ? at < end : at > end;
    at += step
  )
    taken.push(items[at]);
  if (typeof object === "string") return taken.map(textOf).join("");
  return object instanceof Tuple ? new Tuple(taken) : taken;
}

const index = (value: Value): number | null => (typeof value === "number" ? value : null);

export function call(callee: Value, given: Arguments, budget: Budget): Value {
  if (typeof callee === "function") return callee(given, budget);
  if (callee instanceof Namespace && callee.call) return callee.call(given, budget);
  if (callee === undefined) throw new TypeError("what is called is undefined");
  throw new TypeError(`'${typeName(callee)}' object is not callable`);
}

/**
 * Of those that change what they belong to, lists have two that some templates need: llama.cpp has them, Hugging Face's
 * sandbox has none. The input is made anew for each rendering.
 */
function methodOf(object: Value, name: string): Callable | undefined {
  if (typeof object === "string") {
    if (name === "format")
      return (given, budget) => braceFormat(object, given, budget, { attributeOf, itemOf });
    const method = Object.hasOwn(stringMethods, name) ? stringMethods[name] : undefined;
    return method && ((given, budget) => method(object, given, budget));
  }
  if (isMap(object)) return mapMethod(object, name);
  if (isList(object) || object instanceof Tuple) return listMethod(itemsOf(object), name);
  return undefined;
}

function mapMethod(map: ReadonlyMap<Value, Value>, name: string): Callable | undefined {
  switch (name) {
    case "get":
      return (given) => {
        const [key, otherwise = null] = bind(given, ["key", "default"]);
        return map.has(key) ? map.get(key) : otherwise;
      };
    case "items":
      return () => [...map].map((entry) => new Tuple(entry));
    case "keys":
      return () => [...map.keys()];
    case "values":
      return () => [...map.values()];
    case "copy":
      return () => new Map(map);
    default:
      return undefined;
  }
}

function listMethod(items: readonly Value[], name: string): Callable | undefined {
  switch (name) {
    case "count":
      return ({ positional: [value] }) => items.filter((item) => isEqual(item, value)).length;
    case "index":
      return ({ positional: [value] }) => {
        const at = items.findIndex((item) => isEqual(item, value));
        if (at < 0) throw new TypeError("it is not in the list");
        return at;
      };
    case "copy":
      return () => [...items];
    case "append":
      return ({ positional: [value] }) => {
        (items as Value[]).push(value);
        return null;
      };
    case "pop":
      return ({ positional: [at = -1] }) => (items as Value[]).splice(Number(at), 1)[0];
    default:
      return undefined;
  }
}
