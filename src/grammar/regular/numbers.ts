import { automatonOf, AutomatonBuilder, both, type Automaton } from "./automaton.js";
import { pointsIn, pointsOf } from "./code-points.js";
import { choice, empty, NotRegular, repeat, sequence, set, type Expression } from "./expression.js";

/**
 * Decimal numbers within bounds, as texts: `-12.5`, no exponent, at most 15 digits, so that no two of them are one
 * floating-point number and a bound that excludes its end stays one.
 */

export interface NumberBounds {
  isInteger: boolean;
  low: Bound | null;
  high: Bound | null;
  /** Every number is a multiple of each. */
  multiplesOf: readonly number[];
}

export interface Bound {
  value: number;
  /** The bound itself is allowed. */
  isIn: boolean;
}

const mostDigits = 15;
/** Remainders that are told apart for `multipleOf`. */
const mostRemainders = 1_000;

/** A number without a sign: its whole digits without leading zeros, and its fraction's without trailing ones. */
interface Decimal {
  whole: string;
  fraction: string;
}

const digitsFrom = (low: number, high: number): Expression => set(pointsOf([[0x30 + low, 0x30 + high]]));
const digit = digitsFrom(0, 9);
const positive = digitsFrom(1, 9);
const zero = set(pointsIn("0"));
const dot = set(pointsIn("."));
const minus = set(pointsIn("-"));
const written = (text: string): Expression => sequence(...Array.from(text, (one) => set(pointsIn(one))));
const anyWhole = choice(zero, sequence(positive, repeat(digit, 0, mostDigits - 1)));
const anyDigits = repeat(digit, 0, null);
const anyFraction = choice(empty, sequence(dot, digit, anyDigits));
const anyMagnitude = sequence(anyWhole, anyFraction);
const nothing = choice();
const nought: Decimal = { whole: "0", fraction: "" };

/** @throws NotRegular where it takes too much to write down */
export function numbersWithin({ isInteger, low, high, multiplesOf }: NumberBounds): Automaton {
  const magnitude = isInteger ? anyWhole : anyMagnitude;
  const conditions = [
    choice(magnitude, sequence(minus, magnitude)),
    choice(anyMagnitude, sequence(minus, above(nought, false))),
    choice(shorterThan(mostDigits + 2), sequence(minus, shorterThan(mostDigits + 2))),
  ];
  if (low !== null) conditions.push(atLeast(low));
  if (high !== null) conditions.push(atMost(high));
  const bounded = conditions.map((condition) => automatonOf(condition)).reduce(both);
  return multiplesOf.map(multiplesOfStep).reduce(both, bounded);
}

const shorterThan = (length: number): Expression => repeat(set(pointsIn("0123456789.")), 1, length - 1);

function atLeast({ value, isIn }: Bound): Expression {
  if (value >= 0) return above(decimalOf(value), isIn);
  return choice(anyMagnitude, sequence(minus, below(decimalOf(-value), isIn)));
}

function atMost({ value, isIn }: Bound): Expression {
  if (value < 0) return sequence(minus, above(decimalOf(-value), isIn));
  return choice(sequence(minus, anyMagnitude), below(decimalOf(value), isIn));
}

/** Magnitudes from this one on. */
function above({ whole, fraction }: Decimal, isIn: boolean): Expression {
  return choice(
    sequence(wholesAbove(whole), anyFraction),
    sequence(written(whole), fractionsAbove(fraction, isIn)),
  );
}

/** Magnitudes up to this one. */
function below({ whole, fraction }: Decimal, isIn: boolean): Expression {
  return choice(
    sequence(wholesBelow(whole), anyFraction),
    sequence(written(whole), fractionsBelow(fraction, isIn)),
  );
}

function wholesAbove(whole: string): Expression {
  if (whole === "0") return sequence(positive, repeat(digit, 0, mostDigits - 1));
  const longer =
    whole.length < mostDigits ? [sequence(positive, repeat(digit, whole.length, mostDigits - 1))] : [];
  return choice(
    ...longer,
    ...differingAt(whole, (at) => [at + 1, 9]).map(({ before, from, to, rest }) =>
      sequence(written(before), digitsFrom(from, to), repeat(digit, rest, rest)),
    ),
  );
}

