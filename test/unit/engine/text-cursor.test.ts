import fc from "fast-check";
import { expect, it } from "vitest";
import { HeldRows } from "../../../src/engine/held-rows.js";
import { TextCursor } from "../../../src/engine/own/text-cursor.js";
import { type ReadVocabulary, TextReader } from "../../../src/engine/own/text-reader.js";
import { numReread } from "../../../src/engine/own/way.js";
import type { ModelContext } from "../../../src/llama/types.js";
import { greedyTokens } from "../../support/greedy-tokens.js";

/** Tokens of letters; the longest that fits is read. */
function vocabularyOf(texts: readonly string[]): ReadVocabulary {
  return {
    ...{ size: texts.length, ends: [], rawText: (token) => texts[token]! },
    bytes: (token) => Buffer.from(texts[token]!),
    tokenize: greedyTokens(texts),
  };
}

const base = vocabularyOf(["a", "b", "c"]);
/** Up to six of the base's become one, and what was one becomes others. */
const own = vocabularyOf(["a", "b", "c", "abc", "abcabc", "bb", "bbbbb", "cab"]);
const context = { logits: () => new Float32Array(own.size) } as unknown as ModelContext;

it("has all rows that are looked at anew after each token, also where its tokens become fewer", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 30 }), (tokens) => {
      const cursor = new TextCursor(0, [0, 1], new TextReader(base, own), 100);
      for (const token of [...tokens, 0]) {
        // What a step decodes: all that is left, with the rows of the tail.
        expect(cursor.numTail).toBeLessThanOrEqual(cursor.numRemaining);
        const rows = Array.from({ length: cursor.numTail }, (_, index) =>
          cursor.isRowNeeded(cursor.tokens.length - cursor.numTail + index) ? index : -1,
        );
        cursor.numDecoded = cursor.tokens.length;
        cursor.keep(rows, context, new HeldRows());
        const first = Math.max(cursor.numPrompt, cursor.tokens.length - numReread);
        for (let length = first; length <= cursor.tokens.length; length++)
          expect(cursor.rowAfter(length)).not.toBeNull();
        cursor.append(token);
      }
    }),
  );
});
