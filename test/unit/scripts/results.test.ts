import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { replaceSection, root } from "../../../scripts/generated-docs.js";
import { familyReport, resultSections, severalReport } from "../../../scripts/results.js";
import { loadSuite } from "../../../src/evaluation/suite.js";
import type { Report } from "../../../src/evaluation/report.js";

describe("what is written about results (scripts/write-results.ts)", () => {
  it.each(resultSections().map((section) => ({ ...section, file: path.relative(root, section.file) })))(
    "$file says what was measured: $name",
    async ({ file, name, content }) => {
      const text = readFileSync(path.join(root, file), "utf8");
      expect(await replaceSection(text, name, content)).toBe(text);
    },
  );

  it.each([
    [familyReport, "models/suite.json"],
    [severalReport, "models/several.suite.json"],
  ])("%s is of the suite as it stands", (file, suite) => {
    const report = JSON.parse(readFileSync(file, "utf8")) as Report;
    const { tasks, targets } = loadSuite(path.join(root, suite));
    expect(Object.keys(report.tasks)).toEqual(tasks.map(({ file: task }) => path.basename(task, ".jsonl")));
    expect(report.figures.map(({ id }) => id)).toEqual(targets.map(({ id }) => id));
    for (const methods of Object.values(report.tasks))
      for (const [method, { score, low, high, errors }] of Object.entries(methods)) {
        expect(errors, method).toBe(0);
        expect(low!).toBeLessThanOrEqual(score!);
        expect(high!).toBeGreaterThanOrEqual(score!);
      }
  });
});
