import { readFileSync } from "node:fs";
import path from "node:path";
import { mean } from "simple-statistics";
import { describe, expect, it } from "vitest";
import { replaceSection, root } from "../../scripts/generated-docs.js";
import { familyReport, resultSections, severalReport } from "../../scripts/results.js";
import { readRules } from "../../scripts/several-rules.js";
import { loadSuite } from "../../src/evaluation/suite.js";
import type { Report } from "../../src/evaluation/report.js";

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

  describe("every rule for several experts (docs/several-experts/rules.json)", () => {
    const { rules, methods, tasks, summary, items, default: usual } = readRules();
    const suite = loadSuite(path.join(root, "models/several.suite.json"));
    const seen = suite.tasks.filter(({ expert }) => expert !== undefined);
    const idOf = ({ file }: { file: string }): string => path.basename(file, ".jsonl");

    it("is of the suite's tasks, each rule with four experts and with eight, on the same items", () => {
      expect(Object.keys(tasks)).toEqual(suite.tasks.map(idOf));
      for (const name of Object.keys(rules))
        for (const method of [name, `${name}+bystanders`]) {
          expect(methods).toHaveProperty([method]);
          for (const figures of Object.values(tasks)) {
            const { score, low, high, items: asked } = figures[method]!;
            expect(asked).toBe(items.test);
            expect(low).toBeLessThanOrEqual(score);
            expect(high).toBeGreaterThanOrEqual(score);
          }
        }
      expect(rules).toHaveProperty([usual]);
    });

    it("has each rule at the setting that recovered most on the validation sets", () => {
      for (const [name, { settings, validation, tried }] of Object.entries(rules)) {
        expect(validation, name).toBe(Math.max(...tried.map((one) => one.validation)));
        expect(tried, name).toContainEqual({ settings, validation });
      }
    });

    it("sums the tasks up", () => {
      for (const [method, { pgr, pgrLow, pgrHigh, worst }] of Object.entries(summary)) {
        expect(pgr, method).toBeCloseTo(mean(seen.map((task) => tasks[idOf(task)]![method]!.pgr)), 4);
        expect(pgrLow, method).toBeLessThanOrEqual(pgr);
        expect(pgrHigh, method).toBeGreaterThanOrEqual(pgr);
        const harms = Object.values(tasks).flatMap(({ [method]: figures }) => figures?.harm ?? []);
        expect(tasks[worst]![method]!.harm, method).toBe(Math.min(...harms));
      }
    });
  });
});
