import { AutomatonBuilder, uncounted, type Automaton } from "./regular/automaton.js";
import { complement, pointsIn } from "./regular/code-points.js";
import { classText } from "./regular/write-automaton.js";

/** What rules are given to. */
export interface RuleWriter {
  /** A rule whose body is told later: others refer to it meanwhile. */
  reserve(): { name: string; define: (body: string) => void };
}

/** Where a text ends, and GBNF of what follows. */
export interface TextEnd {
  text: string;
  follows: string;
}

/**
 * Any text up to the first place where one of the ends stands, and what follows it. There is a rule for each beginning
 * of an end that a text may stop with, as in the automaton of Aho and Corasick; of ends at one place the longest counts.
 *
 * @param isOptional the text may also end without any of them
 * @returns name of the rule
 */
export function throughText(rules: RuleWriter, ends: readonly TextEnd[], isOptional = false): string {
  const characters = [...new Set(ends.flatMap(({ text }) => Array.from(text)))];
  const longestFirst = [...ends].sort((a, b) => b.text.length - a.text.length);
  const beginnings = new Map<string, ReturnType<RuleWriter["reserve"]>>();
  for (const { text } of ends) {
    let beginning = "";
    for (const character of text) {
      if (!beginnings.has(beginning)) beginnings.set(beginning, rules.reserve());
      beginning += character;
    }
  }
  const first = beginnings.get("")?.name ?? `""`;
  const ruleAfter = (text: string): string => {
    const end = longestFirst.find((one) => text.endsWith(one.text));
    if (end !== undefined) return end.follows;
    let rest = text;
    while (!beginnings.has(rest)) rest = rest.slice(1);
    return beginnings.get(rest)?.name ?? first;
  };
  for (const [beginning, rule] of beginnings) {
    const byTarget = new Map<string, string>();
    for (const character of characters) {
      const target = ruleAfter(beginning + character);
      if (target !== first) byTarget.set(target, (byTarget.get(target) ?? "") + character);
    }
    const others = classText(complement(pointsIn([...byTarget.values()].join(""))));
    const steps = [...byTarget].map(([target, from]) => `${classText(pointsIn(from))} ${target}`);
    rule.define([...steps, `${others} ${first}`, ...(isOptional ? [`""`] : [])].join(" | "));
  }
  return first;
}

/** The texts behind which a mark is the first. */
export function textsBefore(mark: string): Automaton {
  const characters = Array.from(mark);
  const known = [...new Set(characters)];
  const lengthAfter = (length: number, character: string): number => {
    const text = characters.slice(0, length).join("") + character;
    let next = length + 1;
    while (!text.endsWith(characters.slice(0, next).join(""))) next--;
    return next;
  };
  const isFirst = (length: number): boolean => {
    const numRead = characters.findIndex(
      (character) => (length = lengthAfter(length, character)) === characters.length,
    );
    return numRead === characters.length - 1;
  };
  const builder = new AutomatonBuilder<number>(String, uncounted);
  builder.explore(0, (length) => ({
    accepts: isFirst(length),
    edges: [
      ...known.map((character) => ({ points: pointsIn(character), to: lengthAfter(length, character) })),
      { points: complement(pointsIn(mark)), to: 0 },
    ].filter(({ to }) => to < characters.length),
  }));
  return builder.build();
}
