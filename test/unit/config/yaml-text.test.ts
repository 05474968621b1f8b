import { describe, expect, it } from "vitest";
import { parseYamlText } from "../../../src/config/yaml-text.js";

const faultOf = (text: string): string => {
  const parsed = parseYamlText(text);
  return parsed.ok ? "accepted" : `${parsed.position.line}:${parsed.position.column} ${parsed.message}`;
};

describe("parseYamlText", () => {
  it("gives what JSON would, and says where it stands", () => {
    const parsed = parseYamlText(
      [
        "\uFEFF# a comment",
        "id: tutor",
        "base: ~/models/base.gguf",
        "strategy: {type: dynamic}",
        "experts:",
        "  - id: maths",
        "    bounds: [0, 1.5]",
        "fewShot:",
        "- user: |",
        "    How many?",
        "  assistant: '7'",
        "__proto__: 3",
        "",
      ].join("\n"),
    );
    if (!parsed.ok) throw new Error(parsed.message);
    expect(JSON.parse(JSON.stringify(parsed.value))).toEqual(
      JSON.parse(
        '{"id":"tutor","base":"~/models/base.gguf","strategy":{"type":"dynamic"},' +
          '"experts":[{"id":"maths","bounds":[0,1.5]}],"fewShot":[{"user":"How many?\\n","assistant":"7"}],' +
          '"__proto__":3}',
      ),
    );
    expect(Object.getPrototypeOf(parsed.value)).toBe(Object.prototype);
    const at = (...path: PropertyKey[]) => parsed.positionOf(path);
    expect(at("base")).toEqual({ line: 3, column: 7 });
    expect(at("experts", 0, "bounds", 1)).toEqual({ line: 7, column: 17 });
    expect(at("fewShot", 0, "assistant")).toEqual({ line: 11, column: 14 });
    // What is missing stands nowhere: the map that lacks it does.
    expect(at("experts", 0, "model")).toEqual({ line: 6, column: 5 });
  });

  it("reads anchors and aliases, and counts what they repeat", () => {
    const parsed = parseYamlText("a: &one {model: x}\nb: *one\nc: [*one, *one]\n");
    expect(parsed).toMatchObject({
      ok: true,
      value: { a: { model: "x" }, b: { model: "x" }, c: [{ model: "x" }, { model: "x" }] },
    });
    if (parsed.ok) expect(parsed.positionOf(["b", "model"])).toEqual({ line: 1, column: 17 });
    const laughs = ["a0: &a0 [l, l, l, l, l, l, l, l, l, l]"];
    for (let level = 1; level < 20; level++)
      laughs.push(`a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(", ")}]`);
    expect(faultOf(laughs.join("\n"))).toContain("repeated ones included");
    const many = Array.from({ length: 8_000 }, (_, index) => `k${index}: *one`).join("\n");
    expect(faultOf(`one: &one 1\n${many}`)).toBe("accepted");
    expect(faultOf("a: &x 1\nb: &x 2\nc: *x")).toBe("accepted");
    expect(faultOf("a: &a [*a]")).toContain("nested deeper than 64");
    expect(faultOf("a: *b")).toContain("1:4 ");
  });

  it.each([
    ["a: 1\nb: 2\na: 3", '3:1 key "a" is given twice'],
    ["{a: 1, 'a': 2}", '1:8 key "a" is given twice'],
    ["1: x\n'1': y", '2:1 key "1" is given twice'],
    ["? [a]\n: b", "1:3 a key that is no text"],
    ["", "1:1 it is empty"],
    ["# nothing", "1:1 it is empty"],
    ["a: [1", "1:6 "],
    ["a: !!python/object x", "1:4 "],
    ["a: 1\n---\nb: 2", "2:1 "],
    ["\ta: 1", "1:"],
  ])("refuses %j: %s", (text, message) => {
    expect(faultOf(text)).toContain(message);
  });

  it("bounds depth before the parser goes down, and size, in little time", () => {
    const hostile = [
      "[".repeat(200_000),
      "- ".repeat(200_000),
      "? ".repeat(200_000),
      "{a: ".repeat(200_000),
      Array.from({ length: 1000 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n"),
      `[${"[],".repeat(200_000)}]`,
      Array.from({ length: 140_000 }, (_, index) => `k${index}: `).join("\n"),
    ];
    for (const text of hostile) expect(faultOf(text)).toMatch(/nested deeper than 64|more than 65536/);
  });
});
