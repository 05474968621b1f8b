/**
 * Bounds on the shape of JSON that others wrote, held before it is parsed: a text of 2 MiB can stand for a million
 * values or be nested as deep, and every reader after this one (the parser, schemas, the pipe to the engine) pays
 * for each of them with memory, time or stack.
 */

/** Objects and lists within each other, the outermost included. */
export const deepestJson = 64;
/** Numbers, texts and the like, objects and lists. */
export const mostJsonValues = 524_288;
/** Objects and lists, and the keys of objects: each costs some hundred bytes. */
export const mostJsonParts = 131_072;

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const openBrace = 0x7b;
const openBracket = 0x5b;
const closeBrace = 0x7d;
const closeBracket = 0x5d;

/**
 * What is too much in a JSON text, in one pass without recursion; null: nothing. The text need not be valid: what
 * the parser would refuse is counted as far as it looks like JSON.
 *
 * @param deepest Infinity where whoever reads it next has a bound of his own
 * @param bytes UTF-8, none of whose longer characters holds an ASCII byte
 */
export function jsonExcess(bytes: Uint8Array, deepest = deepestJson): string | null {
  let depth = 0;
  let numValues = 1;
  let numParts = 0;
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at] as number) {
      case quote:
        for (at++; at < bytes.length && bytes[at] !== quote; at++) if (bytes[at] === backslash) at++;
        break;
      case openBrace:
      case openBracket:
        // Its first value; the ones after it have commas before them.
        numValues++;
        numParts++;
        if (++depth > deepest)
          return `it is nested deeper than ${deepest} objects and lists; send it flatter`;
        break;
      case closeBrace:
      case closeBracket:
        if (depth > 0) depth--;
        break;
      case comma:
        numValues++;
        break;
      case colon:
        numParts++;
        break;
    }
    if (numParts > mostJsonParts)
      return `it has more than ${mostJsonParts} objects, lists and keys; send less at a time`;
    if (numValues > mostJsonValues) return `it has more than ${mostJsonValues} values; send less at a time`;
  }
  return null;
}
