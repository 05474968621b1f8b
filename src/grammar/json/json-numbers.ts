import { isEmpty } from "../regular/automaton.js";
import { NotRegular } from "../regular/expression.js";
import { numbersWithin, type Bound } from "../regular/numbers.js";
import { plainWriting, writeAutomaton } from "../regular/write-automaton.js";
import { valuesAt, type Atom, type Widen } from "./conditions.js";
import type { GrammarBuilder } from "./grammar-builder.js";
import { refuse } from "./json-schema.js";

/** Numbers of a schema as GBNF. */

interface Writer {
  builder: GrammarBuilder;
  widen: Widen;
}

/** @returns null: no number fits. */
export function numberRule(
  atoms: readonly Atom[],
  isInteger: boolean,
  { builder, widen }: Writer,
): string | null {
  const low = tightest(atoms, "minimum", "exclusiveMinimum");
  const high = tightest(atoms, "maximum", "exclusiveMaximum");
  const steps = valuesAt(atoms, "multipleOf").map(({ value, path }) => {
    if (typeof value !== "number" || !(value > 0)) throw refuse(path, "expected a number above 0");
    return value;
  });
  // Of all integers, and of those multiples only, nothing has to be said.
  const multiplesOf = steps.filter((step) => !(isInteger && Number.isInteger(1 / step)));
  if (high === null && multiplesOf.length === 0) {
    if (low === null) return isInteger ? `"-"? digits` : `"-"? number`;
    if (low.value === 0 && low.isIn) return isInteger ? "digits" : "number";
  }
  const write = (wanted: Parameters<typeof numbersWithin>[0]) => {
    const automaton = numbersWithin(wanted, builder.spendOnTexts);
    if (isEmpty(automaton)) return null;
    return writeAutomaton(builder, automaton, { writing: plainWriting, ending: `""` });
  };
  try {
    return write({ isInteger, low, high, multiplesOf });
  } catch (thrown) {
    if (!(thrown instanceof NotRegular)) throw thrown;
    for (const { path } of valuesAt(atoms, "multipleOf")) widen(path, thrown.message);
    return write({ isInteger, low, high, multiplesOf: [] });
  }
}

/** The tightest of all bounds on one side; null: there is none. */
function tightest(
  atoms: readonly Atom[],
  inclusive: "minimum" | "maximum",
  exclusive: "exclusiveMinimum" | "exclusiveMaximum",
): Bound | null {
  const sign = inclusive === "minimum" ? 1 : -1;
  const numberAt = ({ value, path }: { value: unknown; path: string }): number => {
    if (typeof value !== "number") throw refuse(path, "expected a number");
    return value;
  };
  // Before draft 6 the exclusive one was a remark on the other.
  const remarks = new Set(
    atoms.filter(({ schema }) => schema[exclusive] === true).map(({ path }) => `${path}.${inclusive}`),
  );
  const bounds = [
    ...valuesAt(atoms, inclusive).map((at): Bound => ({ value: numberAt(at), isIn: !remarks.has(at.path) })),
    ...valuesAt(atoms, exclusive)
      .filter(({ value }) => typeof value !== "boolean")
      .map((at): Bound => ({ value: numberAt(at), isIn: false })),
  ];
  const isTighter = (a: Bound, b: Bound) => (a.value === b.value ? !a.isIn : sign * a.value > sign * b.value);
  return bounds.reduce<Bound | null>(
    (best, bound) => (best === null || isTighter(bound, best) ? bound : best),
    null,
  );
}
