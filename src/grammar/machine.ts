import { CharacterAutomata, dead, type Outcome } from "./character-automata.js";
import { characterClass, completionOf, type CharacterClass, type PartialCharacter } from "./characters.js";
import type { CompiledGrammar } from "./gbnf.js";
import { refuseGrammar } from "./grammar-parts.js";

/**
 * Follows a text, byte by byte, through a grammar. The places where it may stand are stacks of elements still to
 * come, shared as linked lists; a set of them is a state. A position is a state and how far a character has come in
 * it, in one number. States, their steps by character, and those by byte are kept, so that asking the whole
 * vocabulary at each token costs a look or two into a table for a byte. Every cost is bounded: a grammar that is too
 * ambiguous fails its own request and holds nobody else up.
 */

/** Ways in which a text may stand in the grammar at once, and what finding them may take. */
const mostStacks = 1_000;
const mostExpansions = 20_000;
/** Stacks looked at for one token, the whole vocabulary asked. */
const mostWork = 300_000;
/** States, and nodes of 1 KiB each, that are kept; past it they are found anew. */
const mostStates = 4_096;
const mostNodes = 500_000;
/** Above any node's number: one token makes fewer than its work. */
const largestNode = 2 ** 30;

/** Of a position: those below say how far a character is. One token makes some 20,000 of either at most. */
const stateBits = 16;
const nodeMask = (1 << stateBits) - 1;

const nothing = characterClass([]);

interface State {
  /** Stacks whose top is a class of characters. */
  stacks: readonly number[];
  /** The class of each, by its place among those that the automata tell apart from here. */
  classOf: readonly number[];
  /** The text may end here. */
  accepts: boolean;
  /** Where the automata begin a character of these classes. */
  start: number;
  /** Bytes of the shortest text with which it may end; Infinity: the alphabet cannot write one; null: not asked yet. */
  shortest: number | null;
  /** The position after a character, by the negative of its group. */
  after: number[];
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
  #automata: CharacterAutomata;
  #states: State[] = [];
  #positionOf = new Map<string, number>();
  /** The position after a character, by the stacks that take it. */
  #positionAfter = new Map<string, number>();
  /** `State.shortest` in the middle of a character, for one token. */
  readonly #shortestWithin = new Map<number, number>();
  /** Stacks looked at since the last token. */
  #work = 0;

  constructor(grammar: CompiledGrammar) {
    this.#grammar = grammar;
    this.#automata = this.#createAutomata();
  }

  start(): number {
    const alternatives = this.#grammar.rules[this.#grammar.root] ?? [];
    return this.#intern(this.#expand(alternatives.map((element) => this.#push(element, 0))));
  }

  accepts(position: number): boolean {
    const { accepts, start } = this.#stateAt(position);
    return accepts && (position & nodeMask) === start;
  }

  /** Nothing may follow. */
  isComplete(position: number): boolean {
    return this.accepts(position) && this.#stateAt(position).stacks.length === 0;
  }

  /** @returns the position after these bytes, or −1 when the grammar does not allow them. */
  follow(position: number, bytes: Uint8Array): number {
    let at = position;
    for (let index = 0; index < bytes.length && at !== dead; index++)
      at = this.step(at, bytes[index] as number);
    return at;
  }

  /** @returns the position after this byte, or −1 when the grammar does not allow it. */
  step(position: number, byte: number): number {
    const node = position & nodeMask;
    const outcome = this.#automata.step(node, byte);
    if (outcome >= 0) return (position - node) | outcome;
    if (outcome === dead) return dead;
    const state = this.#stateAt(position);
    return state.after[-outcome] ?? (state.after[-outcome] = this.#take(state, node, outcome));
  }

  /** Bytes of the shortest text with which it may end; Infinity: the alphabet cannot write one. */
  shortest(position: number): number {
    const state = this.#stateAt(position);
    const node = position & nodeMask;
    const isWhole = node === state.start;
    const known = isWhole ? state.shortest : this.#shortestWithin.get(position);
    if (known !== null && known !== undefined) return known;
    this.#spend(state.stacks.length);
    const length =
      isWhole && state.accepts
        ? 0
        : (this.#shortestWay(state.stacks, this.#automata.partial(node))?.length ?? Infinity);
    if (isWhole) state.shortest = length;
    else this.#shortestWithin.set(position, length);
    return length;
  }

  /** That text. */
  shortestText(position: number): Uint8Array {
    const { stacks } = this.#stateAt(position);
    const partial = this.#automata.partial(position & nodeMask);
    const way = this.accepts(position) ? null : this.#shortestWay(stacks, partial);
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

  /** Makes ready for the next token: drops all states when there are too many. @returns the given position's new number. */
  tidy(position: number): number {
    this.#work = 0;
    this.#shortestWithin.clear();
    const sizes = [this.#states.length, this.#automata.numNodes];
    if (Math.max(...sizes) < mostStates && this.#elementOf.length < mostNodes) return position;
    const { stacks, accepts } = this.#stateAt(position);
    const partial = this.#automata.partial(position & nodeMask);
    const lists = stacks.map((node) => this.#list(node));
    [this.#elementOf, this.#belowOf, this.#shortestOf] = [[-1], [-1], [0]];
    this.#nodeOf = new Map();
    this.#automata = this.#createAutomata();
    this.#states = [];
    this.#positionOf = new Map();
    this.#positionAfter = new Map();
    const nodes = lists.map((list) => list.reduceRight((below, element) => this.#push(element, below), 0));
    const whole = this.#intern({ stacks: nodes, accepts });
    if (partial === null) return whole;
    const start = whole & nodeMask;
    return (whole - start) | this.#automata.resume(start, partial);
  }

  #stateAt(position: number): State {
    return this.#states[position >> stateBits] as State;
  }

  #createAutomata(): CharacterAutomata {
    return new CharacterAutomata((work) => this.#spend(work));
  }

  /** The position after a character of this group. */
  #take({ stacks, classOf }: State, node: number, group: Outcome): number {
    const has = this.#automata.classesOf(node, group);
    this.#spend(1 + stacks.length);
    const taken = stacks.filter((_, index) => has[classOf[index] as number] === 1);
    const key = taken.join();
    const known = this.#positionAfter.get(key);
    if (known !== undefined) return known;
    const after = this.#expand(taken.map((stack) => this.#after(stack)));
    const to = after.accepts || after.stacks.length > 0 ? this.#intern(after) : dead;
    this.#positionAfter.set(key, to);
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

  /** @returns the position at the beginning of a character. */
  #intern({ stacks, accepts }: Pick<State, "stacks" | "accepts">): number {
    const key = `${stacks.join()} ${accepts}`;
    const known = this.#positionOf.get(key);
    if (known !== undefined) return known;
    // Making a state costs about as much as looking at some stacks.
    this.#spend(16 + stacks.length);
    const placeOf = new Map<CharacterClass, number>();
    for (const node of stacks) {
      const characters = this.#classOf(node);
      if (!placeOf.has(characters)) placeOf.set(characters, placeOf.size);
    }
    const classOf = stacks.map((node) => placeOf.get(this.#classOf(node)) as number);
    const start = this.#automata.start([...placeOf.keys()]);
    const number = this.#states.push({ stacks, classOf, accepts, start, shortest: null, after: [] }) - 1;
    const position = (number << stateBits) | start;
    this.#positionOf.set(key, position);
    return position;
  }

  #classOf(node: number): CharacterClass {
    const element = this.#grammar.elements[this.#elementOf[node] as number];
    return element?.type === "characters" ? element.characters : nothing;
  }
}
