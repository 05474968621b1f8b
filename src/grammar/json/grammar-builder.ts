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

/** Characters of one grammar: more than the engine's reader takes would be made in vain. */
const mostCharacters = 1024 * 1024;
/** What may be looked at beyond what is written: pairs of branches that must be told apart. */
const mostWork = 200_000;

/** As `Spend` counts it. */
const mostTextWork = 3_000_000;

/** Rules of one grammar. What they cost is counted, whichever schemas they are made of. */
export class GrammarBuilder {
  readonly #nameOf = new Map<string, string>();
  readonly #param: string;
  /** Paths of what schemas say and the grammar does not hold to. */
  readonly ignored: string[] = [];
  #numCharacters = 0;
  #work = 0;
  #textWork = 0;
  readonly #rules: string[] = Object.entries(sharedRules).map(([name, body]) => `${name} ::= ${body}`);

  /** @param param the field of the request that a grammar which costs too much is laid to */
  constructor(param: string) {
    this.#param = param;
  }

  /** @throws ShouldersError `invalid_request` past what one request may cost. */
  spend(work: number): void {
    this.#work += work;
    if (this.#work > mostWork)
      throw fieldError(this.#param, "it has too many branches of oneOf to tell apart; use anyOf");
  }

  /**
   * What patterns, ranges of numbers and named values take to read: some 100 ms at most.
   *
   * @throws ShouldersError `invalid_request` past what one request may cost.
   */
  readonly spendOnTexts: Spend = (work) => {
    this.#textWork += work;
    if (this.#textWork > mostTextWork)
      throw fieldError(
        this.#param,
        "its patterns, ranges of numbers and named values take too long to read; use fewer or simpler ones",
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
    this.#numCharacters += body.length + 16;
    if (this.#numCharacters > mostCharacters)
      throw fieldError(
        this.#param,
        `the grammar that it stands for has more than ${mostCharacters} characters; ask for less at a time`,
      );
  }
}
