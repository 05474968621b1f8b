import { readFileSync } from "node:fs";
import { expect, it, onTestFinished } from "vitest";
import { run } from "../support/command-line.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

it("policies finds few methods of a report that cover the others, and writes them", async () => {
  const directory = temporaryDirectory();
  onTestFinished(() => directory.remove());
  const out = directory.file("all.policies.json");
  const args = ["policies", "all", "--fusion-configs", "fusion-configs", "--report", "models/report.json"];
  const tasks = ["--tasks", "recall", "problems", "headline", "choice"];
  const { code, stdout } = await run([...args, ...tasks, "--delta", "0.02", "--out", out]);
  expect(code).toBe(0);
  const gaps = [...stdout.matchAll(/^\S.* (\d\.\d{3})$/gm)].map(([, gap]) => Number(gap));
  expect(gaps.length).toBeGreaterThan(1);
  expect(gaps.length).toBeLessThanOrEqual(6);
  expect(gaps.at(-1)).toBeLessThanOrEqual(0.02);
  const written = JSON.parse(readFileSync(out, "utf8")) as { arms: object; others: string[]; gap: number };
  expect(Object.keys(written.arms).length + written.others.length).toBe(gaps.length);
  expect(written.gap).toBeCloseTo(gaps.at(-1)!, 3);
});

it("policies says what is wrong", async () => {
  const args = ["policies", "all", "--fusion-configs", "fusion-configs"];
  const wrong: [string[], RegExp][] = [
    [["--report", "package.json"], /is no report of eval/],
    [["--report", "models/report.json", "--delta", "2"], /--delta/],
    [
      ["--report", "models/report.json", "--tasks", "nothing"],
      /no task "nothing" in the report; known: recall/,
    ],
  ];
  for (const [rest, told] of wrong) {
    const { code, stderr } = await run([...args, ...rest]);
    expect(code).toBe(2);
    expect(stderr).toMatch(told);
  }
});
