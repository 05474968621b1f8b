import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../../../scripts/generated-docs.js";
import { pages, proseOf, sentencesOf } from "../../support/documents.js";

const mostWords = 35;

const numWords = (sentence: string): number => sentence.split(/\s+/).filter((word) => /\w/.test(word)).length;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

describe("sentences of the documentation", () => {
  const read = (file: string) => sentencesOf(proseOf(readFileSync(path.join(root, file), "utf8")));

  it.each(pages())("%s: none is longer than 35 words", (file) => {
    expect(read(file).filter((sentence) => numWords(sentence) > mostWords)).toEqual([]);
  });

  it.each([
    ["README.md", ["README.md"]],
    ["docs/*.md together", pages().filter((file) => /^docs\/[^/]+$/.test(file))],
  ])("%s: the median has 8 to 12 words", (_name, files) => {
    const middle = median(files.flatMap(read).map(numWords));
    expect(middle).toBeGreaterThanOrEqual(8);
    expect(middle).toBeLessThanOrEqual(12);
  });

  it("counts sentences of text, and nothing of code, tables and headings", () => {
    const text =
      "# A title here\n\nOne `a.b c` two. Three!\nfour\n\n- five [six](x.md).\n\n| a. | b. |\n\n```sh\nx. y.\n```\n";
    expect(sentencesOf(proseOf(text))).toEqual(["One code two.", "Three!", "four", "five six."]);
    expect(numWords("One, two (three) — four.")).toBe(4);
  });
});
