import { commonTerminals } from "./common-terminals.js";

/**
 * Reads grammars in Lark's notation (https://lark-parser.readthedocs.io/en/stable/grammar.html), as far as they say
 * which texts there are. How texts are divided into terminals is not told apart: priorities, aliases and what trees look
 * like are passed over.
 */

/** What one rule or terminal may be. */
export type LarkPart =
  | { type: "choice" | "sequence"; parts: LarkPart[] }
  | { type: "repeat"; part: LarkPart; least: number; most: number | null }
  | { type: "text"; text: string; isFolded: boolean }
  | { type: "regex"; source: string; flags: string }
  | { type: "range"; from: string; to: string }
  | { type: "name"; name: string };

export interface LarkGrammar {
  /** By name: rules are in lower case, terminals in upper case. */
  rules: Map<string, LarkPart>;
  /** May stand before any terminal, and at the end. */
  ignored: LarkPart[];
}

/** What is no grammar. */
export class LarkError extends Error {}
/** What is one, and is not done here. */
export class UndoneLark extends Error {}

interface Token {
  kind: "name" | "text" | "regex" | "number" | "sign" | "directive" | "line";
  text: string;
  line: number;
}

const space = /(?:[ \t\f]|\\\r?\n)+/y;
const comment = /(?:\/\/|#)[^\n]*/y;
const tokenKinds: readonly (readonly [Token["kind"], RegExp])[] = [
  ["line", /\r?\n/y],
  ["text", /"(?:[^"\\\n]|\\.)*"i?/y],
  ["regex", /\/(?!\/)(?:[^/\\\n]|\\.)*\/[imslux]*/y],
  ["name", /[!?]{0,2}_?[a-zA-Z][a-zA-Z0-9_]*/y],
  ["number", /-?\d+/y],
  ["directive", /%[a-z]+/y],
  ["sign", /->|\.\.|[:|()[\]{}*+?~.,<>=@&]/y],
];

function tokensOf(definition: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  for (let at = 0; at < definition.length;) {
    const passed = matchAt(space, definition, at) ?? matchAt(comment, definition, at);
    if (passed !== null) {
      at += passed.length;
      continue;
    }
    const found = tokenKinds
      .map(([kind, pattern]) => ({ kind, text: matchAt(pattern, definition, at) }))
      .find(({ text }) => text !== null);
    if (found?.text == null)
      throw new LarkError(`line ${line}: ${JSON.stringify(definition.slice(at, at + 20))} cannot be read`);
    tokens.push({ kind: found.kind, text: found.text, line });
    at += found.text.length;
    if (found.kind === "line") line++;
  }
  return tokens;
}

