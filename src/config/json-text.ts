import { deepestJson, jsonExcess } from "./json-size.js";

/**
 * Where in a JSON text things stand. `JSON.parse` gives a position only for some faults and some versions of
 * Node, accepts a key twice, and says nothing about where a value that a schema refuses was written.
 */

export interface JsonPosition {
  /** Line and column count from 1. */
  line: number;
  column: number;
}

type Path = readonly PropertyKey[];

export type ParsedJson =
  | { ok: true; value: unknown; positionOf(path: Path): JsonPosition }
  | { ok: false; message: string; position: JsonPosition };

const whitespace = /[ \t\n\r]*/y;
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

interface Fault {
  message: string;
  offset: number;
}

const keyOf = (path: Path): string => JSON.stringify(path.map(String));

/** Walks a JSON text once; `offsets` holds where each value begins, `fault` the first thing that is wrong. */
class JsonScanner {
  readonly offsets = new Map<string, number>();
  fault: Fault | null = null;
  #offset = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    // A byte order mark is not JSON, but editors write it.
    if (text.startsWith("\uFEFF")) this.#offset = 1;
    if (this.#value([]) && this.#offset < text.length) this.#fail("unexpected text after the end");
  }

  #fail(message: string, offset = this.#offset): false {
    this.fault ??= { message, offset };
    return false;
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.#text);
    if (found === null) return null;
    this.#offset = pattern.lastIndex;
    return found[0];
  }

  #take(character: string): boolean {
    if (this.#text[this.#offset] !== character) return false;
    this.#offset++;
    this.#match(whitespace);
    return true;
  }

  #unexpected(expected: string): false {
    const found = this.#text[this.#offset];
    return this.#fail(
      found === undefined
        ? `expected ${expected}, but the text ends`
        : `expected ${expected}, found ${JSON.stringify(found)}`,
    );
  }

  #value(path: Path): boolean {
    this.#match(whitespace);
    this.offsets.set(keyOf(path), this.#offset);
    if (path.length > deepestJson) return this.#fail(`nested deeper than ${deepestJson} levels`);
    if (this.#take("{")) return this.#object(path);
    if (this.#take("[")) return this.#array(path);
    if (this.#match(string) === null && this.#match(scalar) === null) return this.#unexpected("a value");
    this.#match(whitespace);
    return true;
  }

  #object(path: Path): boolean {
    const keys = new Set<string>();
    if (this.#take("}")) return true;
    do {
      const offset = this.#offset;
      const raw = this.#match(string);
      if (raw === null) return this.#unexpected('a key in double quotes or "}"');
      const key = JSON.parse(raw) as string;
      if (keys.has(key)) return this.#fail(`key ${JSON.stringify(key)} is given twice`, offset);
      keys.add(key);
      this.#match(whitespace);
      if (!this.#take(":")) return this.#unexpected('":"');
      if (!this.#value([...path, key])) return false;
    } while (this.#take(","));
    return this.#take("}") || this.#unexpected('"," or "}"');
  }

  #array(path: Path): boolean {
    if (this.#take("]")) return true;
    let index = 0;
    do {
      if (!this.#value([...path, index++])) return false;
    } while (this.#take(","));
    return this.#take("]") || this.#unexpected('"," or "]"');
  }
}

function toPosition(text: string, offset: number): JsonPosition {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

export function parseJsonText(text: string): ParsedJson {
  const excess = jsonExcess(Buffer.from(text), Infinity);
  if (excess !== null) return { ok: false, message: excess, position: { line: 1, column: 1 } };
  const scanner = new JsonScanner(text);
  if (scanner.fault !== null) {
    const { message, offset } = scanner.fault;
    return { ok: false, message, position: toPosition(text, offset) };
  }
  return {
    ok: true,
    value: JSON.parse(text.replace(/^\uFEFF/, "")),
    positionOf(path) {
      // A key that is missing stands nowhere: point at the object that lacks it.
      for (let length = path.length; length >= 0; length--) {
        const offset = scanner.offsets.get(keyOf(path.slice(0, length)));
        if (offset !== undefined) return toPosition(text, offset);
      }
      return { line: 1, column: 1 };
    },
  };
}