function wholesBelow(whole: string): Expression {
  if (whole === "0") return nothing;
  const shorter = whole.length > 1 ? [sequence(positive, repeat(digit, 0, whole.length - 2))] : [];
  return choice(
    zero,
    ...shorter,
    ...differingAt(whole, (at, index) => [index === 0 ? 1 : 0, at - 1]).map(({ before, from, to, rest }) =>
      sequence(written(before), digitsFrom(from, to), repeat(digit, rest, rest)),
    ),
  );
}

/** Fractions, with their point, that are more than 0.`fraction`. */
function fractionsAbove(fraction: string, isIn: boolean): Expression {
  const more = differingAt(fraction, (at) => [at + 1, 9]).map(({ before, from, to }) =>
    sequence(written(before), digitsFrom(from, to), anyDigits),
  );
  const longer = sequence(written(fraction), repeat(zero, 0, null), positive, anyDigits);
  const same = sequence(written(fraction), anyDigits);
  if (fraction === "") return isIn ? anyFraction : sequence(dot, longer);
  return sequence(dot, choice(...more, isIn ? same : longer));
}

/** Fractions, with their point, that are less than 0.`fraction`; none is 0. */
function fractionsBelow(fraction: string, isIn: boolean): Expression {
  const same = sequence(written(fraction), repeat(zero, 0, null));
  if (fraction === "") return isIn ? choice(empty, sequence(dot, zero, same)) : nothing;
  const less = differingAt(fraction, (at) => [0, at - 1]).map(({ before, from, to }) =>
    sequence(written(before), digitsFrom(from, to), anyDigits),
  );
  const shorter = Array.from({ length: fraction.length - 1 }, (_, index) =>
    written(fraction.slice(0, index + 1)),
  );
  return choice(empty, sequence(dot, choice(...less, ...shorter, ...(isIn ? [same] : []))));
}

/** The texts that are the same up to a place and have another digit there, as `rangeAt` says; where it allows any. */
function differingAt(text: string, rangeAt: (at: number, index: number) => [from: number, to: number]) {
  return Array.from(text, Number).flatMap((at, index) => {
    const [from, to] = rangeAt(at, index);
    return from <= to ? [{ before: text.slice(0, index), from, to, rest: text.length - index - 1 }] : [];
  });
}

/** Multiples of a number, sign and all: what is left of the digits so far, as they are read. */
function multiplesOfStep(step: number): Automaton {
  const { whole, fraction } = decimalOf(step);
  const places = fraction.length;
  const divisor = Number(whole + fraction);
  if (!(divisor > 0) || divisor * (places + 1) > mostRemainders)
    throw new NotRegular("the numbers that it is a multiple of are too many to tell apart");
  interface State {
    rest: number;
    /** Digits behind the point; −1: it has not come. */
    place: number;
    hasDigit: boolean;
  }
  const builder = new AutomatonBuilder<State>(({ rest, place, hasDigit }) => `${rest} ${place} ${hasDigit}`);
  builder.explore({ rest: 0, place: -1, hasDigit: false }, ({ rest, place, hasDigit }, isFirst) => {
    const edges = Array.from({ length: 10 }, (_, value) => ({
      points: pointsIn(String(value)),
      // Behind the last place of the divisor there are zeros only.
      to: {
        rest: place >= places ? (value === 0 ? rest : -1) : (rest * 10 + value) % divisor,
        place: place < 0 ? place : Math.min(places, place + 1),
        hasDigit: true,
      },
    })).filter(({ to }) => rest >= 0 && to.rest >= 0);
    if (isFirst) edges.push({ points: pointsIn("-"), to: { rest, place, hasDigit } });
    if (place < 0 && hasDigit) edges.push({ points: pointsIn("."), to: { rest, place: 0, hasDigit: false } });
    const left = (rest * 10 ** (places - Math.max(0, place))) % divisor;
    return { edges, accepts: hasDigit && left === 0 };
  });
  return builder.build();
}

/** A number that is not negative, written out. */
function decimalOf(value: number): Decimal {
  const [digits = "", exponent = "0"] = String(value).split("e");
  const [whole = "", fraction = ""] = digits.split(".");
  const shift = Number(exponent);
  const all = whole + fraction;
  const at = whole.length + shift;
  const padded = at <= 0 ? "0".repeat(1 - at) + all : all.padEnd(at, "0");
  const cut = at <= 0 ? 1 : at;
  return {
    whole: padded.slice(0, cut).replace(/^0+(?=\d)/, ""),
    fraction: padded.slice(cut).replace(/0+$/, ""),
  };
}
