import { describe, expect, it } from "vitest";
import { sentencesOf, verifyQuotes } from "../../../src/verdicts/debate/document.js";

describe("sentencesOf", () => {
  it("takes a text apart at the ends of its sentences, each once", () => {
    expect(
      sentencesOf("A flood came. It left 92 people\nwithout a home!  The sun was out. A flood came."),
    ).toEqual(["A flood came.", "It left 92 people without a home!", "The sun was out."]);
    expect(sentencesOf(" \n ")).toEqual([]);
  });
});

describe("verifyQuotes", () => {
  const document = "The bridge cost 10 thousand\ncrowns. Hugo's paper said “work goes on”.";

  it("leaves what is in the document, whatever the marks and spaces", () => {
    for (const argument of [
      'It says "cost 10 thousand crowns".',
      "It says “The bridge cost   10 thousand crowns.”",
      "It says «cost 10 thousand», and „Hugo’s paper“.",
      'Cut short: "The bridge cost',
      "Nothing is quoted.",
    ]) {
      const { heard, quotes } = verifyQuotes(argument, document);
      expect(heard).toBe(argument);
      expect(quotes.every(({ isVerified }) => isVerified)).toBe(true);
    }
    expect(verifyQuotes("It says «cost 10 thousand», and „Hugo’s paper“.", document).quotes).toHaveLength(2);
  });

  it("strikes what is not, and says so", () => {
    expect(verifyQuotes('First "cost 37 thousand" then "cost 10 thousand" here.', document)).toEqual({
      heard: 'First then "cost 10 thousand" here.',
      quotes: [
        { text: "cost 37 thousand", isVerified: false },
        { text: "cost 10 thousand", isVerified: true },
      ],
    });
    // Half a word, no word, and an end that is not there.
    for (const lie of ['"cost 1"', '"..."', '""', '"The bridge cost 10 thousand crowns and more'])
      expect(verifyQuotes(lie, document)).toMatchObject({ heard: "", quotes: [{ isVerified: false }] });
  });

  it("takes marks of patterns as they are", () => {
    expect(verifyQuotes('"a.c"', "abc").quotes[0]?.isVerified).toBe(false);
    expect(verifyQuotes('"(a|b)*"', "x (a|b)* y").quotes[0]?.isVerified).toBe(true);
  });
});
