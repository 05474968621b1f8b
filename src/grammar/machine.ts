import {
  canComplete,
  characterClass,
  completionOf,
  matches,
  nextCharacter,
  type CharacterClass,
  type PartialCharacter,
} from "./characters.js";
import type { CompiledGrammar } from "./gbnf.js";
import { refuseGrammar } from "./grammar-parts.js";

/**
 * Follows a text, byte by byte, through a grammar. The places where it may stand are stacks of elements still to
 * come, shared as linked lists; a set of them is a state, and states and their steps are kept, so that asking the
 * whole vocabulary at each token costs a table look-up a byte. Every cost is bounded: a grammar that is too
 * ambiguous fails its own request and holds nobody else up.
 */

/** Ways in which a text may stand in the grammar at once, and what finding them may take. */
const mostStacks = 1_000;
const mostExpansions = 20_000;
/** Stacks looked at for one token, the whole vocabulary asked. */
const mostWork = 300_000;
/** States kept with their steps, 1 KiB each; past it they are found anew. */
const mostStates = 4_096;
const mostNodes = 500_000;
/** Above any node's number: one token makes fewer than its work. */
const largestNode = 2 ** 30;

const nothing = characterClass([]);

const dead = -1;
const unknown = -2;

interface State {
  /** Nodes whose top is a class of characters. */
  stacks: readonly number[];
  /** The text may end here. */
  accepts: boolean;
  partial: PartialCharacter | null;
  /** Bytes of the shortest text with which it may end; Infinity: the alphabet cannot write one; null: not asked yet. */
  shortest: number | null;
  /** The next state by byte, `dead` or `unknown`. */
  next: Int32Array;
}

/** The states of one grammar, found as they are needed. For one text: `tidy` renumbers them. */
export class GrammarMachine {
  readonly #grammar: CompiledGrammar;
  /** A stack is a node: the element on top, and the node below. Node 0 is the empty stack. */
  #elementOf: number[] = [-1];
  #belowOf: number[] = [-1];
  /** Bytes of the shortest text that empties the stack, by node. */
  #shortestOf: number[] = [0];
  #nodeOf = new Map<number, number>();
  #states: State[] = [];
  #stateOf = new Map<string, number>();
  /** The state after a character, by the stacks that take it: a vocabulary has thousands of characters for few. */
  #stateAfter = new Map<string, number>();
  /** Stacks looked at since the last token. */
  #work = 0;

  constructor(grammar: CompiledGrammar) {
    this.#grammar = grammar;
    this.start();
  }

  start(): number {
    const alternatives = this.#grammar.rules[this.#grammar.root] ?? [];
    return this.#intern(this.#expand(alternatives.map((element) => this.#push(element, 0))), null);
  }

  accepts(state: number): boolean {
    const { accepts, partial } = this.#states[state] as State;
    return accepts && partial === null;
  }

