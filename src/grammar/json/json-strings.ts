import { automatonOf, both, isEmpty, type Automaton } from "../regular/automaton.js";
import { allPoints } from "../regular/code-points.js";
import { NotRegular, repeat, set } from "../regular/expression.js";
import { readRegex } from "../regular/regex-reader.js";
import { writeAutomaton } from "../regular/write-automaton.js";
import { addLark } from "../lark/lark-grammar.js";
import { LarkError, UndoneLark } from "../lark/lark-reader.js";
import { textsBefore, throughText } from "../through-text.js";
import { valuesAt, type Atom, type Widen } from "./conditions.js";
import { formats } from "./formats.js";
import { literal, type GrammarBuilder } from "./grammar-builder.js";
import { refuse } from "./json-schema.js";
import type { Notation, TextNotation } from "./notation.js";

/** Strings of a schema as GBNF. */

interface Writer {
  builder: GrammarBuilder;
  notation: Notation;
  /** Patterns that were read. */
  patterns: Map<string, Automaton | null>;
  widen: Widen;
}

/** Longer bounds are counted in blocks, and not beside patterns. */
const block = 1_000;
const mostCharacters = block * block;

/** A text that is of a grammar in Lark's notation: a keyword of ours, for the input of custom tools. */
export const larkKeyword = "x-lark";

/** @returns null: no string fits. */
export function stringRule(atoms: readonly Atom[], writer: Writer): string | null {
  const ofLark = larkRule(atoms, writer);
  if (ofLark !== null) return ofLark;
  const lengths = lengthsOf(atoms);
  const { least, most } = lengths;
  if (most !== null && least > most) return null;
  const conditions = [...patternsOf(atoms, writer), ...formatsOf(atoms, writer)];
  const [first, ...others] = conditions;
  const whole = first && others.reduce((texts, other) => intersected(texts, other, atoms, writer), first);
  const bounded = whole && withLength(whole, lengths, atoms, writer);
  if (bounded && isEmpty(bounded)) return null;
  const ways = writer.notation.texts.flatMap((notation) => {
    const opening = notation.opening === "" ? "" : `${literal(notation.opening)} `;
    const rest = writtenTexts(bounded ?? null, { notation, lengths, atoms, writer });
    return rest === null ? [] : [opening + rest];
  });
  return ways.length === 0 ? null : ways.join(" | ");
}

/** @returns null: any text may stand there */
function larkRule(atoms: readonly Atom[], { builder, notation, widen }: Writer): string | null {
  const [grammar] = valuesAt(atoms, larkKeyword);
  if (typeof grammar?.value !== "string") return null;
  const { value: definition, path } = grammar;
  try {
    const ways = notation.texts.map(
      ({ opening, closing, writing }) =>
        `${literal(opening)} ${addLark(builder, definition, writing)} ${literal(closing)}`,
    );
    return ways.join(" | ");
  } catch (thrown) {
    if (thrown instanceof LarkError) throw refuse(path, thrown.message);
    if (!(thrown instanceof UndoneLark)) throw thrown;
    widen(path, thrown.message);
    return null;
  }
}

interface Lengths {
  least: number;
  most: number | null;
}

/**
 * @param texts those that fit; null: any of these lengths
 * @returns GBNF of a text and what closes it; null: none can be written
 */
function writtenTexts(
  texts: Automaton | null,
  {
    notation: { closing, character, writing },
    lengths,
    atoms,
    writer,
  }: { notation: TextNotation; lengths: Lengths; atoms: readonly Atom[]; writer: Writer },
): string | null {
  const { builder } = writer;
  const ending = literal(closing);
  if (character !== null)
    return texts === null
      ? `${characters(lengths, { character, atoms, writer })} ${ending}`
      : writeAutomaton(builder, texts, { writing, ending });
  const isAny = texts === null && lengths.least === 0 && lengths.most === null;
  if (isAny) return throughText(builder, [{ text: closing, follows: `""` }]);
  // The first place where the mark stands ends the text.
  const others = textsBefore(closing);
  const whole =
    texts === null ? withLength(others, lengths, atoms, writer) : intersected(others, texts, atoms, writer);
  return writeAutomaton(builder, whole, { writing, ending });
}

function lengthsOf(atoms: readonly Atom[]): Lengths {
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
function characters(
  { least, most }: Lengths,
  { character, atoms, writer: { widen } }: { character: string; atoms: readonly Atom[]; writer: Writer },
): string {
  if (least > mostCharacters)
    throw refuse(valuesAt(atoms, "minLength")[0]?.path ?? "", `at most ${mostCharacters}`);
  const required = `${counted(character, least)} `;
  if (most === null) return `${required}${character}*`;
  const rest = most - least;
  if (rest > mostCharacters) {
    for (const { path } of valuesAt(atoms, "maxLength")) widen(path, "no answer is counted so far");
    return `${required}${character}*`;
  }
  if (rest <= block) return `${required}${character}{0,${rest}}`;
  // Whole blocks, and what is left of one: of as many as there may be, only the bound's own rest.
  const numBlocks = Math.floor(rest / block);
  const whole = `(${character}{${block}})`;
  return (
    `${required}(${whole}{0,${numBlocks - 1}} ${character}{0,${block - 1}} | ` +
    `${whole}{${numBlocks}} ${character}{0,${rest % block}})`
  );
}

function counted(character: string, count: number): string {
  if (count === 0) return "";
  if (count <= block) return `${character}{${count}}`;
  return `(${character}{${block}}){${Math.floor(count / block)}} ${character}{${count % block}}`;
}

function patternsOf(atoms: readonly Atom[], { builder, patterns, widen }: Writer): Automaton[] {
  return valuesAt(atoms, "pattern").flatMap(({ value, path }) => {
    if (typeof value !== "string") throw refuse(path, "expected a text");
    try {
      const known = patterns.get(value) ?? automatonOf(readRegex(value), builder.spendOnTexts, true);
      patterns.set(value, known);
      return [known];
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

function intersected(
  a: Automaton,
  b: Automaton,
  atoms: readonly Atom[],
  { builder, widen }: Writer,
): Automaton {
  try {
    return both(a, b, builder.spendOnTexts);
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
  { builder, widen }: Writer,
): Automaton {
  const { shortest, longest } = extentOf(texts);
  const isLongEnough = shortest >= least;
  const isShortEnough = most === null || longest <= most;
  if (isLongEnough && isShortEnough) return texts;
  try {
    const lengths = repeat(set(allPoints), isLongEnough ? 0 : least, isShortEnough ? null : most);
    return both(texts, automatonOf(lengths, builder.spendOnTexts), builder.spendOnTexts);
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
