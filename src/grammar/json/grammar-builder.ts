import { fieldError } from "../../errors.js";
import type { Spend } from "../regular/automaton.js";

/** Rules of GBNF, and those that every grammar of JSON here has. */

/** Rules that any schema may use. A string has no escaped surrogates: their pairs would count as one character. */
const sharedRules: Record<string, string> = {
  space: `" "?`,
  char: `[^"\\\\\\x00-\\x1F\\x7F] | "\\\\" (["\\\\/bfnrt] | "u" ([0-9abcefABCEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))`,
  string: `"\\"" char* "\\""`,
  digits: `"0" | [1-9] [0-9]{0,14}`,
  number: `digits ("." [0-9]{1,15})? ([eE] [+-]? [0-9]{1,2})?`,
  value: `object | array | string | "-"? number | "true" | "false" | "null"`,
  object: `"{" (string ":" space value ("," space string ":" space value)*)? "}"`,
  array: `"[" (value ("," space value)*)? "]"`,
};

/** Text as GBNF writes it. */
export function literal(text: string): string {
  const escaped = text.replaceAll(
    /["\\\x00-\x1f\x7f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `"${escaped}"`;
}

/** What one grammar may cost. */
export interface GrammarBounds {
  /** Of the text. */
  characters: number;
  /** What is looked at beyond what is written: pairs of branches that must be told apart. */
  pairs: number;
  /** What patterns, grammars, ranges of numbers and named values take to read, as `Spend` counts it. */
  texts: number;
}

/** More characters than the engine's reader takes would be made in vain. It takes some 500 ms at most. */
const mostOfAll: GrammarBounds = { characters: 1024 * 1024, pairs: 200_000, texts: 3_000_000 };

/** What is written at once, where others wait: some 20 ms, 50 at most. */
const mostAtOnce: GrammarBounds = { characters: 64 * 1024, pairs: 20_000, texts: 150_000 };

/** A grammar costs more than is done where others wait: it must be written elsewhere. */
export class HeavyGrammar extends Error {
  override name = "HeavyGrammar";
}

/** Rules of one grammar. What they cost is counted, whichever schemas they are made of. */
export class GrammarBuilder {
  readonly #nameOf = new Map<string, string>();
  readonly #param: string;
  readonly #isAtOnce: boolean;
  readonly #payer: GrammarBuilder | null;
  /** Paths of what schemas say and the grammar does not hold to. */
  readonly ignored: string[] = [];
  readonly #spent: GrammarBounds = { characters: 0, pairs: 0, texts: 0 };
  readonly #rules: string[] = Object.entries(sharedRules).map(([name, body]) => `${name} ::= ${body}`);

  /**
   * @param param the field of the request that a grammar which costs too much is laid to
   * @param isAtOnce others wait: it throws HeavyGrammar where it would take long
   * @param payer a grammar to which all that this one costs is counted, too
   */
  constructor(param: string, isAtOnce = false, payer: GrammarBuilder | null = null) {
    this.#param = param;
    this.#isAtOnce = isAtOnce;
    this.#payer = payer;
  }

  /** Rules to try something with, which cost this grammar what they cost. */
  apart(): GrammarBuilder {
    return new GrammarBuilder(this.#param, this.#isAtOnce, this);
  }

  /** Before what costs much however little is written. @throws HeavyGrammar where others wait */
  takesLong(): void {
    if (this.#isAtOnce) throw new HeavyGrammar();
  }

  /** Counts pairs of branches that are told apart. @throws ShouldersError `invalid_request` past what one request may cost. */
  spend(work: number): void {
    this.#spend("pairs", work, "it has too many branches of oneOf to tell apart; use anyOf");
  }

  /** Counts what reading a text takes. @throws ShouldersError `invalid_request` past what one request may cost. */
  readonly spendOnTexts: Spend = (work) => {
    this.#spend(
      "texts",
      work,
      "its patterns, grammars, ranges of numbers and named values take too long to read; use fewer or simpler ones",
    );
  };

  /** @returns the name of a rule with this body. */
  rule(body: string): string {
    const known = this.#nameOf.get(body);
    if (known !== undefined) return known;
    this.#count(body);
    const name = `r${this.#nameOf.size}`;
    this.#nameOf.set(body, name);
    this.#rules.push(`${name} ::= ${body}`);
    return name;
  }

  /** A rule whose body is known later, because it may refer to itself. */
  reserve(): { name: string; define: (body: string) => void } {
    const name = `r${this.#nameOf.size}`;
    this.#nameOf.set(`reserved ${name}`, name);
    return {
      name,
      define: (body) => {
        this.#count(body);
        this.#rules.push(`${name} ::= ${body}`);
      },
    };
  }

  build(root: string): string {
    this.#count(root);
    return [`root ::= ${root}`, ...this.#rules].join("\n");
  }

  #count(body: string): void {
    this.#spend(
      "characters",
      body.length + 16,
      `the grammar that it stands for has more than ${mostOfAll.characters} characters; ask for less at a time`,
    );
  }

  #spend(kind: keyof GrammarBounds, cost: number, reason: string): void {
    if (this.#payer !== null) this.#payer.#spend(kind, cost, reason);
    this.#spent[kind] += cost;
    if (this.#spent[kind] > mostOfAll[kind]) throw fieldError(this.#param, reason);
    if (this.#isAtOnce && this.#spent[kind] > mostAtOnce[kind]) throw new HeavyGrammar();
  }
}
