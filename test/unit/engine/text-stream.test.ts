import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CallOpening } from "../../../src/protocol/protocol.js";
import { TextStream, unfinishedBytes } from "../../../src/engine/text-stream.js";
import { numRuns } from "../../support/num-runs.js";

const encode = (text: string) => new TextEncoder().encode(text);

/** Feeds the pieces one token each and returns every release, the final flush last. */
function run(pieces: Uint8Array[], stops: string[]) {
  const stream = new TextStream<number>(stops);
  const releases = [];
  for (const [index, piece] of pieces.entries()) {
    releases.push(stream.push(index, piece));
    if (stream.stopFound !== null) return { stream, releases, text: releases.map((r) => r.text).join("") };
  }
  releases.push(stream.finish());
  return { stream, releases, text: releases.map((r) => r.text).join("") };
}

function cut(bytes: Uint8Array, at: number[]): Uint8Array[] {
  const points = [
    0,
    ...[...new Set(at.map((point) => point % (bytes.length + 1)))].sort((a, b) => a - b),
    bytes.length,
  ];
  return points.slice(1).map((end, index) => bytes.slice(points[index], end));
}

describe("unfinishedBytes", () => {
  it.each([
    [[0x61], 0],
    [[0xc3], 1],
    [[0xc3, 0xa9], 0],
    [[0xe2, 0x82], 2],
    [[0xe2, 0x82, 0xac], 0],
    [[0x61, 0xf0, 0x9f, 0x98], 3],
    [[0xf0, 0x9f, 0x98, 0x80], 0],
    [[0x80, 0x80], 0],
    [[0xf4, 0x90], 0],
    [[0xed, 0xa0], 0],
    [[0xc0], 0],
    [[], 0],
  ])("of %j is %i", (bytes, expected) => {
    expect(unfinishedBytes(Uint8Array.from(bytes))).toBe(expected);
  });
});

