import { percentFormat } from "./format.js";
import {
  compare,
  contains,
  escaped,
  Float,
  isEqual,
  isList,
  isNumber,
  Markup,
  numberOf,
  plain,
  sizeOf,
  textOf,
  Tuple,
  typeName,
  type Budget,
  type Value,
} from "./values.js";

/** Python's operators. */

export function comparison(operator: string, a: Value, b: Value): boolean {
  switch (operator) {
    case "==":
      return isEqual(a, b);
    case "!=":
      return !isEqual(a, b);
    case "in":
      return contains(b, a);
    case "not in":
      return !contains(b, a);
    case "<":
      return compare(a, b) < 0;
    case "<=":
      return compare(a, b) <= 0;
    case ">":
      return compare(a, b) > 0;
    default:
      return compare(a, b) >= 0;
  }
}

/** `~`, which takes what is marked as safe for a text like any other. */
export function joined(values: readonly Value[], budget: Budget): string {
  const texts = values.map(textOf);
  budget.make(texts.reduce((sum, { length }) => sum + length, 0));
  return texts.join("");
}

export function negated(value: Value, isNegative: boolean): Value {
  if (!isNumber(value)) throw new TypeError(`bad operand type for unary -: '${typeName(value)}'`);
  const number = isNegative ? -numberOf(value) : numberOf(value);
  return value instanceof Float ? new Float(number) : number + 0;
}

export function arithmetic(operator: string, a: Value, b: Value, budget: Budget): Value {
  if (isNumber(a) && isNumber(b)) return calculate(operator, a, b);
  if (operator === "%" && isText(a)) return percentFormat(textOf(a), plain(b), budget);
  if (operator === "+") {
    if (a instanceof Markup || b instanceof Markup)
      if (isText(a) && isText(b)) return new Markup(joined([escaped(a), escaped(b)], budget));
    if (isText(a) && isText(b)) return joined([a, b], budget);
    if (isList(a) && isList(b)) {
      budget.make(a.length + b.length);
      return [...a, ...b];
    }
    if (a instanceof Tuple && b instanceof Tuple) return new Tuple([...a.items, ...b.items]);
  }
  if (operator === "*" && typeof b === "number") return repeated(plain(a), b, budget);
  if (operator === "*" && typeof a === "number") return repeated(plain(b), a, budget);
  if (a === undefined || b === undefined) throw new TypeError(`'${operator}' of an undefined value`);
  throw new TypeError(`unsupported operand types for ${operator}: '${typeName(a)}' and '${typeName(b)}'`);
}

const isText = (value: Value) => typeof value === "string" || value instanceof Markup;

function repeated(value: Value, times: number, budget: Budget): Value {
  if (typeof value !== "string" && !isList(value))
    throw new TypeError(`can't multiply '${typeName(value)}' by an int`);
  const count = Math.max(0, times);
  budget.make(sizeOf(value) * count);
  return typeof value === "string" ? value.repeat(count) : Array.from({ length: count }, () => value).flat();
}

function calculate(operator: string, a: number | boolean | Float, b: number | boolean | Float): Value {
  const [left, right] = [numberOf(a), numberOf(b)];
  const isFloat = a instanceof Float || b instanceof Float;
  const of = (value: number) => (isFloat ? new Float(value) : value);
  if (["/", "//", "%"].includes(operator) && right === 0) throw new TypeError("division by zero");
  switch (operator) {
    case "+":
      return of(left + right);
    case "-":
      return of(left - right);
    case "*":
      return of(left * right);
    case "/":
      return new Float(left / right);
    case "//":
      return of(Math.floor(left / right));
    case "%":
      return of(left - right * Math.floor(left / right));
    default:
      return right < 0 ? new Float(left ** right) : of(left ** right);
  }
}
