import { throughText, type RuleWriter } from "../grammar/through-text.js";
import { literal } from "../grammar/json/grammar-builder.js";
import type { ModelPrompts } from "./prompts.js";

/** The rule that a grammar begins with where something may be thought before it. */
export const thoughtRoot = "after-thought";

/** @returns a grammar whose answers may be thought about first; marks and white space around a thought are free */
export function afterThought(
  grammar: string,
  { form, isOpen, isAllowed }: NonNullable<ModelPrompts["thinking"]>,
): string {
  const { opening, closing, answer, preamble } = form;
  const rules: string[] = [];
  const writer: RuleWriter = {
    reserve: () => {
      const name = `thought-${rules.length}`;
      const at = rules.push("") - 1;
      return { name, define: (body) => void (rules[at] = `${name} ::= ${body}`) };
    },
  };
  const mayThink = opening !== "" && (isOpen || isAllowed);
  const thought = mayThink ? throughText(writer, [{ text: closing, follows: `""` }]) : "";
  const begun = isOpen || !mayThink ? thought : `(thought-space ${literal(opening)} ${thought})?`;
  const marks = [answer, preamble ?? ""].filter((text) => text !== "");
  const mark = marks.length === 0 ? "" : `(${marks.map(literal).join(" | ")})?`;
  return [
    grammar,
    `${thoughtRoot} ::= ${begun} thought-space ${mark} root`,
    "thought-space ::= [ \\t\\r\\n]{0,4}",
    ...rules,
  ].join("\n");
}
