import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { architecturePath, replaceSection } from "../../../scripts/generated-docs.js";
import { allowedImports, arrows, roomsText } from "../../../scripts/rooms.js";

describe("the picture of the rooms in docs/architecture.md", () => {
  it("is that of the lint rule (npm run docs)", async () => {
    const text = readFileSync(architecturePath, "utf8");
    expect(await replaceSection(text, "rooms", roomsText(await allowedImports()))).toBe(text);
  });

  it("leaves out an arrow that a longer way stands for, and no other", () => {
    const drawn = arrows({ a: ["b", "c", "d/e.ts"], b: ["c"], c: [], d: ["a"] });
    expect(drawn.map(({ from, to, file }) => [from, to, file])).toEqual([
      ["a", "b", null],
      ["a", "d", "d/e.ts"],
      ["b", "c", null],
      ["d", "a", null],
    ]);
  });

  it("has a row for every room that the rule knows", async () => {
    const text = readFileSync(architecturePath, "utf8");
    const rows = text.slice(text.indexOf("<!-- end rooms -->"));
    for (const room of Object.keys(await allowedImports()))
      expect(rows).toMatch(new RegExp(`^\\| \`${room.replace(".", "\\.")}/?\` `, "m"));
  });
});
