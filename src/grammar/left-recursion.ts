import { refuseGrammar, type FlatGrammar } from "./grammar-parts.js";
import { shortestTexts } from "./shortest-texts.js";

/** Rules between two places where others may go on. */
const sliceRules = 1_000;

/**
 * A rule that may begin with itself would never come to a character.
 *
 * @throws ShouldersError `invalid_request`
 */
export function* refuseLeftRecursion(grammar: FlatGrammar): Generator<void, void> {
  const { ofRule } = yield* shortestTexts(grammar, () => 1);
  const states = new Map<number, "open" | "done">();
  for (const start of grammar.rules.keys()) {
    if (start % sliceRules === 0) yield;
    const path: { rule: number; next: Iterator<number> }[] = [];
    const enter = (rule: number) => {
      states.set(rule, "open");
      path.push({ rule, next: firstRules(grammar, rule, ofRule)[Symbol.iterator]() });
    };
    if (!states.has(start)) enter(start);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const { value, done } = top.next.next() as IteratorResult<number, undefined>;
      if (done) {
        states.set(top.rule, "done");
        path.pop();
      } else if (!states.has(value)) enter(value);
      else if (states.get(value) === "open")
        throw refuseGrammar("a rule may not begin with itself (left recursion); write it with repetitions");
    }
  }
}

/** Rules with which a rule may begin: what comes before may be empty. */
function firstRules({ elements, rules }: FlatGrammar, rule: number, shortest: Float64Array): Set<number> {
  const first = new Set<number>();
  for (const start of rules[rule] ?? [])
    for (let at = start; ; at++) {
      const element = elements[at];
      if (element?.type !== "rule") break;
      first.add(element.rule);
      if (shortest[element.rule] !== 0) break;
    }
  return first;
}
