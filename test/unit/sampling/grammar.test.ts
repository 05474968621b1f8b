import { describe, expect, test } from "vitest";
import { compileGrammar } from "../../../src/sampling/gbnf.js";
import { GrammarMachine } from "../../../src/sampling/grammar.js";
import { GrammarMask, TokenTable, withoutUnwritable } from "../../../src/sampling/grammar-mask.js";
import type { Vocabulary } from "../../../src/llama/types.js";

function takes(grammar: string, text: string | Uint8Array): boolean {
  const machine = new GrammarMachine(compileGrammar(grammar));
  const state = machine.follow(machine.start(), Buffer.from(text));
  return state >= 0 && machine.accepts(state);
}

test.each<[string, string[], string[]]>([
  ['root ::= "a" ("b" | "c")* # end\n', ["a", "abcb"], ["", "b", "ad"]],
  ['root ::= x{2} "-" x{1,2} "-" x{0,} \nx ::= [a-c]', ["ab-c-", "ab-cc-abc"], ["a-b-", "ab-abc-"]],
  ["root ::= [^a-z\\n]+ .?", ["AB1", "Éx"], ["a", "\n"]],
  ['root ::= "\\x41\\u00e9\\"" [\\]x-]', ['Aé"]', 'Aé"x'], ['Aé"y']],
  ['root ::= "(" root ")" | ""', ["", "(())"], ["(", "())"]],
])("%s", (grammar, good, bad) => {
  for (const text of good) expect(takes(grammar, text), text).toBe(true);
  for (const text of bad) expect(takes(grammar, text), text).toBe(false);
});

test("only whole UTF-8 is text", () => {
  const any = "root ::= .*";
  for (const bytes of [[0xc3, 0xa9], [0xf0, 0x9f, 0x98, 0x80], []])
    expect(takes(any, Uint8Array.from(bytes))).toBe(true);
  for (const bytes of [
    [0xc3],
    [0xc3, 0x22],
    [0xed, 0xa0, 0x80],
    [0xc0, 0x80],
    [0xf5, 0x80, 0x80, 0x80],
    [0x80],
  ])
    expect(takes(any, Uint8Array.from(bytes))).toBe(false);
});

/** Tokens: every byte, then all pairs and triples of letters. */
function letterTable(): TokenTable {
  const letters = Array.from("abcdefghijklmnopqrstuvwxyz");
  const pairs = letters.flatMap((a) => letters.map((b) => a + b));
  const texts = pairs.flatMap((pair) => [pair, ...letters.map((c) => pair + c)]);
  const tokens = [
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    ...texts.map((t) => Buffer.from(t)),
  ];
  const vocabulary = {
    bytes: (token: number) => tokens[token] ?? new Uint8Array(0),
    isEndOfGeneration: (token: number) => token === tokens.length,
  } as unknown as Vocabulary;
  return new TokenTable([vocabulary], tokens.length + 1);
}

describe("a hostile grammar costs little and is refused", () => {
  const letters = Array.from("abcdefghijklmnopqrstuvwxyz");
  test.each([
    ["it tells all texts apart", `root ::= ${letters.map((l, i) => `"${l}" root "${i}"`).join(" | ")} | "."`],
    ["it doubles at each character", 'root ::= "a" root "b" | "a" root "c" | "a" root "d" | "."'],
    [
      "it may stand anywhere",
      `root ::= (${Array.from({ length: 60 }, (_, i) => `([a-z] "${i}"?)*`).join(" ")}) "."`,
    ],
  ])("%s", (_name, grammar) => {
    const table = letterTable();
    const startMs = performance.now();
    const mask = new GrammarMask(withoutUnwritable(compileGrammar(grammar), table), table);
    const row = new Float32Array(table.size);
    let error: unknown = null;
    try {
      for (let count = 0; count < 30; count++) {
        mask.apply(row);
        mask.accept(97);
      }
    } catch (thrown) {
      error = thrown;
    }
    if (error !== null) expect(error).toMatchObject({ code: "invalid_request", param: "grammar" });
    expect(performance.now() - startMs).toBeLessThan(20_000);
  });
});

test("a long answer is followed with little memory", () => {
  const table = letterTable();
  const mask = new GrammarMask(compileGrammar('root ::= "(" root ")" | [a-z]*'), table);
  for (let count = 0; count < 20_000; count++) {
    expect(mask.allows(40)).toBe(true);
    mask.accept(40);
  }
  expect(mask.allows(41)).toBe(true);
});
