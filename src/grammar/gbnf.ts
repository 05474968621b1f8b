import { allBytes, type Alphabet } from "./characters.js";
import { readGrammar } from "./gbnf-reader.js";
import { refuseGrammar, type Element, type FlatGrammar } from "./grammar-parts.js";
import { refuseLeftRecursion } from "./left-recursion.js";
import { shortestTexts } from "./shortest-texts.js";

/**
 * GBNF, llama.cpp's grammar notation, compiled to flat lists. Left out: tokens by id or name (`<[5]>`). Where a
 * grammar could cost more than its size says (repetitions, depth, left recursion), it is refused here.
 */

/** A grammar over an alphabet, without what that cannot write. */
export interface CompiledGrammar extends FlatGrammar {
  alphabet: Alphabet;
  /** Bytes by element of the shortest text from it to the end of its alternative. */
  restOf: Float64Array;
  /** Where the shortest alternative of each rule begins. */
  bestOf: Int32Array;
}

/** @throws ShouldersError `invalid_request` that says where and what is wrong. */
export function compileGrammar(text: string, alphabet: Alphabet = allBytes): CompiledGrammar {
  const steps = compileInSteps(text, alphabet);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The same for where others wait: stops every few milliseconds, until it is asked to go on. */
export function* compileInSteps(
  text: string,
  alphabet: Alphabet,
  rootName = "root",
): Generator<void, CompiledGrammar> {
  const { alternatives, root } = yield* readGrammar(text, rootName);
  const elements: Element[] = [];
  const rules: number[][] = [];
  for (const sequences of alternatives) {
    const starts: number[] = [];
    for (const items of sequences) {
      starts.push(elements.length);
      for (const item of items) elements.push(item);
      elements.push({ type: "end" });
    }
    rules.push(starts);
  }
  const flat = { elements, rules, root };
  yield;
  yield* refuseLeftRecursion(flat);
  return yield* overAlphabet(flat, alphabet);
}

/**
 * A small vocabulary may lack characters, and an answer that came to a place where one is needed could not go on:
 * alternatives that need one are taken out.
 *
 * @throws ShouldersError `invalid_request` when nothing is left.
 */
function* overAlphabet(flat: FlatGrammar, alphabet: Alphabet): Generator<void, CompiledGrammar> {
  const { ofRule, bestOf } = yield* shortestTexts(
    flat,
    (characters) => alphabet.shortest(characters)?.length ?? Infinity,
  );
  if (ofRule[flat.root] === Infinity)
    throw refuseGrammar("the models' vocabulary cannot write what it asks for");
  const restOf = new Float64Array(flat.elements.length);
  for (let at = flat.elements.length - 1; at >= 0; at--) {
    const element = flat.elements[at] as Element;
    if (element.type === "end") continue;
    const own =
      element.type === "rule"
        ? (ofRule[element.rule] as number)
        : (alphabet.shortest(element.characters)?.length ?? Infinity);
    restOf[at] = own + (restOf[at + 1] as number);
  }
  yield;
  const rules = flat.rules.map((starts) => starts.filter((start) => restOf[start] !== Infinity));
  return { ...flat, rules, alphabet, restOf, bestOf };
}
