import { fieldError } from "../../errors.js";

/** Rules of GBNF, and those that every grammar of JSON here has. */

const digits = (low: number, high: number) =>
  Array.from({ length: high - low + 1 }, (_, index) => literal(String(low + index).padStart(2, "0"))).join(
    " | ",
  );

const date =
  `[0-9]{4} "-" ((${[1, 3, 5, 7, 8, 10, 12].map((month) => digits(month, month)).join(" | ")}) "-" (${digits(1, 31)})` +
  ` | (${[4, 6, 9, 11].map((month) => digits(month, month)).join(" | ")}) "-" (${digits(1, 30)})` +
  ` | "02-" (${digits(1, 28)}))`;
const time = `(${digits(0, 23)}) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{3})? ("Z" | [+-] (${digits(0, 23)}) ":" [0-5] [0-9])`;

/** What is in the string; all formats that are enforced. */
export const formats: Record<string, string> = {
  date,
  time,
  "date-time": `${date} "T" ${time}`,
  uuid: `[0-9a-f]{8} "-" [0-9a-f]{4} "-4" [0-9a-f]{3} "-" [89ab] [0-9a-f]{3} "-" [0-9a-f]{12}`,
};

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

/** Rules of one grammar. What they cost is counted, whichever schemas they are made of. */
export class GrammarBuilder {
  readonly #nameOf = new Map<string, string>();
  readonly #param: string;
  /** Paths of what schemas say and the grammar does not hold to. */
  readonly ignored: string[] = [];
  #numCharacters = 0;
  #work = 0;
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
