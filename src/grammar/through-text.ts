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
 * @param leading ends that count only where the text begins with them; none is the beginning of another
 * @returns name of the rule
 */
export function throughText(
  rules: RuleWriter,
  ends: readonly TextEnd[],
  { isOptional = false, leading = [] }: { isOptional?: boolean; leading?: readonly TextEnd[] } = {},
): string {
  const characters = [...new Set([...ends, ...leading].flatMap(({ text }) => Array.from(text)))];
  const longestFirst = [...ends].sort((a, b) => b.text.length - a.text.length);
  const beginnings = beginningsOf(ends, rules);
  const led = beginningsOf(leading, rules);
  if (led.size > 0 && beginnings.size === 0) beginnings.set("", rules.reserve());
  const first = beginnings.get("")?.name ?? `""`;
  const ruleAfter = (text: string): string => {
    const end = longestFirst.find((one) => text.endsWith(one.text));
    if (end !== undefined) return end.follows;
    let rest = text;
    while (!beginnings.has(rest)) rest = rest.slice(1);
    return beginnings.get(rest)?.name ?? first;
  };
  const ledTo = (text: string): string =>
    leading.find((one) => one.text === text)?.follows ?? led.get(text)?.name ?? ruleAfter(text);
  const define = (from: ReadonlyMap<string, Rule>, after: (text: string) => string): void => {
    for (const [beginning, rule] of from) {
      const byTarget = new Map<string, string>();
      for (const character of characters) {
        const target = after(beginning + character);
        if (target !== first) byTarget.set(target, (byTarget.get(target) ?? "") + character);
      }
      const others = classText(complement(pointsIn([...byTarget.values()].join(""))));
      const steps = [...byTarget].map(([target, from]) => `${classText(pointsIn(from))} ${target}`);
      rule.define([...steps, `${others} ${first}`, ...(isOptional ? [`""`] : [])].join(" | "));
    }
  };
  define(beginnings, ruleAfter);
  define(led, ledTo);
  return led.get("")?.name ?? first;
}

type Rule = ReturnType<RuleWriter["reserve"]>;

/** A rule for each beginning of these texts, none for a whole one. */
function beginningsOf(ends: readonly TextEnd[], rules: RuleWriter): Map<string, Rule> {
  const beginnings = new Map<string, Rule>();
  for (const { text } of ends) {
    let beginning = "";
    for (const character of text) {
      if (!beginnings.has(beginning)) beginnings.set(beginning, rules.reserve());
      beginning += character;
    }
  }
  return beginnings;
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
