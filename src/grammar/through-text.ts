import { literal } from "./json/grammar-builder.js";

/**
 * GBNF of any text up to the first place where another stands, and that one: a rule for each beginning of it that a
 * text may end with, as in the automaton of Knuth, Morris and Pratt.
 *
 * @param name what the names of the rules begin with
 */
export function throughText(name: string, end: string): { root: string; rules: string[] } {
  const characters = Array.from(end);
  const known = [...new Set(characters)];
  const ruleAt = (length: number) => (length === characters.length ? `""` : `${name}-${length}`);
  const rules = characters.map((_, length) => {
    const before = characters.slice(0, length).join("");
    const steps = known.map((character) => {
      const text = before + character;
      let next = Math.min(length + 1, characters.length);
      while (!text.endsWith(characters.slice(0, next).join(""))) next--;
      return `${literal(character)} ${ruleAt(next)}`;
    });
    return `${name}-${length} ::= ${[...steps, `${classWithout(known)} ${ruleAt(0)}`].join(" | ")}`;
  });
  return { root: ruleAt(0), rules };
}

/** Any character but these. */
function classWithout(characters: readonly string[]): string {
  const codes = characters.map((one) => `\\U${(one.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`);
  return `[^${codes.join("")}]`;
}
