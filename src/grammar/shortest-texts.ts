import TinyQueue from "tinyqueue";
import type { CharacterClass } from "./characters.js";
import type { FlatGrammar } from "./grammar-parts.js";

export interface ShortestTexts {
  /** The length of each rule's shortest text; Infinity: it has none. */
  ofRule: Float64Array;
  /** Where the alternative of each rule's shortest text begins; −1: nowhere. */
  bestOf: Int32Array;
}

/** Rules between two places where others may go on. */
const sliceRules = 1_000;

interface Alternative {
  rule: number;
  start: number;
  /** Length of the characters, and of the rules whose shortest text is known. */
  length: number;
  /** Rules, each time they stand in it, whose shortest text is not known yet. */
  numUnknown: number;
}

/**
 * The shortest text of every rule, by Knuth's generalisation of Dijkstra's algorithm to grammars (Information
 * Processing Letters 6, 1977): alternatives whose rules are all known wait in order of length, and the shortest
 * of them is its rule's. O(n log n) in the elements.
 *
 * Stops now and then, so that others may go on meanwhile.
 *
 * @param lengthOf a class of characters; Infinity: none of it can be written
 */
export function* shortestTexts(
  { elements, rules }: FlatGrammar,
  lengthOf: (characters: CharacterClass) => number,
): Generator<void, ShortestTexts> {
  const ofRule = new Float64Array(rules.length).fill(Infinity);
  const bestOf = new Int32Array(rules.length).fill(-1);
  const usersOf = rules.map((): Alternative[] => []);
  const ready = new TinyQueue<Alternative>([], (a, b) => a.length - b.length);
  // What cannot be written is never the shortest.
  const add = (alternative: Alternative): void => {
    if (alternative.numUnknown === 0 && alternative.length < Infinity) ready.push(alternative);
  };
  for (const [rule, starts] of rules.entries()) {
    if (rule % sliceRules === 0) yield;
    for (const start of starts) {
      const alternative = { rule, start, length: 0, numUnknown: 0 };
      for (let at = start; elements[at]?.type !== "end"; at++) {
        const element = elements[at];
        if (element?.type === "characters") alternative.length += lengthOf(element.characters);
        else if (element?.type === "rule") {
          alternative.numUnknown++;
          usersOf[element.rule]?.push(alternative);
        }
      }
      add(alternative);
    }
  }
  let numKnown = 0;
  for (let next = ready.pop(); next !== undefined; next = ready.pop()) {
    const { rule, start, length } = next;
    if (bestOf[rule] !== -1) continue;
    if (++numKnown % sliceRules === 0) yield;
    ofRule[rule] = length;
    bestOf[rule] = start;
    for (const user of usersOf[rule] as Alternative[]) {
      user.length += length;
      user.numUnknown--;
      add(user);
    }
  }
  return { ofRule, bestOf };
}
