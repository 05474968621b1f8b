import { automatonOf, both, isEmpty, type Automaton } from "../regular/automaton.js";
import { allPoints } from "../regular/code-points.js";
import { NotRegular, repeat, set } from "../regular/expression.js";
import { readRegex } from "../regular/regex-reader.js";
import { jsonWriting, writeAutomaton } from "../regular/write-automaton.js";
import { valuesAt, type Atom, type Widen } from "./conditions.js";
import { formats } from "./formats.js";
import type { GrammarBuilder } from "./grammar-builder.js";
import { refuse } from "./json-schema.js";

/** Strings of a schema as GBNF. */

interface Writer {
  builder: GrammarBuilder;
  widen: Widen;
}

/** Of what a request may have looked at: some hundred patterns. */
const patternWork = 1_000;
/** Longer bounds are counted in blocks, and not beside patterns. */
const block = 1_000;
const mostCharacters = block * block;

/** @returns null: no string fits. */
export function stringRule(atoms: readonly Atom[], writer: Writer): string | null {
  const { least, most } = lengthsOf(atoms);
  if (most !== null && least > most) return null;
  const conditions = [...patternsOf(atoms, writer), ...formatsOf(atoms, writer)];
  if (conditions.length === 0) return `"\\"" ${characters(least, most, atoms, writer)} "\\""`;
  let whole = conditions[0] as Automaton;
  for (const other of conditions.slice(1)) whole = intersected(whole, other, atoms, writer);
  whole = withLength(whole, { least, most }, atoms, writer);
  if (isEmpty(whole)) return null;
  const text = writeAutomaton(writer.builder, whole, { writing: jsonWriting, ending: `"\\""` });
  return text && `"\\"" ${text}`;
}

function lengthsOf(atoms: readonly Atom[]): { least: number; most: number | null } {
  const read = (keyword: string) =>
    valuesAt(atoms, keyword).map(({ value, path }) => {
      if (!Number.isInteger(value) || (value as number) < 0)
        throw refuse(path, "expected an integer from 0 on");
      return value as number;
    });
  const [least, most] = [read("minLength"), read("maxLength")];
  return { least: Math.max(0, ...least), most: most.length > 0 ? Math.min(...most) : null };
}

/** Any characters, so many of them. */
function characters(least: number, most: number | null, atoms: readonly Atom[], { widen }: Writer): string {
  if (least > mostCharacters)
    throw refuse(valuesAt(atoms, "minLength")[0]?.path ?? "", `at most ${mostCharacters}`);
  const required = `${counted(least)} `;
  if (most === null) return `${required}char*`;
  const rest = most - least;
  if (rest > mostCharacters) {
    for (const { path } of valuesAt(atoms, "maxLength")) widen(path, "no answer is counted so far");
    return `${required}char*`;
  }
  if (rest <= block) return `${required}char{0,${rest}}`;
  // Whole blocks, and what is left of one: of as many as there may be, only the bound's own rest.
  const numBlocks = Math.floor(rest / block);
  const whole = `(char{${block}})`;
  return `${required}(${whole}{0,${numBlocks - 1}} char{0,${block - 1}} | ${whole}{${numBlocks}} char{0,${rest % block}})`;
}

function counted(count: number): string {
  if (count === 0) return "";
  if (count <= block) return `char{${count}}`;
  return `(char{${block}}){${Math.floor(count / block)}} char{${count % block}}`;
}

function patternsOf(atoms: readonly Atom[], { builder, widen }: Writer): Automaton[] {
  return valuesAt(atoms, "pattern").flatMap(({ value, path }) => {
    if (typeof value !== "string") throw refuse(path, "expected a text");
    try {
      // As much as the largest takes.
      builder.spend(patternWork);
      return [automatonOf(readRegex(value), true)];
    } catch (thrown) {
      if (!(thrown instanceof NotRegular)) throw thrown;
      widen(path, thrown.message);
      return [];
    }
  });
}

function formatsOf(atoms: readonly Atom[], { widen }: Writer): Automaton[] {
  return valuesAt(atoms, "format").flatMap(({ value, path }) => {
    const format = typeof value === "string" ? formats.get(value) : undefined;
    if (format !== undefined) return [format()];
    widen(path, `of formats of texts, ${[...formats.keys()].join(", ")} are held to`);
    return [];
  });
}

function intersected(a: Automaton, b: Automaton, atoms: readonly Atom[], { widen }: Writer): Automaton {
  try {
    return both(a, b);
  } catch (thrown) {
    if (!(thrown instanceof NotRegular)) throw thrown;
    for (const { path } of valuesAt(atoms, "pattern").slice(1)) widen(path, thrown.message);
    return a;
  }
}

function withLength(
  texts: Automaton,
  { least, most }: { least: number; most: number | null },
  atoms: readonly Atom[],
  { widen }: Writer,
): Automaton {
  const { shortest, longest } = extentOf(texts);
  const isLongEnough = shortest >= least;
  const isShortEnough = most === null || longest <= most;
  if (isLongEnough && isShortEnough) return texts;
  try {
    const lengths = repeat(set(allPoints), isLongEnough ? 0 : least, isShortEnough ? null : most);
    return both(texts, automatonOf(lengths));
  } catch (thrown) {
    if (!(thrown instanceof NotRegular)) throw thrown;
    for (const keyword of ["minLength", "maxLength"])
      for (const { path } of valuesAt(atoms, keyword))
        widen(path, "it is too long to count beside a pattern");
    return texts;
  }
}

/** Lengths of the shortest and the longest text, in characters. */
function extentOf({ edges, accepts }: Automaton): { shortest: number; longest: number } {
  let shortest = Infinity;
  let longest = -1;
  let states = new Set([0]);
  // A text that passes more states than there are can go round for ever.
  for (let length = 0; states.size > 0; length++) {
    if (length > edges.length) return { shortest, longest: Infinity };
    if ([...states].some((state) => accepts[state])) {
      shortest = Math.min(shortest, length);
      longest = length;
    }
    states = new Set([...states].flatMap((state) => (edges[state] ?? []).map(({ to }) => to)));
  }
  return { shortest, longest };
}
