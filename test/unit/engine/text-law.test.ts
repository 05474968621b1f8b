import { expect, it } from "vitest";
import { addLikely } from "../../../src/engine/own/likely-ways.js";
import { LawBuffers, lawOf } from "../../../src/engine/own/text-law.js";
import { addWay, type Begun, logTextOf, rowOf, type Row, Way } from "../../../src/engine/own/way.js";
import { type ReadVocabulary, TextReader } from "../../../src/engine/own/text-reader.js";
import { greedyTokens } from "../../support/greedy-tokens.js";

/** A small model whose tokens are others than the base's, against the sum over everything that it can write. */

/** Tokens of letters, the last of which ends a text. The longest that fits is read. */
function vocabularyOf(texts: readonly string[]): ReadVocabulary {
  const all = [...texts, ""];
  return {
    size: all.length,
    bytes: (token) => Buffer.from(all[token]!),
    rawText: (token) => all[token]!,
    ends: [texts.length],
    tokenize: greedyTokens(texts),
  };
}

const base = vocabularyOf(["a", "b", "aa", "aba", "bb", "abbb"]);
const own = vocabularyOf(["a", "b", "ab", "ba", "bab", "aab"]);

/** Logits after tokens: noise that depends on all of them. */
function logitsAfter(tokens: readonly number[], size: number): Float32Array {
  const seed = tokens.reduce((sum, token) => (sum * 31 + token + 1) % 10_007, 7);
  return Float32Array.from(
    { length: size },
    (_, token) => 2 * Math.sin(seed * (token + 1)) + Math.cos(seed + token),
  );
}

/** Chances of every string of own tokens that goes on `history` until it is `length` bytes long or has ended. */
function* strings(
  vocabulary: ReadVocabulary,
  { length, history = [], text = "", chance = 1 }: Partial<Written> & { length: number },
): Generator<Written> {
  if (text.length >= length) {
    yield { history, text, chance, hasEnded: false };
    return;
  }
  const { values, logSum } = rowOf(logitsAfter(history, vocabulary.size));
  for (let token = 0; token < vocabulary.size; token++) {
    const next = chance * Math.exp(values[token]! - logSum);
    const bytes = Buffer.from(vocabulary.bytes(token)).toString();
    if (bytes === "") yield { history, text, chance: next, hasEnded: true };
    else
      yield* strings(vocabulary, { length, history: [...history, token], text: text + bytes, chance: next });
  }
}

interface Written {
  history: readonly number[];
  text: string;
  chance: number;
  hasEnded: boolean;
}

/** The base's next token in everything that the small model can write after `text`, counted. */
function counted(written: readonly number[], text: string): number[] {
  const chances = new Array<number>(base.size).fill(0);
  for (const { history, text: all, chance, hasEnded } of strings(own, { length: text.length + 5 })) {
    if (!all.startsWith(text)) continue;
    if (all === text) {
      if (hasEnded) chances[base.ends[0]!]! += chance;
      continue;
    }
    let at = 0;
    const ends = history.map((token) => (at += own.bytes(token).length));
    const isBoundary = text === "" || ends.includes(text.length);
    // Where the small model has no boundary, the base would have had to read what it has written.
    const read = isBoundary ? [...written, ...base.tokenize(all.slice(text.length))] : base.tokenize(all);
    if (written.every((token, index) => read[index] === token)) chances[read[written.length]!]! += chance;
  }
  const sum = chances.reduce((total, chance) => total + chance, 0);
  return chances.map((chance) => chance / sum);
}

/** Every way of the small model to write a text, or to be on the way to it. */
function addAll(root: Way, reader: TextReader, rest: string): void {
  for (let token = 0; token < own.size; token++) {
    const text = reader.own.text(token);
    if (text !== "" && rest.startsWith(text))
      addAll(root.child(token, text), reader, rest.slice(text.length));
  }
}

const reader = new TextReader(base, own);
const buffers = new LawBuffers(base.size);

function lawAfter(text: string, written: readonly number[]): number[] {
  const root = new Way();
  const begun: Begun = { rest: text, since: "", written };
  const now = addWay(root, own.tokenize(text), reader);
  addAll(root, reader, text);
  const rowAfter = (way: Way): Row => rowOf(logitsAfter(way.tokens, own.size));
  // Other tokens than its tokenizer's too.
  const isBegun = (tokens: readonly number[]) =>
    reader.base.isBegun(tokens.map((token) => reader.own.text(token)).join(""));
  const logText = logTextOf(now, begun, { reader, rowAfter });
  const likely = { reader, isBegun, logText, share: 0, rowAfter, most: 1000, mostDepth: text.length + 6 };
  // What is added has a row at once here.
  for (const done = new Set<Way>(); done.size < [...root.all()].length;)
    addLikely(root, begun, { ...likely, done });
  const { row, unread } = lawOf(root, begun, { reader, rowAfter, logText, wanted: [], buffers });
  expect(unread).toBeLessThan(1e-6);
  return Array.from(row, Math.exp);
}

const texts = ["", "a", "b", "ab", "aab", "bba", "abaab", "bbbab"];

it.each(texts)("is the sum over all that the small model can write after %j", (text) => {
  const written = base.tokenize(text);
  const expected = counted(written, text);
  lawAfter(text, written).forEach((chance, token) => expect(chance).toBeCloseTo(expected[token]!, 6));
});

it("is the model's own row where the base has the same tokens", () => {
  const same = new TextReader(own, own);
  for (const tokens of [[], [0], [2, 1], [3, 5, 4]]) {
    const text = tokens.map((token) => same.own.text(token)).join("");
    const root = new Way();
    const now = addWay(root, tokens, same);
    const rowAfter = (way: Way): Row => rowOf(logitsAfter(way.tokens, own.size));
    const begun = { rest: text, since: "", written: tokens };
    const { row: law } = lawOf(root, begun, {
      ...{ reader: same, rowAfter, logText: logTextOf(now, begun, { reader: same, rowAfter }), wanted: [] },
      buffers: new LawBuffers(own.size),
    });
    const { values, logSum } = rowAfter(now);
    values.forEach((logit, token) => expect(law[token]).toBeCloseTo(logit - logSum, 5));
  }
});
