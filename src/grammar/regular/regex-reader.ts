import {
  allPoints,
  complement,
  intersect,
  noPoints,
  pointAt,
  pointsIn,
  pointsOf,
  union,
  type CodePoints,
} from "./code-points.js";
import { choice, NotRegular, repeat, sequence, set, type Expression } from "./expression.js";

/**
 * Reads regular expressions as ECMAScript has them with the flag `u`, which is what JSON Schema means by `pattern`.
 * What is not regular (looking around, going back) or needs to know its neighbours (`\b`) is not read.
 */

const digits = pointsOf([[0x30, 0x39]]);
const wordCharacters = union(digits, pointsOf([[0x41, 0x5a]]), pointsOf([[0x61, 0x7a]]), pointsIn("_"));
const spaces = pointsIn(
  "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff",
);
const lineEnds = pointsIn("\n\r\u2028\u2029");
const classOf: Record<string, CodePoints> = {
  d: digits,
  D: complement(digits),
  w: wordCharacters,
  W: complement(wordCharacters),
  s: spaces,
  S: complement(spaces),
};
const controls: Record<string, string> = { t: "\t", n: "\n", v: "\v", f: "\f", r: "\r", "0": "\0" };

/** Above this, properties of characters are not looked up: a text may have them below only. */
const lastOfProperties = 0x24f;
const deepest = 50;
const mostRepetitions = 1_000;

/** @throws NotRegular */
export function readRegex(pattern: string): Expression {
  try {
    // Whatever this reader makes of it, what is no regular expression has no meaning.
    new RegExp(pattern, "u");
  } catch {
    throw new NotRegular("it is no regular expression");
  }
  return new RegexReader(pattern).read();
}

class RegexReader {
  readonly #characters: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(pattern: string) {
    this.#characters = Array.from(pattern);
  }

  read(): Expression {
    return this.#choice();
  }

  get #next(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(): string {
    return this.#characters[this.#at++] ?? "";
  }

  #takes(text: string): boolean {
    const isNext = this.#characters.slice(this.#at, this.#at + text.length).join("") === text;
    if (isNext) this.#at += text.length;
    return isNext;
  }

  #choice(): Expression {
    if (++this.#depth > deepest) throw new NotRegular("it is nested too deep");
    const branches = [this.#sequence()];
    while (this.#takes("|")) branches.push(this.#sequence());
    this.#depth--;
    return branches.length === 1 ? (branches[0] as Expression) : choice(...branches);
  }

  #sequence(): Expression {
    const parts: Expression[] = [];
    while (this.#next !== undefined && this.#next !== "|" && this.#next !== ")") parts.push(this.#repeated());
    return sequence(...parts);
  }

  #repeated(): Expression {
    const part = this.#part();
    const [least, most] = this.#count() ?? [1, 1];
    if (least === 1 && most === 1) return part;
    this.#takes("?");
    if (Math.max(least, most ?? 0) > mostRepetitions) throw new NotRegular("it repeats something too often");
    return repeat(part, least, most);
  }

  #count(): [least: number, most: number | null] | null {
    if (this.#takes("*")) return [0, null];
    if (this.#takes("+")) return [1, null];
    if (this.#takes("?")) return [0, 1];
    if (!this.#takes("{")) return null;
    const least = this.#number();
    if (!this.#takes(",")) return this.#closed([least, least]);
    return this.#closed([least, this.#next === "}" ? null : this.#number()]);
  }

  #closed<Value>(value: Value): Value {
    this.#take();
    return value;
  }

  #number(): number {
    let text = "";
    while (/^\d$/.test(this.#next ?? "")) text += this.#take();
    return Number(text);
  }

  #part(): Expression {
    const character = this.#take();
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return set(this.#class());
      case ".":
        return set(complement(lineEnds));
      case "^":
        return { type: "start" };
      case "$":
        return { type: "end" };
      case "\\":
        return set(this.#escape());
      default:
        return set(pointsIn(character));
    }
  }

  #group(): Expression {
    if (this.#takes("?")) {
      if (this.#takes("<") && this.#next !== "=" && this.#next !== "!") while (this.#take() !== ">");
      else if (!this.#takes(":")) throw new NotRegular("it looks around");
    }
    return this.#closed(this.#choice());
  }

  /** What is between brackets. */
  #class(): CodePoints {
    const isNegated = this.#takes("^");
    const sets: CodePoints[] = [];
    let hasProperties = false;
    while (!this.#takes("]")) {
      hasProperties ||= this.#next === "\\" && /^[pP]$/.test(this.#characters[this.#at + 1] ?? "");
      const first = this.#classPart();
      if (this.#next !== "-" || this.#characters[this.#at + 1] === "]") {
        sets.push(first);
        continue;
      }
      this.#take();
      const last = this.#classPart();
      sets.push(pointsOf([[first[0]?.[0] ?? 0, last[0]?.[0] ?? 0]]));
    }
    const points = union(...sets);
    if (!isNegated) return points;
    return hasProperties ? intersect(complement(points), lowPoints) : complement(points);
  }

  #classPart(): CodePoints {
    const character = this.#take();
    if (character !== "\\") return pointsIn(character);
    return this.#takes("b") ? pointsIn("\b") : this.#escape();
  }

  #escape(): CodePoints {
    const character = this.#take();
    const known = classOf[character];
    if (known !== undefined) return known;
    if (controls[character] !== undefined) return pointsIn(controls[character]);
    if (character === "c") return pointsOf([pair(pointAt(this.#take()) % 32)]);
    if (character === "x") return pointsOf([pair(this.#hex(2))]);
    if (character === "u") return this.#unicode();
    if (character === "p" || character === "P") return this.#property(character);
    if (/^[1-9k]$/.test(character)) throw new NotRegular("it goes back to what was before");
    if (/^[bB]$/.test(character)) throw new NotRegular("it looks around");
    return pointsIn(character);
  }

  #hex(length: number): number {
    const text = this.#characters.slice(this.#at, this.#at + length).join("");
    this.#at += length;
    return parseInt(text, 16);
  }

  #unicode(): CodePoints {
    if (this.#takes("{")) {
      let text = "";
      while (this.#next !== "}") text += this.#take();
      this.#take();
      return pointsOf([pair(parseInt(text, 16))]);
    }
    const first = this.#hex(4);
    if (first < 0xd800 || first > 0xdbff || !this.#takes("\\u")) return pointsOf([pair(first)]);
    return pointsOf([pair(pointAt(String.fromCharCode(first, this.#hex(4))))]);
  }

  #property(letter: string): CodePoints {
    let name = "";
    while (!name.endsWith("}")) name += this.#take();
    const pattern = new RegExp(`^\\${letter}${name}$`, "u");
    const points = Array.from({ length: lastOfProperties + 1 }, (_, point) => point);
    return pointsOf(points.filter((point) => pattern.test(String.fromCodePoint(point))).map(pair));
  }
}

const lowPoints = intersect(allPoints, [[0, lastOfProperties]]);
const pair = (point: number): [number, number] => [point, point];

/** Nothing fits it. */
export const never: Expression = set(noPoints);
