import { AutomatonBuilder, both, type Automaton, type Spend } from "./automaton.js";
import { noPoints, pointsIn, type CodePoints } from "./code-points.js";
import { NotRegular } from "./expression.js";

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

/** What the magnitude of a number is held to. */
interface Limits {
  low: Limit | null;
  high: Limit | null;
}

type Limit = Decimal & { isIn: boolean };

/** How the digits so far stand to those of a limit at the same places: below, the same, above. */
type Order = -1 | 0 | 1;

/** A number as far as it is read. */
interface Reading {
  isNegative: boolean;
  /** Digits so far. */
  digits: number;
  /** Digits behind the point; −1: it has not come. */
  place: number;
  /** Nothing but a 0 stands before the point. */
  isNought: boolean;
  low: Order;
  high: Order;
}

const digitPoints = Array.from("0123456789", pointsIn);
const begun: Omit<Reading, "isNegative"> = { digits: 0, place: -1, isNought: false, low: 0, high: 0 };

/**
 * @param spend is told what it takes
 * @throws NotRegular where it takes too much to write down
 */
export function numbersWithin({ isInteger, low, high, multiplesOf }: NumberBounds, spend: Spend): Automaton {
  const limitsOf = { positive: positiveLimits(low, high), negative: negativeLimits(low, high) };
  const builder = new AutomatonBuilder<Reading>(keyOf, spend);
  builder.explore({ ...begun, isNegative: false }, (state, isFirst) => {
    const limits = state.isNegative ? limitsOf.negative : limitsOf.positive;
    const edges = limits === null ? [] : digitEdges(state, limits);
    if (isFirst && limitsOf.negative !== null)
      edges.push({ points: pointsIn("-"), to: { ...begun, isNegative: true } });
    if (limits === null || state.digits === 0) return { edges, accepts: false };
    if (!isInteger && state.place < 0)
      edges.push({ points: pointsIn("."), to: { ...withoutMore(state, limits), place: 0, isNought: false } });
    return { edges, accepts: state.place !== 0 && isWithin(state, limits) };
  });
  return multiplesOf.reduce(
    (numbers, step) => both(numbers, multiplesOfStep(step, spend), spend),
    builder.build(),
  );
}

/** One for each run of digits behind which the number goes on alike. */
function digitEdges(state: Reading, limits: Limits): { points: CodePoints; to: Reading }[] {
  const runs: { from: number; last: number; to: Reading; key: number }[] = [];
  for (let digit = 0; digit <= 9; digit++) {
    const to = withDigit(state, digit, limits);
    if (to === null) continue;
    const key = keyOf(to);
    const before = runs.at(-1);
    if (before?.key === key) before.last = digit;
    else runs.push({ from: digit, last: digit, to, key });
  }
  return runs.map(({ from, last, to }) => ({ points: [[0x30 + from, 0x30 + last]], to }));
}

function positiveLimits(low: Bound | null, high: Bound | null): Limits | null {
  if (high !== null && high.value < 0) return null;
  return { low: low === null || low.value < 0 ? null : limitOf(low), high: high && limitOf(high) };
}

/** There is no −0. */
function negativeLimits(low: Bound | null, high: Bound | null): Limits | null {
  if (low !== null && low.value >= 0) return null;
  const least = high !== null && high.value < 0 ? high : { value: 0, isIn: false };
  return { low: limitOf(least), high: low && limitOf(low) };
}

const limitOf = ({ value, isIn }: Bound): Limit => ({ ...decimalOf(Math.abs(value)), isIn });

/** One number for all states that go on alike. */
function keyOf({ isNegative, digits, place, isNought, low, high }: Reading): number {
  const isDecided = place > 0 && low !== 0 && high !== 0;
  const where = isDecided ? 0 : 1 + (place + 1) * 4 + (isNegative ? 2 : 0) + (isNought ? 1 : 0);
  return ((where * (mostDigits + 1) + digits) * 3 + low + 1) * 3 + high + 1;
}

/** @returns null: no number goes on so */
function withDigit(state: Reading, digit: number, limits: Limits): Reading | null {
  if (state.digits >= mostDigits || (state.place < 0 && state.isNought)) return null;
  const orderTo = (order: Order, limit: Limit): Order => {
    if (state.place < 0 && state.digits >= limit.whole.length) return 1;
    if (order !== 0) return order;
    const own = state.place < 0 ? limit.whole[state.digits] : limit.fraction[state.place];
    return Math.sign(digit - Number(own ?? 0)) as Order;
  };
  const to: Reading = {
    isNegative: state.isNegative,
    digits: state.digits + 1,
    place: state.place < 0 ? -1 : state.place + 1,
    isNought: state.place < 0 && state.digits === 0 && digit === 0,
    low: limits.low === null ? 1 : orderTo(state.low, limits.low),
    high: limits.high === null ? -1 : orderTo(state.high, limits.high),
  };
  const isTooLarge = to.high > 0 && (to.place > 0 || to.digits >= (limits.high?.whole.length ?? 0));
  return isTooLarge || (to.place > 0 && to.low < 0) ? null : to;
}

/** With no more digits before the point. */
function withoutMore(state: Reading, limits: Limits): Reading {
  const orderTo = (order: Order, limit: Limit | null): Order =>
    limit !== null && state.place < 0 && state.digits < limit.whole.length ? -1 : order;
  return { ...state, low: orderTo(state.low, limits.low), high: orderTo(state.high, limits.high) };
}

function isWithin(state: Reading, { low, high }: Limits): boolean {
  const ended = withoutMore(state, { low, high });
  const orderTo = (order: Order, limit: Limit): Order =>
    order === 0 && Math.max(0, state.place) < limit.fraction.length ? -1 : order;
  const isIn = (side: 1 | -1, order: Order, limit: Limit | null) => {
    if (limit === null) return true;
    const ordered = orderTo(order, limit);
    return ordered === 0 ? limit.isIn : ordered === side;
  };
  return isIn(1, ended.low, low) && isIn(-1, ended.high, high);
}

/** Multiples of a number, sign and all: what is left of the digits so far, as they are read. */
function multiplesOfStep(step: number, spend: Spend): Automaton {
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
  const builder = new AutomatonBuilder<State>(
    ({ rest, place, hasDigit }) => `${rest} ${place} ${hasDigit}`,
    spend,
  );
  builder.explore({ rest: 0, place: -1, hasDigit: false }, ({ rest, place, hasDigit }, isFirst) => {
    const edges = Array.from({ length: 10 }, (_, value) => ({
      points: digitPoints[value] ?? noPoints,
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
