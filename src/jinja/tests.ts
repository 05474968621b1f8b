import { comparison } from "./operators.js";
import { contains, Float, isEqual, isList, isMap, isNumber, Namespace, Tuple, type Value } from "./values.js";

/** jinja2's tests: what may stand after `is`. */

type Test = (value: Value, given: readonly Value[]) => boolean;

const isInteger = (value: Value): value is number => typeof value === "number";
const isIterable = (value: Value) =>
  value === undefined || typeof value === "string" || isList(value) || isMap(value) || value instanceof Tuple;
const compares =
  (operator: string): Test =>
  (value, [other]) =>
    comparison(operator, value, other);

function remainder(value: Value, by: Value): number {
  if (!isInteger(value) || !isInteger(by)) throw new TypeError("not an int");
  return value % by;
}

const tests: Readonly<Record<string, Test>> = {
  boolean: (value) => typeof value === "boolean",
  callable: (value) => typeof value === "function" || (value instanceof Namespace && value.call !== null),
  defined: (value) => value !== undefined,
  undefined: (value) => value === undefined,
  divisibleby: (value, [by]) => remainder(value, by) === 0,
  even: (value) => remainder(value, 2) === 0,
  odd: (value) => remainder(value, 2) !== 0,
  eq: compares("=="),
  equalto: compares("=="),
  "==": compares("=="),
  ne: compares("!="),
  "!=": compares("!="),
  lt: compares("<"),
  lessthan: compares("<"),
  "<": compares("<"),
  le: compares("<="),
  "<=": compares("<="),
  gt: compares(">"),
  greaterthan: compares(">"),
  ">": compares(">"),
  ge: compares(">="),
  ">=": compares(">="),
  in: (value, [container]) => contains(container, value),
  escaped: () => false,
  filter: () => true,
  false: (value) => value === false,
  true: (value) => value === true,
  float: (value) => value instanceof Float,
  integer: isInteger,
  number: isNumber,
  string: (value) => typeof value === "string",
  mapping: isMap,
  iterable: isIterable,
  sequence: isIterable,
  lower: (value) =>
    typeof value === "string" && value === value.toLowerCase() && value !== value.toUpperCase(),
  upper: (value) =>
    typeof value === "string" && value === value.toUpperCase() && value !== value.toLowerCase(),
  none: (value) => value === null,
  sameas: (value, [other]) => value === other || (isNumber(value) && isEqual(value, other)),
  test: () => true,
};

export const testNamed = (name: string): Test | undefined =>
  Object.hasOwn(tests, name) ? tests[name] : undefined;
