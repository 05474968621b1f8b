import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseJsonText } from "../../../src/config/json-text.js";
import { numRuns } from "../../support/num-runs.js";

describe("parseJsonText", () => {
  it("reads every JSON text as JSON.parse does", () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(undefined, 2), (text, indent) => {
        const pretty = JSON.stringify(JSON.parse(text), null, indent);
        const parsed = parseJsonText(pretty);
        expect(parsed.ok && parsed.value).toEqual(JSON.parse(pretty));
      }),
    );
  });

  it("refuses what JSON.parse refuses, and nothing else", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"a"',
      '"b"',
      "1",
      "-",
      "01",
      "true",
      "nul",
      " ",
      "\n",
      "\u00a0",
      "\f",
      "//",
      '"\\u12"',
      "1e",
      '"\u0001"',
      '"\u2028"',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
        const text = parts.join("");
        let accepted = true;
        try {
          JSON.parse(text);
        } catch {
          accepted = false;
        }
        const parsed = parseJsonText(text);
        if (parsed.ok) expect(accepted).toBe(true);
        else expect(accepted && !parsed.message.includes("twice")).toBe(false);
      }),
      { numRuns: numRuns(2000) },
    );
  });

  it.each([
    ["", "1:1", "expected a value, but the text ends"],
    ["{\n  a: 1\n}", "2:3", 'expected a value, or a text in double quotes, found "a"'],
    ["{1: 2}", "1:2", 'expected a key in double quotes or "}", found "1"'],
    ['{"a": 1,}', "1:9", 'expected a key in double quotes or "}", found "}"'],
    ['{"a": 1\n "b": 2}', "2:2", 'expected "," or the end of the object or list, found "\\""'],
    ['{"a" 1}', "1:6", 'expected ":", found "1"'],
    ["[1 2]", "1:4", 'expected "," or the end of the object or list, found "2"'],
    ["[1", "1:3", 'expected a value, "," or "]", but the text ends'],
    ['{"a": 1 // one\n}', "1:9", "JSON has no comments"],
    ['["a\n"]', "1:2", "a text without a closing double quote on its line"],
    ['["\\x"]', "1:2", 'a text with a "\\" that begins no escape of JSON'],
    ["[1.]", "1:2", "a number that breaks off"],
    ["{} {}", "1:4", "unexpected text after the end"],
    ['{"a": 1, "a": 2}', "1:10", 'key "a" is given twice'],
    ["[".repeat(100_000), "1:1", "it is nested deeper than 64 objects and lists; send it flatter"],
    ["'a'", "1:1", 'expected a value, or a text in double quotes, found "\'"'],
  ])("%j: %s %s", (text, at, message) => {
    const parsed = parseJsonText(text);
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) {
      expect(parsed.message).toBe(message);
      expect(`${parsed.position.line}:${parsed.position.column}`).toBe(at);
    }
  });

  it("tells where a value stands, and for a missing one where its parent does", () => {
    const parsed = parseJsonText('{\n  "a": [1, {"b": null}],\n  "__proto__": 3\n}');
    expect(parsed.ok).toBe(true);
    if (!parsed.ok) return;
    expect(parsed.positionOf(["a", 1, "b"])).toEqual({ line: 2, column: 18 });
    expect(parsed.positionOf(["a", 1, "missing"])).toEqual({ line: 2, column: 12 });
    expect(parsed.positionOf(["__proto__"])).toEqual({ line: 3, column: 16 });
    expect(parsed.positionOf([])).toEqual({ line: 1, column: 1 });
  });

  it("reads past a byte order mark", () => {
    const parsed = parseJsonText('\uFEFF{"a": 1}');
    expect(parsed.ok && parsed.value).toEqual({ a: 1 });
  });
});
