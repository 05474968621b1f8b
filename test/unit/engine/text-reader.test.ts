import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { type ReadVocabulary, TextReader } from "../../../src/engine/own/text-reader.js";
import { greedyTokens } from "../../support/greedy-tokens.js";

/** What is read of two vocabularies that share nothing but text. */

/** Of all texts of some letters, the longest of which is read. */
function vocabularyOf(texts: readonly string[]): ReadVocabulary {
  const tokenize = greedyTokens(texts);
  return {
    ...{ size: texts.length, ends: [], rawText: (token: number) => texts[token]!, tokenize },
    bytes: (token) => Buffer.from(texts[token]!),
  };
}

const letters = Array.from("abcdefgh");
const pairs = letters.flatMap((one) => letters.map((other) => one + other));
const base = vocabularyOf([...letters, ...pairs.flatMap((pair) => letters.map((one) => pair + one))]);
const own = vocabularyOf([...letters, ...pairs]);

it("static parts are made in parts between which others have their turn, and are those that are made at once", async () => {
  const [atOnce, inParts] = [new TextReader(base, own), new TextReader(base, own)];
  let [numParts, numTurns, isMade] = [0, 0, false];
  const others = (async () => {
    for (; !isMade; numTurns++) await setImmediate();
  })();
  await inParts.prepare(() => numParts++);
  isMade = true;
  await others;
  // 520 tokens of the base and 72 of the small models.
  expect(numParts).toBeGreaterThanOrEqual(10);
  expect(numTurns).toBeGreaterThanOrEqual(numParts - 1);
  expect(inParts.firsts).toEqual(atOnce.firsts);
  for (const tokens of [own.tokenize("abc"), own.tokenize("ab"), own.tokenize("abcd")])
    expect(inParts.isBegun(tokens), tokens.join()).toBe(atOnce.isBegun(tokens));
  expect([own.tokenize("ab"), own.tokenize("abc")].map((tokens) => inParts.isBegun(tokens))).toEqual([
    true,
    false,
  ]);
  await inParts.prepare(() => expect.unreachable("made already"));
});
