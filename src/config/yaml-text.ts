import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  CST,
  parseDocument,
  type Alias,
  type Node,
  type Scalar,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import { deepestJson, mostJsonParts, mostJsonValues } from "./json-size.js";
import { type ParsedText, toPosition } from "./text-position.js";

/**
 * YAML 1.2 as far as it stands for JSON, within the bounds of JSON: anchors and aliases are read, and what they repeat
 * counts each time.
 */

/** What is refused about a text, at an offset of it. */
class YamlFault extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** Words and signs of a text: the parser takes a second for some hundred thousands. */
const mostLexemes = 65_536;

const tooDeep = `it is nested deeper than ${deepestJson} maps and lists; write it flatter`;

/**
 * Looks at length and depth before the parser goes down by recursion: brackets within each other, and the columns at
 * which blocks begin.
 */
function checkSize(text: string): void {
  let numLexemes = 0;
  let numBrackets = 0;
  let columns: number[] = [];
  let offset = 0;
  let lineStart = 0;
  let isFirst = true;
  for (const lexeme of new Lexer().lex(text)) {
    const type = CST.tokenType(lexeme);
    if (++numLexemes > mostLexemes)
      throw new YamlFault(`it has more than ${mostLexemes} words and signs; write less, or JSON`, offset);
    // Marks of the lexer's own, which are no text.
    if (type === "doc-mode" || type === "flow-error-end" || type === "scalar") continue;
    if (type === "flow-map-start" || type === "flow-seq-start") numBrackets++;
    if (type === "flow-map-end" || type === "flow-seq-end") numBrackets--;
    const opensBlock = type === "seq-item-ind" || type === "explicit-key-ind";
    if (type !== "space" && type !== "newline" && (isFirst || opensBlock)) {
      const column = offset - lineStart;
      columns = [...columns.filter((other) => other < column), column];
      isFirst = false;
    }
    if (columns.length + Math.max(0, numBrackets) > deepestJson) throw new YamlFault(tooDeep, offset);
    const lineEnd = lexeme.lastIndexOf("\n");
    if (lineEnd >= 0) {
      lineStart = offset + lineEnd + 1;
      isFirst = true;
    }
    offset += lexeme.length;
  }
}

/** Nodes that may be named. */
const isNode = (node: Node | null): node is Scalar | YAMLMap | YAMLSeq =>
  isScalar(node) || isMap(node) || isSeq(node);

/** What a node stands for, as `JSON.parse` would give it. */
class Reader {
  /** The nodes that have been named so far. */
  readonly #anchors = new Map<string, Node>();
  readonly #aliasToNode = new Map<Node, Node>();
  #numValues = 0;
  #numParts = 0;

  read(node: Node | null, depth = 0): unknown {
    const offset = node?.range?.[0] ?? 0;
    if (depth > deepestJson) throw new YamlFault(tooDeep, offset);
    if (++this.#numValues > mostJsonValues)
      throw new YamlFault(`it has more than ${mostJsonValues} values, repeated ones included`, offset);
    if (isAlias(node)) return this.read(this.#named(node), depth + 1);
    if (isNode(node) && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return node.value;
    if (isSeq(node)) {
      this.#count(offset);
      return node.items.map((item) => this.read(item as Node, depth + 1));
    }
    return isMap(node) ? this.#readMap(node, depth) : null;
  }

  resolve(node: Node | null | undefined): Node | null | undefined {
    return isAlias(node) ? this.#aliasToNode.get(node) : node;
  }

  /** A key as a text; null: it is something else. */
  keyOf(key: unknown): string | null {
    const node = isAlias(key) ? this.#named(key) : key;
    const value = isScalar(node) ? node.value : null;
    return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
      ? String(value)
      : null;
  }

  #named(alias: Alias): Node {
    const node = this.#aliasToNode.get(alias) ?? this.#anchors.get(alias.source);
    if (node === undefined)
      throw new YamlFault(`nothing before it is called &${alias.source}`, alias.range?.[0] ?? 0);
    this.#aliasToNode.set(alias, node);
    return node;
  }

  #readMap(
    map: { items: { key: unknown; value: unknown }[]; range?: Node["range"] },
    depth: number,
  ): unknown {
    this.#count(map.range?.[0] ?? 0);
    const entries = new Map<string, unknown>();
    for (const { key, value } of map.items) {
      const offset = (key as Node | null)?.range?.[0] ?? map.range?.[0] ?? 0;
      if (isScalar(key) && key.anchor !== undefined) this.#anchors.set(key.anchor, key);
      const name = this.keyOf(key);
      if (name === null) throw new YamlFault("a key that is no text", offset);
      if (entries.has(name)) throw new YamlFault(`key ${JSON.stringify(name)} is given twice`, offset);
      this.#count(offset);
      entries.set(name, this.read(value as Node | null, depth + 1));
    }
    return Object.fromEntries(entries);
  }

  #count(offset: number): void {
    if (++this.#numParts > mostJsonParts)
      throw new YamlFault(
        `it has more than ${mostJsonParts} maps, lists and keys, repeated ones included`,
        offset,
      );
  }
}

/** Where the value at a path stands; one that is missing: the map that lacks it. */
function offsetOf(reader: Reader, root: Node | null, path: readonly PropertyKey[]): number {
  let at = root;
  let offset = root?.range?.[0] ?? 0;
  for (const step of path) {
    const node = reader.resolve(at);
    let next: unknown;
    if (isSeq(node)) next = node.items[Number(step)];
    else if (isMap(node)) {
      const pair = node.items.find(({ key }) => reader.keyOf(key) === String(step));
      if (pair !== undefined) offset = (pair.key as Node | null)?.range?.[0] ?? offset;
      next = pair?.value;
    }
    if (next === undefined || next === null) break;
    at = next as Node;
    offset = at.range?.[0] ?? offset;
  }
  return offset;
}

export function parseYamlText(given: string): ParsedText {
  const text = given.replace(/^\uFEFF/, "");
  try {
    checkSize(text);
    // Keys that are given twice are looked for below, in linear time.
    const document = parseDocument(text, { prettyErrors: false, uniqueKeys: false });
    const [fault] = [...document.errors, ...document.warnings];
    if (fault !== undefined) throw new YamlFault(fault.message, fault.pos[0]);
    const root = document.contents as Node | null;
    if (root === null) throw new YamlFault("it is empty", 0);
    const reader = new Reader();
    return {
      ok: true,
      value: reader.read(root),
      positionOf: (path) => toPosition(text, offsetOf(reader, root, path)),
    };
  } catch (error) {
    if (!(error instanceof YamlFault)) throw error;
    return { ok: false, message: error.message, position: toPosition(text, error.offset) };
  }
}