function matchAt(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

const deepest = 50;
const mostRepetitions = 1_000;

/** @throws LarkError, UndoneLark */
export function readLark(definition: string): LarkGrammar {
  return new LarkReader(tokensOf(definition)).read();
}

class LarkReader {
  readonly #tokens: readonly Token[];
  readonly #rules = new Map<string, LarkPart>();
  readonly #ignored: LarkPart[] = [];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  read(): LarkGrammar {
    for (;;) {
      while (this.#takes("line"));
      const token = this.#next;
      if (token === undefined) break;
      if (token.kind === "directive") this.#readDirective();
      else this.#readRule();
    }
    if (!this.#rules.has("start")) throw new LarkError("it has no rule that is called start");
    for (const part of [...this.#rules.values(), ...this.#ignored]) this.#checkNames(part);
    for (const [name, part] of this.#rules) this.#rules.set(name, withoutLeftRecursion(name, part));
    return { rules: this.#rules, ignored: this.#ignored };
  }

  get #next(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #takes(kind: Token["kind"], text?: string): Token | null {
    const token = this.#next;
    if (token?.kind !== kind || (text !== undefined && token.text !== text)) return null;
    this.#at++;
    return token;
  }

  #take(kind: Token["kind"], text?: string): Token {
    const token = this.#takes(kind, text);
    if (token !== null) return token;
    const { line, text: found } = this.#next ?? { line: this.#tokens.at(-1)?.line ?? 1, text: "its end" };
    throw new LarkError(`line ${line}: expected ${text ?? kind}, found ${JSON.stringify(found)}`);
  }

  #readDirective(): void {
    const { text } = this.#take("directive");
    if (text === "%ignore") this.#ignored.push(this.#choice());
    else if (text === "%import") this.#readImport();
    else throw new UndoneLark(`${text} is not done`);
  }

  /** `common.WS`, `common.WS -> SPACE`, `common (WS, LF)`. */
  #readImport(): void {
    const { text: library } = this.#take("name");
    if (library !== "common") throw new UndoneLark("nothing but common can be imported");
    if (this.#takes("sign", "(")) {
      do this.#import(this.#take("name").text);
      while (this.#takes("sign", ","));
      this.#take("sign", ")");
      return;
    }
    this.#take("sign", ".");
    const { text: name } = this.#take("name");
    this.#import(name, this.#takes("sign", "->") ? this.#take("name").text : name);
  }

  #import(name: string, as = name): void {
    const source = Object.hasOwn(commonTerminals, name) ? commonTerminals[name] : undefined;
    if (source === undefined) throw new LarkError(`common has no ${name}`);
    this.#define(as, { type: "regex", source, flags: "" });
  }

  #readRule(): void {
    const { text } = this.#take("name");
    if (this.#takes("sign", ".")) this.#take("number");
    if (this.#next?.text === "{" || this.#next?.text === "[")
      throw new UndoneLark("templates and attributes of rules are not done");
    this.#take("sign", ":");
    this.#define(nameOf(text), this.#choice());
  }

  #define(name: string, part: LarkPart): void {
    if (this.#rules.has(name)) throw new LarkError(`${name} is defined twice`);
    this.#rules.set(name, part);
  }

  /** Alternatives may begin on lines of their own. */
  #choice(): LarkPart {
    if (++this.#depth > deepest) throw new UndoneLark("it is nested too deep");
    const parts = [this.#sequence()];
    while (this.#startsAlternative()) parts.push(this.#sequence());
    this.#depth--;
    return parts.length === 1 ? (parts[0] as LarkPart) : { type: "choice", parts };
  }

  #startsAlternative(): boolean {
    const from = this.#at;
    while (this.#takes("line"));
    if (this.#takes("sign", "|")) return true;
    this.#at = from;
    return false;
  }

  #sequence(): LarkPart {
    const parts: LarkPart[] = [];
    for (let part = this.#repeated(); part !== null; part = this.#repeated()) parts.push(part);
    if (this.#takes("sign", "->")) this.#take("name");
    return parts.length === 1 ? (parts[0] as LarkPart) : { type: "sequence", parts };
  }

  #repeated(): LarkPart | null {
    const part = this.#part();
    if (part === null) return null;
    if (this.#takes("sign", "?")) return { type: "repeat", part, least: 0, most: 1 };
    if (this.#takes("sign", "*")) return { type: "repeat", part, least: 0, most: null };
    if (this.#takes("sign", "+")) return { type: "repeat", part, least: 1, most: null };
    if (!this.#takes("sign", "~")) return part;
    const least = Number(this.#take("number").text);
    const most = this.#takes("sign", "..") ? Number(this.#take("number").text) : least;
    if (least < 0 || most < least) throw new LarkError(`~ ${least}..${most} repeats nothing`);
    if (most > mostRepetitions) throw new UndoneLark(`more than ${mostRepetitions} repetitions are not done`);
    return { type: "repeat", part, least, most };
  }

  /** @returns null: there is none */
  #part(): LarkPart | null {
    const text = this.#takes("text");
    if (text !== null) return this.#textOrRange(text.text);
    const regex = this.#takes("regex");
    if (regex !== null) {
      const end = regex.text.lastIndexOf("/");
      return { type: "regex", source: regex.text.slice(1, end), flags: regex.text.slice(end + 1) };
    }
    if (this.#takes("sign", "(")) return this.#closed(")");
    if (this.#takes("sign", "[")) return { type: "repeat", part: this.#closed("]"), least: 0, most: 1 };
    const { kind, text: word } = this.#next ?? {};
    if (kind === "directive" && !/^%(?:ignore|import|declare|override|extend)$/.test(word ?? ""))
      throw new UndoneLark(`${word} is not done`);
    if (kind === "sign" && /^[<@&{]$/.test(word ?? "")) throw new UndoneLark(`${word} is not done`);
    const name = this.#takes("name");
    return name === null ? null : { type: "name", name: name.text };
  }

  #closed(sign: string): LarkPart {
    const part = this.#choice();
    while (this.#takes("line"));
    this.#take("sign", sign);
    return part;
  }

  #textOrRange(written: string): LarkPart {
    const text = unquoted(written);
    if (!this.#takes("sign", "..")) return { type: "text", text, isFolded: written.endsWith("i") };
    return { type: "range", from: text, to: unquoted(this.#take("text").text) };
  }

  #checkNames(part: LarkPart): void {
    if (part.type === "name" && !this.#rules.has(part.name))
      throw new LarkError(`nothing is called ${part.name}`);
    if ("parts" in part) for (const one of part.parts) this.#checkNames(one);
    if (part.type === "repeat") this.#checkNames(part.part);
  }
}

/** Marks before a name say what trees look like. */
const nameOf = (written: string): string => written.replace(/^[!?]+/, "");

function unquoted(written: string): string {
  const json = written
    .slice(0, written.lastIndexOf('"') + 1)
    .replaceAll(/\\([^])/g, (escape, character: string) => {
      if (character === "x") return "\\u00";
      if (character === "'") return "'";
      return /["\\/bfnrtu]/.test(character) ? escape : `\\${escape}`;
    });
  try {
    return JSON.parse(json) as string;
  } catch {
    throw new LarkError(`${written} is no text`);
  }
}

/** `a: a x | y` is `a: y x*`. */
function withoutLeftRecursion(name: string, part: LarkPart): LarkPart {
  const branches = part.type === "choice" ? part.parts : [part];
  const first = (branch: LarkPart) => (branch.type === "sequence" ? branch.parts[0] : branch);
  const isRecursive = (branch: LarkPart) => {
    const begin = first(branch);
    return begin?.type === "name" && begin.name === name;
  };
  const more = branches.filter(isRecursive);
  if (more.length === 0) return part;
  const rests = more.map((branch): LarkPart => ({
    type: "sequence",
    parts: branch.type === "sequence" ? branch.parts.slice(1) : [],
  }));
  return {
    type: "sequence",
    parts: [
      { type: "choice", parts: branches.filter((branch) => !isRecursive(branch)) },
      { type: "repeat", part: { type: "choice", parts: rests }, least: 0, most: null },
    ],
  };
}
