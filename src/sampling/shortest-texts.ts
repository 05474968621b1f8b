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
  const ready = new Heap();
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
      if (alternative.numUnknown === 0) ready.push(alternative);
    }
  }
  let numKnown = 0;
  for (let next = ready.pop(); next !== null && next.length < Infinity; next = ready.pop()) {
    const { rule, start, length } = next;
    if (bestOf[rule] !== -1) continue;
    if (++numKnown % sliceRules === 0) yield;
    ofRule[rule] = length;
    bestOf[rule] = start;
    for (const user of usersOf[rule] as Alternative[]) {
      user.length += length;
      if (--user.numUnknown === 0) ready.push(user);
    }
  }
  return { ofRule, bestOf };
}

/** A binary heap, the shortest first. */
class Heap {
  readonly #items: Alternative[] = [];

  push(item: Alternative): void {
    const items = this.#items;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((items[parent] as Alternative).length <= item.length) break;
      items[at] = items[parent] as Alternative;
      at = parent;
    }
    items[at] = item;
  }

  pop(): Alternative | null {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined) return null;
    if (items.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const [left, right] = [items[child], items[child + 1]];
      if (left === undefined) break;
      if (right !== undefined && right.length < left.length) child++;
      if ((items[child] as Alternative).length >= last.length) break;
      items[at] = items[child] as Alternative;
      at = child;
    }
    items[at] = last;
    return first;
  }
}
