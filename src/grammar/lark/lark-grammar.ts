import { ShouldersError } from "../../errors.js";
import { compileGrammar } from "../gbnf.js";
import type { GrammarBuilder } from "../json/grammar-builder.js";
import { automatonOf } from "../regular/automaton.js";
import { pointAt, pointsIn, pointsOf, intersect } from "../regular/code-points.js";
import { NotRegular } from "../regular/expression.js";
import { readRegex } from "../regular/regex-reader.js";
import { writeAutomaton, type Writing } from "../regular/write-automaton.js";
import { readLark, UndoneLark, type LarkGrammar, type LarkPart } from "./lark-reader.js";

/**
 * Adds rules for the texts of a grammar in Lark's notation.
 *
 * @returns the name of a rule
 * @throws UndoneLark what cannot be held to
 * @throws LarkError what is no grammar
 */
export function addLark(builder: GrammarBuilder, definition: string, writing: Writing): string {
  builder.takesLong();
  const grammar = readLark(definition);
  const alone = builder.apart();
  try {
    const text = alone.build(new LarkWriter(alone, grammar, writing).write());
    alone.spendOnTexts(workOfElement * sizeOnceCompiled(text));
  } catch (thrown) {
    if (thrown instanceof NotRegular) throw new UndoneLark(thrown.message);
    throw thrown;
  }
  return new LarkWriter(builder, grammar, writing).write();
}

/** Of `Spend`, for what a grammar becomes once its repetitions are written out: some 0.3 µs. */
const workOfElement = 10;

/**
 * Finds what the engine would refuse: rules that begin with themselves, repetitions of nothing.
 *
 * @returns elements
 */
function sizeOnceCompiled(grammar: string): number {
  try {
    return compileGrammar(grammar).elements.length;
  } catch (thrown) {
    if (thrown instanceof ShouldersError) throw new UndoneLark(thrown.message);
    throw thrown;
  }
}

/** Rules within rules. */
const deepest = 300;

class LarkWriter {
  readonly #builder: GrammarBuilder;
  readonly #grammar: LarkGrammar;
  readonly #writing: Writing;
  readonly #ruleOf = new Map<string, string>();
  /** Classes by their characters. */
  readonly #written = new Map<string, string>();
  #depth = 0;
  /** What may stand before a terminal; null: nothing. */
  #ignored: string | null = null;

  constructor(builder: GrammarBuilder, grammar: LarkGrammar, writing: Writing) {
    this.#builder = builder;
    this.#grammar = grammar;
    this.#writing = writing;
  }

  write(): string {
    const { ignored } = this.#grammar;
    if (ignored.length > 0) {
      const ways = ignored.map((part) => this.#body(part, true));
      this.#ignored = this.#builder.rule(`(${ways.join(" | ")})*`);
    }
    const start = this.#named("start");
    return this.#ignored === null ? start : this.#builder.rule(`${start} ${this.#ignored}`);
  }

  #named(name: string): string {
    const known = this.#ruleOf.get(name);
    if (known !== undefined) return known;
    if (++this.#depth > deepest) throw new UndoneLark("its rules are nested too deep");
    const { name: rule, define } = this.#builder.reserve();
    this.#ruleOf.set(name, rule);
    define(this.#body(this.#grammar.rules.get(name) as LarkPart, isTerminal(name)));
    this.#depth--;
    return rule;
  }

  /** GBNF of a part, in brackets where they are needed. @param isWithin whether it is a part of a terminal */
  #body(part: LarkPart, isWithin: boolean): string {
    switch (part.type) {
      case "choice":
        return `(${part.parts.map((one) => this.#body(one, isWithin)).join(" | ")})`;
      case "sequence":
        return part.parts.length === 0
          ? `""`
          : `(${part.parts.map((one) => this.#body(one, isWithin)).join(" ")})`;
      case "repeat":
        return `(${this.#body(part.part, isWithin)})${repetition(part.least, part.most)}`;
      case "name": {
        const rule = this.#named(part.name);
        return isTerminal(part.name) && !isWithin ? this.#terminal(rule) : rule;
      }
      case "text":
      case "regex":
      case "range": {
        const text = this.#text(part);
        return isWithin ? text : this.#terminal(text);
      }
    }
  }

  #terminal(body: string): string {
    return this.#ignored === null ? body : `(${this.#ignored} ${body})`;
  }

  #text(part: Extract<LarkPart, { type: "text" | "regex" | "range" }>): string {
    switch (part.type) {
      case "text": {
        const characters = Array.from(part.text, (character) =>
          this.#points(part.isFolded ? character.toLowerCase() + character.toUpperCase() : character),
        );
        return characters.length === 0 ? `""` : `(${characters.join(" ")})`;
      }
      case "range": {
        const [from, to] = [Array.from(part.from), Array.from(part.to)];
        if (from.length !== 1 || to.length !== 1) throw new UndoneLark("a range is between two characters");
        return this.#write(pointsOf([[pointAt(part.from), pointAt(part.to)]]));
      }
      case "regex": {
        const expression = readRegex(ecmaScript(part));
        const texts = automatonOf(expression, this.#builder.spendOnTexts);
        const rule = writeAutomaton(this.#builder, texts, { writing: this.#writing, ending: `""` });
        if (rule === null) throw new UndoneLark(`no text fits /${part.source}/`);
        return rule;
      }
    }
  }

  #points(characters: string): string {
    const written = this.#written.get(characters) ?? this.#write(pointsIn(characters));
    this.#written.set(characters, written);
    return written;
  }

  #write(points: ReturnType<typeof pointsIn>): string {
    const writable = intersect(points, this.#writing.points);
    if (writable.length === 0) throw new UndoneLark("it has characters that cannot be written");
    return `(${this.#writing.write(writable)})`;
  }
}

const isTerminal = (name: string): boolean => name === name.toUpperCase();

function repetition(least: number, most: number | null): string {
  if (most === null) return least === 0 ? "*" : "+";
  return `{${least},${most}}`;
}

/** A regular expression as ECMAScript writes it: elsewhere any sign may stand behind a backslash. */
function ecmaScript({ source, flags }: { source: string; flags: string }): string {
  if (/[imx]/.test(flags)) throw new UndoneLark(`the flags ${flags} of a regular expression are not done`);
  const isDotAll = flags.includes("s");
  let isInClass = false;
  return source.replaceAll(/\\[^]|[[\].]/gu, (found) => {
    if (found.length > 1) {
      const isKnown = isInClass ? /[\w^$\\.*+?()[\]{}|/-]$/ : /[\w^$\\.*+?()[\]{}|/]$/;
      return isKnown.test(found) ? found : found.slice(1);
    }
    if (found === ".") return isDotAll && !isInClass ? "[^]" : ".";
    isInClass = found === "[";
    return found;
  });
}
