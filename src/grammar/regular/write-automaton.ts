import type { GrammarBuilder } from "../json/grammar-builder.js";
import { isEmpty, trimmed, type Automaton } from "./automaton.js";
import {
  complement,
  holds,
  intersect,
  pointAt,
  pointsIn,
  pointsOf,
  union,
  type CodePoints,
} from "./code-points.js";

/** How characters of a text are written in the grammar's text. */
export interface Writing {
  /** Those that can be written at all. */
  points: CodePoints;
  /** GBNF of one of these characters. */
  write: (points: CodePoints) => string;
}

const asHex = (point: number): string => `\\U${point.toString(16).padStart(8, "0")}`;

/** A class of characters as GBNF; negated where that is shorter. */
export function classText(points: CodePoints): string {
  const rest = complement(points);
  const isNegated = rest.length < points.length;
  const ranges = (isNegated ? rest : points).map(([low, high]) =>
    low === high ? asHex(low) : `${asHex(low)}-${asHex(high)}`,
  );
  return `[${isNegated ? "^" : ""}${ranges.join("")}]`;
}

export const plainWriting: Writing = {
  points: complement(pointsOf([[0, 0]])),
  write: classText,
};

/** Within quotes these stand behind a backslash; other control characters are written only where nothing else may stand. */
const escapes: readonly (readonly [character: string, letter: string])[] = [
  ["\\", "\\\\"],
  ["\b", "b"],
  ["\f", "f"],
  ["\n", "n"],
  ["\r", "r"],
  ["\t", "t"],
];
const controls = union(pointsOf([[0, 0x1f]]), pointsOf([[0x7f, 0x7f]]));

function controlsIn(points: CodePoints): string[] {
  return intersect(points, controls).flatMap(([low, high]) =>
    Array.from(
      { length: high - low + 1 },
      (_, index) => `"\\\\u${(low + index).toString(16).padStart(4, "0")}"`,
    ),
  );
}

/** Of a text within such quotes, as JSON and Python write it. */
function quotedWriting(quote: string): Writing {
  const own = [[quote, quote === '"' ? '\\"' : quote] as const, ...escapes];
  const escaped = pointsIn(own.map(([character]) => character).join(""));
  const unescaped = complement(union(controls, pointsIn(`${quote}\\`)));
  return {
    points: union(unescaped, escaped, controls),
    write: (points) => {
      const plain = intersect(points, unescaped);
      const letters = own.flatMap(([character, letter]) =>
        holds(points, pointAt(character)) ? [letter] : [],
      );
      const usual = [
        ...(plain.length > 0 ? [classText(plain)] : []),
        ...letters.map((letter) => `"\\\\${letter}"`),
      ];
      return (usual.length > 0 ? usual : controlsIn(points)).join(" | ");
    },
  };
}

export const jsonWriting = quotedWriting('"');
/** Within single quotes, as Python writes it. */
export const pythonWriting = quotedWriting("'");

/**
 * Adds rules for the texts of an automaton.
 *
 * @param ending GBNF of what follows the text
 * @returns the name of a rule; null: there is no such text
 */
export function writeAutomaton(
  builder: GrammarBuilder,
  automaton: Automaton,
  { writing, ending }: { writing: Writing; ending: string },
): string | null {
  const { edges, accepts } = trimmed({
    accepts: automaton.accepts,
    edges: automaton.edges.map((from) =>
      from.flatMap(({ points, to }) => {
        const writable = intersect(points, writing.points);
        return writable.length > 0 ? [{ points: writable, to }] : [];
      }),
    ),
  });
  if (isEmpty({ edges, accepts })) return null;
  const rules = new Map<number, { name: string; define: (body: string) => void }>();
  const reach = (state: number) => {
    const known = rules.get(state);
    if (known !== undefined) return known;
    const rule = builder.reserve();
    rules.set(state, rule);
    return rule;
  };
  const first = reach(0);
  // More rules come while these are written.
  for (const [state, rule] of rules) {
    const steps = (edges[state] ?? []).map(
      ({ points, to }) => `(${writing.write(points)}) ${reach(to).name}`,
    );
    rule.define([...steps, ...(accepts[state] ? [ending] : [])].join(" | "));
  }
  return first.name;
}