describe("TextStream", () => {
  it("holds a character back until its last byte, and then shows both tokens", () => {
    const stream = new TextStream<string>([]);
    const [first, second] = [encode("€").slice(0, 2), encode("€").slice(2)];
    expect(stream.push("a", first)).toEqual({ text: "", tokens: [] });
    expect(stream.push("b", second)).toEqual({ text: "€", tokens: ["a", "b"] });
  });

  it("holds back what may begin a stop string, and shows it when it does not", () => {
    const stream = new TextStream<string>(["\n\n"]);
    expect(stream.push("a", encode("x\n"))).toEqual({ text: "x", tokens: [] });
    expect(stream.push("b", encode("y"))).toEqual({ text: "\ny", tokens: ["a", "b"] });
  });

  it("drops the stop string and keeps the tokens that were never shown apart", () => {
    const stream = new TextStream<string>(["END"]);
    stream.push("a", encode("hi"));
    expect(stream.push("b", encode("E"))).toEqual({ text: "", tokens: [] });
    expect(stream.push("c", encode("ND"))).toEqual({ text: "", tokens: [] });
    expect(stream.stopFound).toBe("END");
    expect(stream.takeHidden()).toEqual(["b", "c"]);
    expect(stream.finish()).toEqual({ text: "", tokens: [] });
  });

  it("shows a token that is cut by a stop string as far as it goes", () => {
    const stream = new TextStream<string>(["\n"]);
    expect(stream.push("a", encode("yes\nno"))).toEqual({ text: "yes", tokens: ["a"] });
    expect(stream.takeHidden()).toEqual([]);
  });

  it("gives held text back when the tokens end", () => {
    const stream = new TextStream<string>(["END"]);
    stream.push("a", encode("EN"));
    expect(stream.finish()).toEqual({ text: "EN", tokens: ["a"] });
  });

  it("marks a character that never ends", () => {
    const stream = new TextStream<string>([]);
    stream.push("a", encode("é").slice(0, 1));
    expect(stream.finish()).toEqual({ text: "\uFFFD", tokens: ["a"] });
  });

  it("shows tokens without bytes", () => {
    const stream = new TextStream<string>([]);
    expect(stream.push("control", new Uint8Array(0))).toEqual({ text: "", tokens: ["control"] });
  });

  it("gives any text back whole, wherever it is cut", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.array(fc.nat(200)), (text, at) => {
        const { text: shown, releases } = run(cut(encode(text), at), []);
        expect(shown).toBe(text);
        for (const release of releases) expect(release.text.isWellFormed()).toBe(true);
      }),
    );
  });

  it("gives any bytes the reading of a decoder that sees them at once", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(fc.nat(40)), (bytes, at) => {
        // Bytes that end in the middle of a character may show as one or several U+FFFD.
        const whole = bytes.subarray(0, bytes.length - unfinishedBytes(bytes));
        const expected = new TextDecoder("utf-8", { ignoreBOM: true }).decode(whole);
        expect(run(cut(whole, at), []).text).toBe(expected);
      }),
      { numRuns: numRuns(2000) },
    );
  });

  it("never shows a part of a stop string, and everything before it", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "é"), minLength: 1, maxLength: 4 });
    const text = fc.string({ unit: fc.constantFrom("a", "b", "é"), maxLength: 30 });
    fc.assert(
      fc.property(
        text,
        fc.array(word, { minLength: 1, maxLength: 3 }),
        fc.array(fc.nat(60)),
        (all, stops, at) => {
          // Bytes come in one by one or in pieces: the first stop string to be complete ends the text.
          const bytes = encode(all);
          const oneByOne = run(
            [...bytes].map((byte) => Uint8Array.of(byte)),
            stops,
          );
          const complete = oneByOne.stream.stopFound;
          if (complete === null) expect(oneByOne.text).toBe(all);
          else {
            expect(all.startsWith(oneByOne.text + complete)).toBe(true);
            for (const stop of stops) expect(oneByOne.text.includes(stop)).toBe(false);
          }
          const inPieces = run(cut(bytes, at), stops);
          if (complete === null) expect(inPieces.text).toBe(all);
          else expect(stops.some((stop) => inPieces.text.includes(stop))).toBe(false);
        },
      ),
    );
  });

  it("accounts for every token exactly once", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 20 }), fc.array(fc.nat(80)), (text, at) => {
        const pieces = cut(encode(text), at);
        const { stream, releases } = run(pieces, ["b", "ab"]);
        const seen = [...releases.flatMap((release) => release.tokens), ...stream.takeHidden()];
        expect(seen).toEqual([...seen.keys()]);
      }),
    );
  });
});

describe("where calls of functions begin", () => {
  const qwen: CallOpening = { texts: ['<tool_call>\n{"name": "'], leading: [] };
  const llama: CallOpening = { texts: [], leading: ['{"name": "'] };
  const call = '<tool_call>\n{"name": "f", "arguments": {"person": "school\\n"}}\n</tool_call>';

  it.each<[string, string[], typeof qwen, string, string | null]>([
    [call, ["school"], qwen, call, null],
    [call, ["\n"], qwen, call, null],
    [`Well.${call}`, ["\n", "<tool_call>"], qwen, `Well.${call}`, null],
    [`At school${call}`, ["school"], qwen, "At ", "school"],
    ["<tool_call>\nno", ["\n"], qwen, "<tool_call>", "\n"],
    ["<tool_call>\n", ["\n"], qwen, "<tool_call>", "\n"],
    ["a < b\nc", ["\n"], qwen, "a < b", "\n"],
    [
      '{"name": "f", "parameters": {"a": "b"}}',
      ["b", '"'],
      llama,
      '{"name": "f", "parameters": {"a": "b"}}',
      null,
    ],
    ['{"nam": 3} b', ["b"], llama, '{"nam": 3} ', "b"],
    ['So {"name": "b', ["b"], llama, 'So {"name": "', "b"],
  ])("%j with stops %j", (text, stops, opening, shown, stopFound) => {
    for (const size of [1, 3, 7, 1000]) {
      const stream = new TextStream<number>(stops, opening);
      let said = "";
      for (let at = 0; at < text.length && stream.stopFound === null; at += size)
        said += stream.push(at, encode(text.slice(at, at + size))).text;
      said += stream.finish().text;
      expect([said, stream.stopFound], `in pieces of ${size}`).toEqual([shown, stopFound]);
    }
  });
});
