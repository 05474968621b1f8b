import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileGrammar } from "../../../src/grammar/gbnf.js";
import { GrammarMachine } from "../../../src/grammar/machine.js";
import { GrammarMask } from "../../../src/grammar/grammar-mask.js";
import { TokenTable } from "../../../src/grammar/token-table.js";

function takes(grammar: string, text: string | Uint8Array): boolean {
  const machine = new GrammarMachine(compileGrammar(grammar));
  const state = machine.follow(machine.start(), Buffer.from(text));
  return state >= 0 && machine.accepts(state);
}

it.each<[string, string[], string[]]>([
  ['root ::= "a" ("b" | "c")* # end\n', ["a", "abcb"], ["", "b", "ad"]],
  ['root ::= x{2} "-" x{1,2} "-" x{0,} \nx ::= [a-c]', ["ab-c-", "ab-cc-abc"], ["a-b-", "ab-abc-"]],
  ["root ::= [^a-z\\n]+ .?", ["AB1", "Éx"], ["a", "\n"]],
  ['root ::= "\\x41\\u00e9\\"" [\\]x-]', ['Aé"]', 'Aé"x'], ['Aé"y']],
  ['root ::= "(" root ")" | ""', ["", "(())"], ["(", "())"]],
  ['root ::= [\\U0001F600-\\U0001F610] "\\u00E9"', ["😀é"], ["F600é", "🙂é"]],
])("%s", (grammar, good, bad) => {
  for (const text of good) expect(takes(grammar, text), text).toBe(true);
  for (const text of bad) expect(takes(grammar, text), text).toBe(false);
});

