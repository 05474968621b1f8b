import fc from "fast-check";
import { expect, it } from "vitest";
import { chatLogprobs, TextLogprobsWriter } from "../../../src/api/openai/logprobs.js";
import { tokenOf } from "../../support/fake-engine.js";

/** A text cut into tokens anywhere, inside characters too. */
const tokensOfText = fc
  .tuple(fc.string({ unit: "binary", maxLength: 20 }), fc.array(fc.nat()))
  .map(([text, cuts]) => {
    const bytes = new TextEncoder().encode(text);
    const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
    const tokens = places.slice(1).map((end, index) => tokenOf(bytes.slice(places[index], end), index));
    return { text, tokens };
  });

it("bytes of chat logprobs, concatenated, are the content", () => {
  fc.assert(
    fc.property(tokensOfText, ({ text, tokens }) => {
      const bytes = chatLogprobs(tokens).content.flatMap((entry) => entry.bytes ?? []);
      expect(Buffer.from(bytes).toString()).toBe(text);
    }),
  );
});

it("text_offset counts whole characters before a token, in one go or token by token", () => {
  fc.assert(
    fc.property(tokensOfText, ({ text, tokens }) => {
      const whole = new TextLogprobsWriter().write(tokens);
      const writer = new TextLogprobsWriter();
      expect(tokens.flatMap((token) => writer.write([token]).text_offset)).toEqual(whole.text_offset);
      const characters = Array.from(text);
      let numBytes = 0;
      tokens.forEach(({ bytes }, index) => {
        const before = characters.slice(0, whole.text_offset[index]).join("");
        expect(Buffer.byteLength(before)).toBeLessThanOrEqual(numBytes);
        const after = characters.slice(0, (whole.text_offset[index] ?? 0) + 1).join("");
        if (after !== before) expect(Buffer.byteLength(after)).toBeGreaterThan(numBytes);
        numBytes += bytes.length;
      });
    }),
  );
});

it("legacy names: text, or bytes of a part of a character", () => {
  const euro = new TextEncoder().encode("€");
  const { tokens, top_logprobs } = new TextLogprobsWriter().write([
    tokenOf("é"),
    tokenOf(euro.slice(0, 2)),
    tokenOf(euro.slice(2)),
  ]);
  expect(tokens).toEqual(["é", "bytes:\\xe2\\x82", "bytes:\\xac"]);
  expect(top_logprobs[0]).toEqual({ é: -0.25, " The": -1.5 });
});
