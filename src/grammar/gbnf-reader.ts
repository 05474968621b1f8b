import type { ShouldersError } from "../errors.js";
import { characterClass, type CharacterClass } from "./characters.js";
import { refuseGrammar, type Item } from "./grammar-parts.js";

/** GBNF as text, read into rules whose repetitions are written out. */

const mostBytes = 1024 * 1024;
const mostElements = 200_000;
/** Elements between two places where others may go on. */
const sliceElements = 2_000;
const mostRepetitions = 2_000;
const deepestNesting = 64;

export interface GrammarText {
  /** The alternatives of each rule. */
  alternatives: Item[][][];
  root: number;
}

/**
 * Stops now and then, so that others may go on meanwhile.
 *
 * @throws ShouldersError `invalid_request` that says where and what is wrong.
 */
export function readGrammar(text: string, root: string): Generator<void, GrammarText> {
  return new Reader(text).read(root);
}

class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  #numElements = 0;
  readonly #idOf = new Map<string, number>();
  readonly #singles = new Map<number, Item>();
  readonly #classes = new Map<string, Item>();
  /** What is repeated, a rule or a class, to what writes it at most 0, 1, 2, … times. */
  readonly #chains = new Map<number | CharacterClass, Item[][]>();
  /** Rule to its alternatives. */
  readonly #alternatives: Item[][][] = [];

  constructor(text: string) {
    if (text.length > mostBytes) throw refuseGrammar(`expected at most ${mostBytes} characters`);
    this.#text = text;
  }

  *read(rootName: string): Generator<void, GrammarText> {
    this.#skip(true);
    for (let numRead = 0; this.#at < this.#text.length;) {
      this.#rule();
      if (this.#numElements - numRead < sliceElements) continue;
      numRead = this.#numElements;
      yield;
    }
    for (const [name, id] of this.#idOf)
      if (this.#alternatives[id] === undefined) throw refuseGrammar(`rule ${name} is used but not defined`);
    const root = this.#idOf.get(rootName);
    if (root === undefined) throw refuseGrammar(`there is no rule named ${rootName}`);
    return { alternatives: this.#alternatives, root };
  }

  #rule(): void {
    const name = this.#name();
    this.#skip(false);
    if (!this.#text.startsWith("::=", this.#at)) throw this.#expected("::=");
    this.#at += 3;
    this.#skip(true);
    this.#alternatives[this.#idFor(name)] = this.#alternates(false);
    if (this.#at < this.#text.length && !/[\r\n]/.test(this.#character)) throw this.#expected("a new line");
    this.#skip(true);
  }

  #alternates(isNested: boolean): Item[][] {
    const alternatives = [this.#sequence(isNested)];
    while (this.#character === "|") {
      this.#at++;
      this.#skip(true);
      alternatives.push(this.#sequence(isNested));
    }
    return alternatives;
  }

  #sequence(isNested: boolean): Item[] {
    const sequence: Item[] = [];
    for (;;) {
      const items = this.#items();
      if (items === null) return sequence;
      this.#skip(isNested);
      let repeated = items;
      for (let times = this.#repetition(); times !== null; times = this.#repetition()) {
        repeated = this.#repeat(repeated, times);
        this.#skip(isNested);
      }
      this.#count(repeated.length);
      for (const item of repeated) sequence.push(item);
    }
  }

  /** What a repetition mark after it repeats; null: no more of the sequence. */
  #items(): Item[] | null {
    const character = this.#character;
    if (character === '"') return this.#literal();
    if (character === "[") return [this.#class()];
    if (/[a-zA-Z0-9-]/.test(character)) return [{ type: "rule", rule: this.#idFor(this.#name()) }];
    if (character === "(") {
      if (++this.#depth > deepestNesting)
        throw refuseGrammar(`groups are nested deeper than ${deepestNesting}`);
      this.#at++;
      this.#skip(true);
      const group = this.#add(this.#alternates(true));
      if (this.#character !== ")") throw this.#expected(")");
      this.#at++;
      this.#depth--;
      return [group];
    }
    if (character === ".") {
      this.#at++;
      return [this.#characters([], true)];
    }
    if (/[<!]/.test(character)) throw refuseGrammar(`tokens (at ${this.#at}) are not supported; use text`);
    if (/[*+?{]/.test(character)) throw this.#expected("something to repeat");
    return null;
  }

  #literal(): Item[] {
    this.#at++;
    const items: Item[] = [];
    while (this.#character !== '"') {
      const point = this.#codePoint();
      items.push(this.#single(point));
    }
    this.#at++;
    return items;
  }

  #class(): Item {
    this.#at++;
    const isNegated = this.#character === "^";
    if (isNegated) this.#at++;
    const ranges: [number, number][] = [];
    while (this.#character !== "]") {
      const low = this.#codePoint();
      let high = low;
      if (this.#character === "-" && this.#text[this.#at + 1] !== "]") {
        this.#at++;
        high = this.#codePoint();
      }
      ranges.push([low, high]);
    }
    this.#at++;
    this.#count(ranges.length);
    return this.#characters(ranges, isNegated);
  }

  /** An element of one character, of which a grammar may have a hundred thousand. */
  #single(point: number): Item {
    const known = this.#singles.get(point);
    if (known !== undefined) return known;
    const item = this.#characters([[point, point]], false);
    this.#singles.set(point, item);
    return item;
  }

  /** The same characters are one object: what is known of it is found once. */
  #characters(ranges: [number, number][], isNegated: boolean): Item {
    const characters = characterClass(ranges, isNegated);
    const key = characters.ends.join();
    const known = this.#classes.get(key);
    if (known !== undefined) return known;
    const item: Item = { type: "characters", characters };
    this.#classes.set(key, item);
    return item;
  }

  #codePoint(): number {
    const point = this.#text.codePointAt(this.#at);
    if (point === undefined) throw this.#expected("more");
    if (point !== 0x5c) {
      this.#at += point > 0xffff ? 2 : 1;
      return point;
    }
    const escape = /^\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([trn\\"[\]]))/.exec(
      this.#text.slice(this.#at, this.#at + 10),
    );
    if (escape === null) throw this.#expected("a known escape");
    this.#at += escape[0].length;
    const plain = escape[4];
    if (plain !== undefined)
      return ({ t: 9, r: 13, n: 10 } as Record<string, number>)[plain] ?? plain.charCodeAt(0);
    return Number.parseInt(escape[1] ?? escape[2] ?? escape[3] ?? "", 16);
  }

  #repetition(): { least: number; most: number | null } | null {
    const simple = {
      "*": { least: 0, most: null },
      "+": { least: 1, most: null },
      "?": { least: 0, most: 1 },
    };
    const character = this.#character;
    if (character === "*" || character === "+" || character === "?") {
      this.#at++;
      return simple[character];
    }
    if (character !== "{") return null;
    const found = /^\{\s*(\d{1,9})\s*(,\s*(\d{1,9})?\s*)?\}/.exec(this.#text.slice(this.#at, this.#at + 64));
    if (found === null) throw this.#expected("{n}, {n,} or {n,m}");
    this.#at += found[0].length;
    const least = Number(found[1]);
    const most = found[2] === undefined ? least : found[3] === undefined ? null : Number(found[3]);
    if (least > mostRepetitions || (most ?? 0) > mostRepetitions || least > (most ?? least))
      throw refuseGrammar(`a repetition goes from 0 to ${mostRepetitions} times, the smaller number first`);
    return { least, most };
  }

  /** x{2,4} is x x (x (x |) |); x{2,} is x x r with r ::= x r | nothing. */
  #repeat(items: Item[], { least, most }: { least: number; most: number | null }): Item[] {
    const one = items.length === 1 ? (items[0] as Item) : this.#add([items]);
    this.#count(least);
    const repeated = Array.from({ length: least }, () => one);
    if (most !== null) return [...repeated, ...this.#atMost(one, most - least)];
    const rule = this.#alternatives.length;
    this.#count(2);
    this.#add([[one, { type: "rule", rule }], []]);
    return [...repeated, { type: "rule", rule }];
  }

  /** Whatever repeats the same shares its rules: a schema may bound the lengths of a hundred texts. */
  #atMost(one: Item, most: number): Item[] {
    const key = one.type === "rule" ? one.rule : one.characters;
    const chain = this.#chains.get(key) ?? [[]];
    this.#chains.set(key, chain);
    this.#count(3 * Math.max(0, most + 1 - chain.length));
    while (chain.length <= most) chain.push([this.#add([[one, ...(chain.at(-1) ?? [])], []])]);
    return chain[most] ?? [];
  }

  #add(alternatives: Item[][]): Item {
    return { type: "rule", rule: this.#alternatives.push(alternatives) - 1 };
  }

  #count(numElements: number): void {
    this.#numElements += numElements;
    if (this.#numElements > mostElements)
      throw refuseGrammar("it is too large once its repetitions are written out; repeat less");
  }

  #idFor(name: string): number {
    const known = this.#idOf.get(name);
    if (known !== undefined) return known;
    const id = this.#alternatives.length++;
    this.#idOf.set(name, id);
    return id;
  }

  #name(): string {
    const found = /^[a-zA-Z0-9-]+/.exec(this.#text.slice(this.#at, this.#at + 256));
    if (found === null) throw this.#expected("the name of a rule");
    this.#at += found[0].length;
    return found[0];
  }

  #skip(overLines: boolean): void {
    const space = overLines ? /(?:[ \t\r\n]|#[^\r\n]*)*/y : /(?:[ \t]|#[^\r\n]*)*/y;
    space.lastIndex = this.#at;
    this.#at += space.exec(this.#text)?.[0].length ?? 0;
  }

  get #character(): string {
    return this.#text[this.#at] ?? "";
  }

  #expected(what: string): ShouldersError {
    return refuseGrammar(`expected ${what} at character ${this.#at}`);
  }
}