  /** Nothing may follow. */
  isComplete(state: number): boolean {
    return this.accepts(state) && (this.#states[state] as State).stacks.length === 0;
  }

  /** @returns the state after these bytes, or −1 when the grammar does not allow them. */
  follow(state: number, bytes: Uint8Array): number {
    let at = state;
    for (let index = 0; index < bytes.length && at !== dead; index++) {
      const byte = bytes[index] as number;
      const known = (this.#states[at] as State).next[byte] as number;
      at = known === unknown ? this.#step(at, byte) : known;
    }
    return at;
  }

  /** Bytes of the shortest text with which it may end; Infinity: the alphabet cannot write one. */
  shortest(at: number): number {
    const state = this.#states[at] as State;
    if (state.shortest !== null) return state.shortest;
    this.#spend(state.stacks.length);
    const isEnd = state.accepts && state.partial === null;
    const way = isEnd ? null : this.#shortestWay(state.stacks, state.partial);
    return (state.shortest = isEnd ? 0 : (way?.length ?? Infinity));
  }

  /** That text. */
  shortestText(state: number): Uint8Array {
    const { stacks, accepts, partial } = this.#states[state] as State;
    const way = accepts && partial === null ? null : this.#shortestWay(stacks, partial);
    if (way === null) return new Uint8Array(0);
    const { elements, alphabet, bestOf } = this.#grammar;
    const bytes = [...way.bytes];
    const open = this.#list(this.#after(way.node)).reverse();
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const element = elements[at];
      if (element === undefined || element.type === "end") continue;
      open.push(at + 1);
      if (element.type === "rule") open.push(bestOf[element.rule] as number);
      else bytes.push(...(alphabet.shortest(element.characters) ?? []));
    }
    return Uint8Array.from(bytes);
  }

  /** The stack whose rest is the shortest, the bytes of its next character, and the length of all. */
  #shortestWay(stacks: readonly number[], partial: PartialCharacter | null) {
    const { alphabet } = this.#grammar;
    let best: { node: number; bytes: readonly number[]; length: number } | null = null;
    if (partial !== null && !alphabet.hasAllBytes) return null;
    for (const node of stacks) {
      const characters = this.#classOf(node);
      const bytes = partial ? completionOf(characters, partial) : alphabet.shortest(characters);
      if (bytes === null) continue;
      const length = bytes.length + (this.#shortestOf[this.#after(node)] as number);
      if (best === null || length < best.length) best = { node, bytes, length };
    }
    return best;
  }

  /** Makes ready for the next token: drops all states when there are too many. @returns the given one's new number. */
  tidy(state: number): number {
    this.#work = 0;
    if (this.#states.length < mostStates && this.#elementOf.length < mostNodes) return state;
    const { stacks, accepts, partial } = this.#states[state] as State;
    const lists = stacks.map((node) => this.#list(node));
    [this.#elementOf, this.#belowOf, this.#shortestOf] = [[-1], [-1], [0]];
    this.#nodeOf = new Map();
    this.#states = [];
    this.#stateOf = new Map();
    this.#stateAfter = new Map();
    const nodes = lists.map((list) => list.reduceRight((below, element) => this.#push(element, below), 0));
    return this.#intern({ stacks: nodes, accepts }, partial);
  }

  #step(from: number, byte: number): number {
    const state = this.#states[from] as State;
    const partial = nextCharacter(state.partial, byte);
    let to = dead;
    if (partial !== null) {
      this.#spend(1 + state.stacks.length);
      const isWhole = partial.numMissing === 0;
      const taken = state.stacks.filter((node) => {
        const characters = this.#classOf(node);
        return isWhole ? matches(characters, partial.value) : canComplete(characters, partial);
      });
      if (taken.length > 0)
        to = isWhole ? this.#take(taken) : this.#intern({ stacks: taken, accepts: false }, partial);
    }
    state.next[byte] = to;
    return to;
  }

  /** The state after a character that these stacks take. */
  #take(taken: readonly number[]): number {
    const key = taken.join();
    const known = this.#stateAfter.get(key);
    if (known !== undefined) return known;
    const after = this.#expand(taken.map((node) => this.#after(node)));
    const to = after.accepts || after.stacks.length > 0 ? this.#intern(after, null) : dead;
    this.#stateAfter.set(key, to);
    return to;
  }

  /** Replaces rules on top of stacks by their alternatives until characters are on top of all. */
  #expand(nodes: readonly number[]): Pick<State, "stacks" | "accepts"> {
    const { elements, rules } = this.#grammar;
    const seen = new Set(nodes);
    const stacks: number[] = [];
    let accepts = false;
    // A set takes what is added while it is walked.
    for (const node of seen) {
      const element = elements[this.#elementOf[node] as number];
      if (node === 0) accepts = true;
      else if (element?.type === "end") seen.add(this.#belowOf[node] as number);
      else if (element?.type === "characters") stacks.push(node);
      else if (element)
        for (const start of rules[element.rule] ?? []) seen.add(this.#push(start, this.#after(node)));
      if (seen.size > mostExpansions || stacks.length > mostStacks)
        throw refuseGrammar("it is too ambiguous: a text can stand at too many places in it at once");
    }
    this.#spend(seen.size);
    return { stacks: stacks.sort((a, b) => a - b), accepts };
  }

  #spend(work: number): void {
    this.#work += work;
    if (this.#work > mostWork)
      throw refuseGrammar("it tells too many texts apart: the vocabulary cannot be asked in reasonable time");
  }

  /** The stack with its top gone by: an alternative that is over leaves no node. */
  #after(node: number): number {
    const next = (this.#elementOf[node] as number) + 1;
    const below = this.#belowOf[node] as number;
    return this.#grammar.elements[next]?.type === "end" ? below : this.#push(next, below);
  }

  #push(element: number, below: number): number {
    const key = element * largestNode + below;
    const known = this.#nodeOf.get(key);
    if (known !== undefined) return known;
    const node = this.#elementOf.push(element) - 1;
    this.#belowOf.push(below);
    const rest = this.#grammar.restOf[element] as number;
    this.#shortestOf.push(rest + (this.#shortestOf[below] as number));
    this.#nodeOf.set(key, node);
    return node;
  }

  #list(node: number): number[] {
    const list: number[] = [];
    for (let at = node; at !== 0; at = this.#belowOf[at] as number) list.push(this.#elementOf[at] as number);
    return list;
  }

  #intern({ stacks, accepts }: Pick<State, "stacks" | "accepts">, partial: PartialCharacter | null): number {
    const key = `${stacks.join()} ${accepts} ${partial ? [partial.value, partial.numMissing, partial.least].join() : ""}`;
    const known = this.#stateOf.get(key);
    if (known !== undefined) return known;
    // Making a state costs about as much as looking at some stacks.
    this.#spend(16);
    const next = new Int32Array(256).fill(unknown);
    const state = this.#states.push({ stacks, accepts, partial, shortest: null, next }) - 1;
    this.#stateOf.set(key, state);
    return state;
  }

  #classOf(node: number): CharacterClass {
    const element = this.#grammar.elements[this.#elementOf[node] as number];
    return element?.type === "characters" ? element.characters : nothing;
  }
}
