import { describe, expect, it } from "vitest";
import { renderTable, visible } from "../../../src/cli/table.js";
import { formatBytes, formatCount } from "../../../src/cli/units.js";

describe("renderTable", () => {
  it("aligns columns by characters, styles without changing the width, trims line ends", () => {
    const table = renderTable(
      [
        { header: "name", align: "left" },
        { header: "n", align: "right" },
        { header: "", align: "left" },
      ],
      [
        ["é", { text: "10", style: (text) => `<${text}>` }, ""],
        ["longer", "7", "█"],
      ],
    );
    expect(table).toBe("name     n\n──────  ──  ─\né       <10>\nlonger   7  █\n");
  });
});

describe("visible", () => {
  it("never lets a text move the cursor", () => {
    expect(visible("a\n\t\u001b[2Jb\u007f\u009b")).toBe("a\\n\\t\\u001b[2Jb\\u007f\\u009b");
  });
});

describe("units", () => {
  it.each([
    [0, "0 B", "0"],
    [999, "999 B", "999"],
    [4_856_000, "4.63 MiB", "4.86 M"],
    [32_763_876_352, "30.5 GiB", "32.8 B"],
  ])("%d", (value, bytes, count) => {
    expect(formatBytes(value)).toBe(bytes);
    expect(formatCount(value)).toBe(count);
  });
});
