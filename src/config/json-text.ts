import jsonc, { type Node, type ParseError } from "jsonc-parser";
import { deepestJson, jsonExcess } from "./json-size.js";
import { type ParsedText, toPosition } from "./text-position.js";

/**
 * Where in a JSON text things stand. `JSON.parse` gives a position only for some faults and some versions of
 * Node, accepts a key twice, and says nothing about where a value that a schema refuses was written.
 */

/** By the parser's name for a fault. */
const expected: Readonly<Record<string, string>> = {
  ValueExpected: "a value",
  PropertyNameExpected: 'a key in double quotes or "}"',
  ColonExpected: '":"',
  CommaExpected: '"," or the end of the object or list',
  CloseBraceExpected: 'a key in double quotes, "," or "}"',
  CloseBracketExpected: 'a value, "," or "]"',
  InvalidSymbol: "a value, or a text in double quotes",
};
const refused: Readonly<Record<string, string>> = {
  EndOfFileExpected: "unexpected text after the end",
  InvalidCommentToken: "JSON has no comments",
  UnexpectedEndOfComment: "JSON has no comments",
  UnexpectedEndOfString: "a text without a closing double quote on its line",
  UnexpectedEndOfNumber: "a number that breaks off",
  InvalidUnicode: 'a text with a "\\u" that four hexadecimal digits do not follow',
  InvalidEscapeCharacter: 'a text with a "\\" that begins no escape of JSON',
  InvalidCharacter: "a text with a control character; write it as an escape",
};

function describeFault(text: string, { error, offset }: ParseError): string {
  const name = jsonc.printParseErrorCode(error);
  const found = offset < text.length ? `, found ${JSON.stringify(text[offset])}` : ", but the text ends";
  return refused[name] ?? `expected ${expected[name] ?? "JSON"}${found}`;
}

/** The first key, of those least deep, that its object has already. */
function repeatedKey(root: Node): Node | null {
  const nodes = [root];
  for (const node of nodes) {
    const keys = new Set<unknown>();
    for (const child of node.children ?? []) {
      const [key] = child.children ?? [];
      if (child.type === "property" && key) {
        if (keys.has(key.value)) return key;
        keys.add(key.value);
      }
      nodes.push(child);
    }
  }
  return null;
}

/** @param given objects and lists of at most `deepestJson` levels: the parser goes down by recursion */
export function parseJsonText(given: string): ParsedText {
  // A byte order mark is not JSON, but editors write it.
  const text = given.replace(/^\uFEFF/, "");
  const refuse = (message: string, offset = 0): ParsedText => ({
    ok: false,
    message,
    position: toPosition(text, offset),
  });
  const excess = jsonExcess(Buffer.from(text), deepestJson);
  if (excess !== null) return refuse(excess);
  const faults: ParseError[] = [];
  const root = jsonc.parseTree(text, faults, { disallowComments: true });
  const [fault] = faults;
  if (fault || !root) return refuse(fault ? describeFault(text, fault) : "it is empty", fault?.offset);
  const repeated = repeatedKey(root);
  if (repeated) return refuse(`key ${JSON.stringify(repeated.value)} is given twice`, repeated.offset);
  return {
    ok: true,
    value: JSON.parse(text),
    positionOf(path) {
      // A key that is missing stands nowhere: point at the object that lacks it.
      for (let length = path.length; length > 0; length--) {
        const node = jsonc.findNodeAtLocation(root, path.slice(0, length) as (string | number)[]);
        if (node) return toPosition(text, node.offset);
      }
      return toPosition(text, root.offset);
    },
  };
}