it("only whole UTF-8 is text", () => {
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

const point = fc.oneof(
  fc.constantFrom(0x41, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff),
  fc.integer({ min: 0, max: 0x10ffff }).filter((value) => value < 0xd800 || value > 0xdfff),
);
const ranges = fc.array(
  fc.tuple(point, fc.oneof(point, fc.constantFrom(0))).map(([a, b]): [number, number] => [a, Math.max(a, b)]),
  { minLength: 1, maxLength: 3 },
);

it("a character is read byte by byte as a regular expression reads it whole, whatever classes it may be of", () => {
  const classes = fc.array(fc.tuple(ranges, fc.boolean()), { minLength: 1, maxLength: 3 });
  const written = (range: [number, number][], isNegated: boolean, escape: (value: number) => string) =>
    `[${isNegated ? "^" : ""}${range.map(([low, high]) => `${escape(low)}-${escape(high)}`).join("")}]`;
  const gbnf = (value: number) => `\\U${value.toString(16).padStart(8, "0")}`;
  const regular = (value: number) => `\\u{${value.toString(16)}}`;
  fc.assert(
    fc.property(classes, fc.array(point, { maxLength: 20 }), (all, points) => {
      const rules = all.map(([range, isNegated], index) => `${written(range, isNegated, gbnf)} "${index}"`);
      const machine = new GrammarMachine(compileGrammar(`root ::= ${rules.join(" | ")}`));
      const near = all.flatMap(([range]) => range.flatMap(([low, high]) => [low - 1, low, high, high + 1]));
      const isPoint = (value: number) =>
        value >= 0 && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
      for (const value of [...points, ...near].filter(isPoint)) {
        const bytes = Buffer.from(String.fromCodePoint(value));
        const after = machine.follow(machine.start(), bytes);
        for (const [index, [range, isNegated]] of all.entries()) {
          const isTaken = after >= 0 && machine.follow(after, Buffer.from(String(index))) >= 0;
          const expected = new RegExp(`^${written(range, isNegated, regular)}$`, "u");
          expect(isTaken, `${value} of ${index}`).toBe(expected.test(String.fromCodePoint(value)));
        }
        // From the middle of a character some text leads to the end.
        const middle = machine.follow(machine.start(), bytes.subarray(0, -1));
        if (middle < 0 || bytes.length === 1) continue;
        const end = machine.shortestText(middle);
        expect(end).toHaveLength(machine.shortest(middle));
        expect(machine.accepts(machine.follow(middle, end))).toBe(true);
      }
    }),
  );
});

const allLetters = "abcdefghijklmnopqrstuvwxyz";

/** Tokens: every byte, then all pairs and triples of letters. */
function letterTable(from = allLetters): TokenTable {
  const letters = Array.from(from);
  const pairs = letters.flatMap((a) => letters.map((b) => a + b));
  const texts = pairs.flatMap((pair) => [pair, ...letters.map((c) => pair + c)]);
  const tokens = [
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    ...texts.map((t) => Buffer.from(t)),
  ];
  const vocabulary = { bytes: (token: number) => tokens[token] ?? new Uint8Array(0) };
  return new TokenTable(vocabulary, tokens.length + 1, (token) => token === tokens.length);
}

describe("a hostile grammar costs little and is refused", () => {
  const letters = Array.from(allLetters);
  it.each([
    ["it tells all texts apart", `root ::= ${letters.map((l, i) => `"${l}" root "${i}"`).join(" | ")} | "."`],
    ["it doubles at each character", 'root ::= "a" root "b" | "a" root "c" | "a" root "d" | "."'],
    [
      "it may stand anywhere",
      `root ::= (${Array.from({ length: 60 }, (_, i) => `([a-z] "${i}"?)*`).join(" ")}) "."`,
    ],
  ])("%s", (_name, grammar) => {
    const table = letterTable();
    const startMs = performance.now();
    const mask = new GrammarMask(compileGrammar(grammar, table), table);
    const row = new Float32Array(table.size);
    let error: unknown = null;
    try {
      for (let count = 0; count < 30; count++) {
        mask.apply(row, 1000);
        mask.accept(97);
      }
    } catch (thrown) {
      error = thrown;
    }
    if (error !== null) expect(error).toMatchObject({ code: "invalid_request", param: "grammar" });
    expect(performance.now() - startMs).toBeLessThan(20_000);
  });
});

it("a token that was given and does not fit is refused", () => {
  const mask = new GrammarMask(compileGrammar('root ::= "a" "b"'), letterTable());
  mask.accept(97);
  expect(() => {
    mask.accept(99);
  }).toThrow(expect.objectContaining({ code: "invalid_request", param: "fusion.continue" }));
});

it("a long answer is followed with little memory", () => {
  const table = letterTable();
  const mask = new GrammarMask(compileGrammar('root ::= "(" root ")" | [a-z]*'), table);
  for (let count = 0; count < 20_000; count++) {
    expect(mask.allows(40, 50_000)).toBe(true);
    mask.accept(40);
  }
  expect(mask.allows(41, 1)).toBe(true);
});

/** A random text of tokens that the mask allows, with `room` tokens at most. */
function drawWithin(mask: GrammarMask, table: TokenTable, room: number, seed: number): Uint8Array[] {
  const drawn: Uint8Array[] = [];
  let random = seed;
  while (drawn.length < room && !mask.isComplete) {
    const row = mask.apply(new Float32Array(table.size), room - drawn.length);
    const allowed = Array.from(row ?? []).flatMap((logit, token) => (logit === 0 ? [token] : []));
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    const token = allowed[Math.floor((random / 2 ** 32) * allowed.length)];
    if (token === undefined) throw new Error("no token is allowed");
    if (table.isEnd(token)) break;
    // What the sampler asks of a token that it has drawn is what the mask says.
    expect(mask.allows(token, room - drawn.length)).toBe(true);
    drawn.push(table.bytes(token));
    mask.accept(token);
  }
  return drawn;
}

it("the mask of a row says of each token what is said of it alone", () => {
  const parts = ["a", "b", "é", "漢", "字", "😀", ".", "1", '"'];
  const texts = [...parts, ...parts.flatMap((one) => parts.map((other) => one + other)), "", "abab", "aba"];
  // Also tokens that end, or begin, in the middle of a character; two with the same bytes; and one that ends answers.
  const halves = texts.flatMap((text) => [Buffer.from(text).subarray(0, -1), Buffer.from(text).subarray(1)]);
  const tokens = [...texts.map((text) => Buffer.from(text)), ...halves];
  for (let byte = 0; byte < 256; byte++) tokens.push(Buffer.of(byte));
  const vocabulary = { bytes: (token: number) => tokens[token] ?? new Uint8Array(0) };
  const table = new TokenTable(vocabulary, tokens.length + 1, (token) => token === tokens.length);
  const grammars = [
    "root ::= .*",
    "root ::= [^a.]{0,9} [.]",
    'root ::= ([a-c] root | "漢字"{1,3} | [^\\x00-\\x7f]) ["1]?',
    'root ::= ("a" | "ab" | "aba" [é-漢])* .',
  ];
  const seeds = fc.record({
    text: fc.constantFrom(...grammars),
    seed: fc.nat(),
    room: fc.integer({ min: 2, max: 12 }),
    left: fc.func(fc.double({ min: 0, max: 1, noNaN: true })),
    share: fc.constantFrom(0, 0.1, 0.9),
  });
  fc.assert(
    fc.property(seeds, ({ text, seed, room, left, share }) => {
      const grammar = compileGrammar(text, table);
      const mask = new GrammarMask(grammar, table);
      for (let drawn = 0; drawn < room && !mask.isComplete; drawn++) {
        const row = Float32Array.from({ length: table.size }, (_, token) =>
          left(drawn, token) < share ? -Infinity : token,
        );
        const masked = Array.from(
          mask.apply(row, room - drawn) ?? new Float32Array(table.size).fill(-Infinity),
        );
        const alone = Array.from(row, (logit, token) =>
          mask.allows(token, room - drawn) ? logit : -Infinity,
        );
        expect(masked).toEqual(alone);
        const allowed = masked.flatMap((logit, token) => (logit > -Infinity ? [token] : []));
        const token = allowed[(seed + drawn) % Math.max(1, allowed.length)];
        if (token === undefined || table.isEnd(token)) return;
        mask.accept(token);
      }
    }),
  );
});

describe("a text ends before its room does", () => {
  const table = letterTable("abcdefxyz");
  it.each<[name: string, grammar: string, fewestTokens: number]>([
    ["letters without end", 'root ::= "<" [a-z]* ">"', 2],
    ["groups without end", 'root ::= "(" root* ")"', 2],
    // Each of the six letters could be a token, and three at a time are one.
    ["text that is one token for each three letters", 'root ::= [a-z]* "=abcdef"', 3],
    ["what is long in bytes and in tokens not", `root ::= "-" ([a-z]{9} "!")? "abcabcabcabcabcabc"`, 7],
    ["characters of four bytes", 'root ::= [a-z]* [\\U0001F600-\\U0001F610] "."', 5],
    ["a choice of endings", 'root ::= [ab]* ("xyzxyz" | "." ["] | "1" root)', 2],
  ])("%s", (_name, text, fewestTokens) => {
    const grammar = compileGrammar(text, table);
    for (const room of [fewestTokens, fewestTokens + 1, fewestTokens + 2, fewestTokens + 9])
      for (let seed = 1; seed <= 10; seed++) {
        const written = Buffer.concat(drawWithin(new GrammarMask(grammar, table), table, room, seed));
        expect(takes(text, written), `${room}: ${written.toString()}`).toBe(true);
      }
    // One token less: no text fits, and the answer is cut as it comes.
    const cut = Buffer.concat(drawWithin(new GrammarMask(grammar, table), table, fewestTokens - 1, 1));
    expect(takes(text, cut)).toBe(false);
  });

  it("and is free until then", () => {
    const mask = new GrammarMask(compileGrammar('root ::= "<" [a-z]* ">"', table), table);
    mask.accept("<".charCodeAt(0));
    const tokenOf = (content: string) =>
      Array.from({ length: table.size }, (_, token) => token).find(
        (token) => Buffer.from(table.bytes(token)).toString() === content,
      )!;
    expect(mask.allows(tokenOf("abc"), 2)).toBe(true);
    expect(mask.allows(tokenOf("abc"), 1)).toBe(false);
    expect(mask.allows(tokenOf(">"), 1)).toBe(true);
  });

  it("a grammar whose shortest text is astronomically long is measured, and not written out", () => {
    const grammar = compileGrammar('root ::= ((("ab"{2000}){2000}){2000}){2000}', table);
    const mask = new GrammarMask(grammar, table);
    expect(Buffer.concat(drawWithin(mask, table, 4, 1)).toString()).toMatch(/^(ab)+a?$/);
  });

  it("a long chain of rules is measured in time that grows with its length", () => {
    const names = Array.from({ length: 20_000 }, (_, index) => index);
    const chain = names.map((index) => `r${index} ::= r${index + 1}`).join("\n");
    const startMs = performance.now();
    compileGrammar(`root ::= r0\n${chain}\nr${names.length} ::= "x"`, table);
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });
});

it("a vocabulary without single bytes is never led into a character that it cannot finish", () => {
  const texts = ["a", "b", ".", "é"].map((text) => Buffer.from(text));
  const tokens = [...texts, Uint8Array.of(0xf0)];
  const vocabulary = { bytes: (token: number) => tokens[token] ?? new Uint8Array(0) };
  const table = new TokenTable(vocabulary, tokens.length + 1, (token) => token === tokens.length);
  const mask = new GrammarMask(compileGrammar('root ::= .{2} "."', table), table);
  expect([0, 1, 2, 3, 4].map((token) => mask.allows(token, 5))).toEqual([true, true, true, true, false]);
});
