import {
  canComplete,
  covers,
  nextCharacter,
  type CharacterClass,
  type PartialCharacter,
} from "./characters.js";

/** No character of the classes begins so. */
export const dead = -1;
const unknown = -2;
/** From here downwards a group of characters, by its number. */
const firstGroup = -3;

/** The node of a character that is not whole yet; of one that is, its group; or `dead`. */
export type Outcome = number;

/** Characters that are in the same classes. */
interface Group {
  /** 1 at the place of each of the classes. */
  has: Uint8Array;
  number: number;
}

interface ClassSet {
  /** No byte of the character is there yet. */
  start: number;
  classes: readonly CharacterClass[];
  groups: Group[];
  groupOf: Map<string, Group>;
  /** Nodes by what their characters have in common. */
  nodeOf: Map<string, number>;
}

/**
 * Tells byte by byte which of some classes a character is in. What is found is kept for each set of classes, and so
 * shared by all states of a grammar in which the same classes may come: a state that is new reads no byte anew.
 */
export class CharacterAutomata {
  readonly #spend: (work: number) => void;
  /** Outcomes by node and byte. */
  #next = new Int32Array(0);
  #setOf: ClassSet[] = [];
  #partialOf: (PartialCharacter | null)[] = [];
  readonly #sets = new Map<string, ClassSet>();
  readonly #idOf = new Map<CharacterClass, number>();

  /** @param spend is told how many classes are going to be looked at. */
  constructor(spend: (work: number) => void) {
    this.#spend = spend;
  }

  get numNodes(): number {
    return this.#setOf.length;
  }

  /** @returns the node at which a character of these classes begins; of equal sets the same. */
  start(classes: readonly CharacterClass[]): number {
    const key = classes.map((characters) => this.#id(characters)).join();
    const known = this.#sets.get(key);
    if (known !== undefined) return known.start;
    const set = { start: this.numNodes, classes, groups: [], groupOf: new Map(), nodeOf: new Map() };
    this.#sets.set(key, set);
    return this.#add(set, null);
  }

  step(node: number, byte: number): Outcome {
    const known = this.#next[(node << 8) | byte] as number;
    return known === unknown ? this.#find(node, byte) : known;
  }

  /** 1 at the place of each of the node's classes that the characters of a group are in. */
  classesOf(node: number, group: Outcome): Uint8Array {
    return ((this.#setOf[node] as ClassSet).groups[firstGroup - group] as Group).has;
  }

  /** A character that is as far as the node says; null: none is begun. */
  partial(node: number): PartialCharacter | null {
    return this.#partialOf[node] as PartialCharacter | null;
  }

  /** The node of a character that is begun with these classes. */
  resume(start: number, partial: PartialCharacter): Outcome {
    return this.#nodeOf(this.#setOf[start] as ClassSet, partial);
  }

  #find(node: number, byte: number): Outcome {
    const set = this.#setOf[node] as ClassSet;
    const partial = nextCharacter(this.partial(node), byte);
    const outcome = partial === null ? dead : this.#nodeOf(set, partial);
    this.#next[(node << 8) | byte] = outcome;
    return outcome;
  }

  #nodeOf(set: ClassSet, partial: PartialCharacter): Outcome {
    this.#spend(1 + set.classes.length);
    const has = Uint8Array.from(set.classes, (characters) => (canComplete(characters, partial) ? 1 : 0));
    if (!has.includes(1)) return dead;
    if (partial.numMissing === 0) return firstGroup - this.#groupOf(set, has).number;
    // Where all that it may become are in the same classes, it does not matter how it began.
    const isSame = set.classes.every((characters, index) => has[index] === 0 || covers(characters, partial));
    const key = isSame ? `${has.join("")} ${partial.numMissing}` : JSON.stringify(partial);
    const known = set.nodeOf.get(key);
    if (known !== undefined) return known;
    const node = this.#add(set, partial);
    set.nodeOf.set(key, node);
    return node;
  }

  #groupOf(set: ClassSet, has: Uint8Array): Group {
    const key = has.join("");
    const known = set.groupOf.get(key);
    if (known !== undefined) return known;
    const group = { number: set.groups.length, has };
    set.groups.push(group);
    set.groupOf.set(key, group);
    return group;
  }

  #add(set: ClassSet, partial: PartialCharacter | null): number {
    // Making a node costs about as much as looking at some classes.
    this.#spend(16);
    const node = this.#setOf.push(set) - 1;
    this.#partialOf.push(partial);
    if (this.#next.length < (node + 1) << 8) {
      const grown = new Int32Array(Math.max(16 << 8, 2 * this.#next.length)).fill(unknown);
      grown.set(this.#next);
      this.#next = grown;
    }
    return node;
  }

  #id(characters: CharacterClass): number {
    const known = this.#idOf.get(characters);
    if (known !== undefined) return known;
    this.#idOf.set(characters, this.#idOf.size);
    return this.#idOf.size - 1;
  }
}
