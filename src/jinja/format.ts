import {
  charactersOf,
  Float,
  floatText,
  isMap,
  isNumber,
  numberOf,
  repr,
  textOf,
  Tuple,
  typeName,
  type Arguments,
  type Budget,
  type Value,
} from "./values.js";

/** Python's ways to write values into a text: `"%s" % x` and `"{}".format(x)`. */

interface Spec {
  fill: string;
  align: string;
  sign: string;
  isAlternate: boolean;
  width: number;
  grouping: string;
  precision: number | null;
  type: string;
}

/** @throws TypeError for what cannot be written so */
export function percentFormat(template: string, given: Value, budget: Budget): string {
  const values = given instanceof Tuple ? given.items : [given];
  let next = 0;
  const take = () => {
    if (next >= values.length) throw new TypeError("not enough arguments for format string");
    return values[next++];
  };
  const text = template.replaceAll(
    /%(?:\((.*?)\))?([-+ #0]*)(\*|\d+)?(?:\.(\d+))?([a-zA-Z%])/g,
    (
      _,
      name: string | undefined,
      flags: string,
      width: string | undefined,
      precision: string | undefined,
      type: string,
    ) => {
      if (type === "%") return "%";
      const wide = width === "*" ? take() : Number(width ?? 0);
      const value = name === undefined ? take() : isMap(given) ? given.get(name) : undefined;
      const isText = "sra".includes(type);
      return formatted(
        type === "r" || type === "a" ? repr(value) : type === "s" ? textOf(value) : value,
        {
          fill: flags.includes("0") && !flags.includes("-") && !isText ? "0" : " ",
          align: flags.includes("-") ? "<" : flags.includes("0") && !isText ? "=" : ">",
          sign: /[+ ]/.exec(flags)?.[0] ?? "",
          isAlternate: flags.includes("#"),
          width: typeof wide === "number" ? wide : 0,
          grouping: "",
          precision: precision === undefined ? null : Number(precision),
          type: isText ? "s" : type === "i" || type === "u" ? "d" : type,
        },
        budget,
      );
    },
  );
  if (next < values.length && !isMap(given))
    throw new TypeError("not all arguments converted during string formatting");
  return text;
}

/** What `{0.name[key]}` reads. */
interface Members {
  attributeOf: (value: Value, name: string) => Value;
  itemOf: (value: Value, key: Value) => Value;
}

/** Python's `str.format`. */
export function braceFormat(
  template: string,
  given: Arguments,
  budget: Budget,
  { attributeOf, itemOf }: Members,
): string {
  let next = 0;
  const valueOf = (path: string): Value => {
    const [, first = "", rest = ""] = /^([^.[]*)(.*)$/s.exec(path) ?? [];
    const start =
      first === ""
        ? given.positional[next++]
        : /^\d+$/.test(first)
          ? given.positional[Number(first)]
          : given.named.get(first);
    if (start === undefined) throw new TypeError(`nothing to write for {${path}}`);
    return [...rest.matchAll(/\.([^.[]+)|\[([^\]]*)\]/g)].reduce<Value>(
      (value, [, name, key = ""]) =>
        name === undefined ? itemOf(value, /^\d+$/.test(key) ? Number(key) : key) : attributeOf(value, name),
      start,
    );
  };
  return template.replaceAll(
    /\{\{|\}\}|\{([^{}!:]*)(?:!([rsa]))?(?::((?:[^{}]|\{[^{}]*\})*))?\}|[{}]/g,
    (found, path: string | undefined, conversion: string | undefined, spec: string | undefined) => {
      if (found === "{{" || found === "}}") return found.slice(1);
      if (path === undefined) throw new TypeError(`a single '${found}' in a format string`);
      const value = valueOf(path);
      const shown = conversion === undefined ? value : conversion === "s" ? textOf(value) : repr(value);
      const inner = (spec ?? "").replaceAll(/\{([^{}]*)\}/g, (_, name: string) => textOf(valueOf(name)));
      return formatted(shown, readSpec(inner, shown), budget);
    },
  );
}

function readSpec(text: string, value: Value): Spec {
  const found = /^(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/su.exec(text);
  if (found === null) throw new TypeError(`invalid format specifier '${text}'`);
  const [, fill, align, sign = "", alternate, zero, width, grouping = "", precision, type = ""] = found;
  const isText = !isNumber(value) || typeof value === "boolean";
  return {
    fill: fill ?? (zero === undefined ? " " : "0"),
    align: align ?? (zero !== undefined && !isText ? "=" : isText ? "<" : ">"),
    sign,
    isAlternate: alternate !== undefined,
    width: Number(width ?? 0),
    grouping,
    precision: precision === undefined ? null : Number(precision),
    type: type === "" && isText ? "s" : type,
  };
}

function formatted(value: Value, spec: Spec, budget: Budget): string {
  budget.make(spec.width + (spec.precision ?? 0));
  const { type, precision } = spec;
  if (type === "s") {
    const text = textOf(value);
    return padded("", precision === null ? text : charactersOf(text).slice(0, precision).join(""), spec);
  }
  if (type === "c")
    return padded("", typeof value === "number" ? String.fromCodePoint(value) : textOf(value), spec);
  if (!isNumber(value)) throw new TypeError(`a number is required, not ${typeName(value)}`);
  const number = numberOf(value);
  const digits = digitsOf(value, Math.abs(number), spec);
  const grouped =
    spec.grouping === "" ? digits : digits.replace(/^\d+/, (whole) => grouping(whole, spec.grouping));
  const isNegative = number < 0 || Object.is(number, -0);
  return padded(isNegative ? "-" : spec.sign === "-" ? "" : spec.sign, grouped, spec);
}

const grouping = (digits: string, mark: string) => digits.replaceAll(/\B(?=(\d{3})+$)/g, mark);

function digitsOf(
  value: number | boolean | Float,
  number: number,
  { type, precision, isAlternate }: Spec,
): string {
  const bases: Record<string, [number, string]> = {
    x: [16, "0x"],
    X: [16, "0X"],
    o: [8, "0o"],
    b: [2, "0b"],
  };
  const based = bases[type];
  if (based !== undefined) {
    const digits = Math.trunc(number).toString(based[0]);
    return (isAlternate ? based[1] : "") + (type === "X" ? digits.toUpperCase() : digits);
  }
  switch (type) {
    case "d":
    case "n":
      return String(Math.trunc(number));
    case "f":
    case "F":
      return number.toFixed(Math.min(100, precision ?? 6));
    case "%":
      return `${(number * 100).toFixed(Math.min(100, precision ?? 6))}%`;
    case "e":
    case "E": {
      const text = number.toExponential(Math.min(100, precision ?? 6)).replace(/e([+-])(\d)$/, "e$10$2");
      return type === "E" ? text.toUpperCase() : text;
    }
    case "g":
    case "G":
      return general(number, precision ?? 6);
    case "":
      if (precision !== null) return general(number, precision);
      return value instanceof Float ? floatText(number) : String(number);
    default:
      throw new TypeError(`unknown format code '${type}'`);
  }
}

/** Python's `g`. */
function general(number: number, precision: number): string {
  const significant = Math.min(100, Math.max(1, precision));
  const [mantissa = "", exponent = "0"] = number.toExponential(significant - 1).split("e");
  const power = Number(exponent);
  const trim = (text: string) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (power >= -4 && power < significant) return trim(number.toFixed(Math.max(0, significant - 1 - power)));
  return `${trim(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

function padded(sign: string, text: string, { fill, align, width }: Spec): string {
  const missing = Math.max(0, width - charactersOf(sign + text).length);
  if (align === "=") return sign + fill.repeat(missing) + text;
  const left = align === "<" ? 0 : align === "^" ? Math.floor(missing / 2) : missing;
  return fill.repeat(left) + sign + text + fill.repeat(missing - left);
}
