/** A template's text as tokens, white space taken out as jinja2 does with `trim_blocks` and `lstrip_blocks`. */

export interface Token {
  type:
    | "data"
    | "blockBegin"
    | "blockEnd"
    | "variableBegin"
    | "variableEnd"
    | "name"
    | "string"
    | "integer"
    | "float"
    | "operator"
    | "end";
  value: string;
  line: number;
}

/** What Python takes for white space. */
export const space =
  "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";

const patterns = {
  space: new RegExp(`${space}+`, "y"),
  number:
    /(?<integer>0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\da-fA-F])+)|(?:\d+_)*\d+(?<fraction>\.(?:\d+_)*\d+)?(?<exponent>[eE][+-]?(?:\d+_)*\d+)?/y,
  name: /[\p{L}\p{N}\p{M}_]+/uy,
  string: /'([^'\\]*(?:\\[^][^'\\]*)*)'|"([^"\\]*(?:\\[^][^"\\]*)*)"/y,
  operator: /\/\/|\*\*|==|!=|>=|<=|[+\-/*%~[\](){}><=.:|,;]/y,
  blockEnd: new RegExp(`-%\\}${space}*|\\+%\\}|%\\}\\n?`, "y"),
  variableEnd: new RegExp(`-\\}\\}${space}*|\\}\\}`, "y"),
  comment: new RegExp(`[^]*?(?:-#\\}${space}*|\\+#\\}|#\\}\\n?)`, "y"),
  begin: /\{[%{#]/g,
  rawBegin: new RegExp(`[-+]?${space}*raw${space}*(?:-%\\}${space}*|%\\})`, "y"),
  rawEnd: new RegExp(`\\{%([-+]?)${space}*endraw${space}*(?:-%\\}${space}*|\\+%\\}|%\\}\\n?)`, "g"),
};
const trailingSpace = new RegExp(`${space}+$`);
const blank = new RegExp(`^${space}+$`);

const closing: Record<string, string> = { "(": ")", "[": "]", "{": "}" };

/** @throws SyntaxError that says in which line */
export function tokenize(source: string): Token[] {
  return new Lexer(source.replaceAll(/\r\n?/g, "\n").replace(/\n$/, "")).read();
}

class Lexer {
  readonly #text: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  #countedTo = 0;
  /** What was read last ended a line. */
  #isLineStart = true;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Token[] {
    while (this.#at < this.#text.length) {
      patterns.begin.lastIndex = this.#at;
      const found = patterns.begin.exec(this.#text);
      if (found === null) {
        this.#push("data", this.#text.slice(this.#at));
        break;
      }
      this.#data(found.index, this.#text[found.index + 2] ?? "", found[0] === "{{");
      this.#at = found.index + 2;
      if (found[0] === "{#") this.#skipComment();
      else if (found[0] === "{{") this.#code("variableBegin", "variableEnd");
      else if (!this.#raw()) this.#code("blockBegin", "blockEnd");
    }
    this.#push("end", "");
    return this.#tokens;
  }

  /** Text up to a tag, without the white space that the tag takes away. */
  #data(end: number, sign: string, isVariable: boolean): void {
    let text = this.#text.slice(this.#at, end);
    if (sign === "-") text = text.replace(trailingSpace, "");
    else if (sign !== "+" && !isVariable) {
      const lineStart = text.lastIndexOf("\n") + 1;
      if ((lineStart > 0 || this.#isLineStart) && blank.test(text.slice(lineStart)))
        text = text.slice(0, lineStart);
    }
    if (text !== "") this.#push("data", text);
    this.#at = end;
  }

  #skipComment(): void {
    if (this.#take(patterns.comment) === null) throw this.#fault("a comment does not end");
  }

  #raw(): boolean {
    if (this.#take(patterns.rawBegin) === null) return false;
    patterns.rawEnd.lastIndex = this.#at;
    const end = patterns.rawEnd.exec(this.#text);
    if (end === null) throw this.#fault("a raw block does not end");
    this.#data(end.index, end[1] ?? "", false);
    this.#at = end.index + end[0].length;
    this.#isLineStart = end[0].endsWith("\n");
    return true;
  }

  #code(begin: "blockBegin" | "variableBegin", end: "blockEnd" | "variableEnd"): void {
    this.#push(begin, "");
    if (/[-+]/.test(this.#text[this.#at] ?? "")) this.#at++;
    const open: string[] = [];
    for (;;) {
      this.#take(patterns.space);
      if (this.#at >= this.#text.length) throw this.#fault("a tag does not end");
      if (open.length === 0 && this.#take(patterns[end]) !== null) break;
      this.#token(open);
    }
    this.#push(end, "");
  }

  #token(open: string[]): void {
    const number = this.#take(patterns.number);
    if (number !== null) {
      const isFloat = (number.groups?.["fraction"] ?? number.groups?.["exponent"]) !== undefined;
      this.#push(isFloat ? "float" : "integer", number[0].replaceAll("_", ""));
      return;
    }
    const name = this.#take(patterns.name);
    if (name !== null) {
      this.#push("name", name[0]);
      return;
    }
    const string = this.#take(patterns.string);
    if (string !== null) {
      this.#push("string", unescaped(string[1] ?? string[2] ?? ""));
      return;
    }
    const operator = this.#take(patterns.operator)?.[0];
    if (operator === undefined)
      throw this.#fault(`unexpected character ${JSON.stringify(this.#text[this.#at])}`);
    if (operator in closing) open.push(closing[operator] as string);
    else if (/^[)\]}]$/.test(operator) && open.pop() !== operator)
      throw this.#fault(`unexpected '${operator}'`);
    this.#push("operator", operator);
  }

  #take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return null;
    this.#at += found[0].length;
    this.#isLineStart = found[0].endsWith("\n");
    return found;
  }

  #push(type: Token["type"], value: string): void {
    for (let at = this.#countedTo; at < this.#at; at++) if (this.#text[at] === "\n") this.#line++;
    this.#countedTo = Math.max(this.#countedTo, this.#at);
    this.#tokens.push({ type, value, line: this.#line });
  }

  #fault(what: string): SyntaxError {
    this.#push("end", "");
    return new SyntaxError(`line ${this.#line}: ${what}`);
  }
}

const escapes: Record<string, string> = {
  n: "\n",
  t: "\t",
  r: "\r",
  b: "\b",
  f: "\f",
  v: "\v",
  a: "\x07",
  "'": "'",
  '"': '"',
  "\\": "\\",
  "\n": "",
};

/** Python's escapes; an unknown one stays as it is. */
function unescaped(text: string): string {
  return text.replaceAll(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([^]))/g,
    (whole, x?: string, u?: string, long?: string, octal?: string, one?: string) => {
      const hex = x ?? u ?? long;
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      return escapes[one ?? ""] ?? whole;
    },
  );
}
