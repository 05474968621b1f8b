import fc from "fast-check";
import { expect, it } from "vitest";
import { CustomInput } from "../../../src/api/openai/custom-input.js";

it("is the text, wherever the JSON is cut", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.array(fc.nat(40)), fc.boolean(), (text, sizes, isAscii) => {
      const plain = JSON.stringify({ input: text });
      const json = isAscii
        ? plain.replaceAll(
            /[\u007f-\uffff]/g,
            (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
          )
        : plain;
      const reader = new CustomInput();
      let read = "";
      let rest = json;
      for (const size of [...sizes, json.length]) {
        read += reader.read(rest.slice(0, size));
        rest = rest.slice(size);
      }
      expect(read + reader.read(rest)).toBe(text);
    }),
  );
});

it("of what is cut short it is what is whole", () => {
  const reader = new CustomInput();
  expect(reader.read('{ "input" : "a\\n')).toBe("a\n");
  expect(reader.read("b\\u00")).toBe("b");
  expect(reader.read('e9"}')).toBe("é");
  expect(reader.read("more")).toBe("");
});
