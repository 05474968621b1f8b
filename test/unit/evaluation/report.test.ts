import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { AnswerLine } from "../../../src/evaluation/answers-file.js";
import type { Method, MethodKind } from "../../../src/evaluation/methods/method.js";
import { shareCurves, weightCurves } from "../../../src/evaluation/curves.js";
import { renderMarkdown } from "../../../src/evaluation/markdown.js";
import { buildReport, type ReportOptions } from "../../../src/evaluation/report.js";
import type { Results } from "../../../src/evaluation/runner.js";
import { readRun } from "../../../src/evaluation/compare-runs.js";
import { targetSchema } from "../../../src/evaluation/targets.js";
import { answerLine } from "../../support/answer-line.js";
import { writeReport } from "../../../src/evaluation/write-report.js";

/** Ten answers, so many of them right. */
const answers = (numRight: number, parts: Partial<AnswerLine> = {}): AnswerLine[] =>
  Array.from({ length: 10 }, (_, item) => answerLine({ item, score: item < numRight ? 1 : 0, ...parts }));

const methods = (
  [
    ["giant", "alone"],
    ["right-expert", "alone"],
    ["static-1", "static"],
    ["dynamic-exact", "dynamic"],
    ["fusion:all", "configured"],
    ["tuned-giant", "tuned"],
  ] as [string, MethodKind][]
).map(([name, kind]): Method => ({ name, kind, description: `what ${name} is`, planFor: () => null }));

const options: ReportOptions = {
  hardware: "2 cores of a test",
  date: new Date("2026-01-02T03:04:05Z"),
  command: "shoulders eval",
  methods,
  targets: [],
  seed: 1,
  judgement: null,
};

const results: Results = new Map([
  [
    "recall",
    new Map([
      ["giant", answers(1)],
      ["right-expert", answers(3)],
      ["static-1", answers(2)],
      ["dynamic-exact", answers(7, { weights: { trivia: [0.5, 1.5] }, forward: 0.4, flipped: 0.2 })],
      ["tuned-giant", answers(9)],
    ]),
  ],
]);

describe("buildReport", () => {
  it("computes every figure by its formula", () => {
    const { tasks } = buildReport(results, options);
    const { low, high, ...figures } = tasks.recall!["dynamic-exact"]!;
    expect(figures.score).toBeCloseTo(0.7);
    expect(figures.ratio).toBeCloseTo(0.7 / 0.9);
    expect(figures.pgr).toBeCloseTo((0.7 - 0.1) / (0.9 - 0.1));
    expect(figures.pgrLow).toBeGreaterThan(0);
    expect(figures.pgrLow).toBeLessThan(figures.pgr!);
    expect(figures.pgrHigh).toBeGreaterThan(figures.pgr!);
    expect(figures.burnsPgr).toBeCloseTo((0.7 - 0.3) / (0.9 - 0.3));
    expect(figures.harm).toBeCloseTo(0.7 - 0.3);
    expect(figures).toMatchObject({ items: 10, errors: 0, forward: 0.4, flipped: 0.2 });
    expect(low).toBeLessThan(0.7);
    expect(high).toBeGreaterThan(0.7);
    expect(tasks.recall!["static-1"]!.harm).toBeCloseTo(-0.1);
    // Against the right expert on the same items: one item of ten lost, none gained.
    expect(tasks.recall!["static-1"]!.harmHigh).toBe(0);
    expect(tasks.recall!["static-1"]!.harmLow).toBeLessThan(-0.1);
    // All ten were written within the same second.
    expect(figures.tokensPerSecond).toBeCloseTo(100);
  });

  it("leaves out what a missing method would be needed for", () => {
    const some: Results = new Map([["t", new Map([["static-1", answers(5)]])]]);
    const { tasks } = buildReport(some, options);
    expect(tasks.t!["static-1"]).toMatchObject({
      score: 0.5,
      ratio: null,
      pgr: null,
      pgrLow: null,
      burnsPgr: null,
      harm: null,
    });
  });

  it("has no PGR where tuning gained nothing", () => {
    const useless: Results = new Map([
      [
        "t",
        new Map([
          ["giant", answers(9)],
          ["static-1", answers(5)],
          ["tuned-giant", answers(9)],
        ]),
      ],
    ]);
    expect(buildReport(useless, options).tasks.t!["static-1"]).toMatchObject({ pgr: null });
    expect(buildReport(useless, options).tasks.t!["static-1"]!.harm).toBeCloseTo(-0.4);
  });

  it("counts errors apart, and gives no score where there are only errors", () => {
    const failed = { score: null, answer: null, error: { code: "internal", message: "?" } };
    const mixed: Results = new Map([
      [
        "t",
        new Map([
          ["giant", [answerLine({}), answerLine(failed)]],
          ["static-1", [answerLine(failed)]],
        ]),
      ],
    ]);
    const { giant, "static-1": lost } = buildReport(mixed, options).tasks.t!;
    expect(giant).toMatchObject({ score: 1, items: 1, errors: 1 });
    expect(lost).toMatchObject({ score: null, low: null, high: null, items: 0, errors: 1, harm: null });
  });

  it("tells which targets hold", () => {
    const target = { task: "recall", method: "dynamic-exact" };
    const targets = [
      { ...target, id: "high", atLeast: 0.9 },
      { ...target, id: "between", figure: "pgr", atLeast: 0.5, atMost: 0.8 },
      { ...target, id: "unknown", method: "none", atLeast: 0 },
    ].map((written) => targetSchema.parse(written));
    const { figures } = buildReport(results, { ...options, targets });
    expect(figures.map(({ id, target: aim, holds }) => ({ id, aim, holds }))).toEqual([
      { id: "high", aim: "at least 0.9", holds: false },
      { id: "between", aim: "at least 0.5, at most 0.8", holds: true },
      { id: "unknown", aim: "at least 0", holds: false },
    ]);
    expect(figures[2]?.value).toBeNull();
  });

  it("combines tasks and compares methods", () => {
    const other = new Map([
      ["giant", answers(4)],
      ["right-expert", answers(5)],
      ["static-1", answers(6)],
      ["dynamic-exact", answers(3)],
    ]);
    const both: Results = new Map([...results, ["sums", other]]);
    const target = { task: ["recall", "sums"], method: "dynamic-exact", atLeast: 0 };
    const valueOf = (parts: object) => {
      const targets = [targetSchema.parse({ id: "x", ...target, ...parts })];
      return buildReport(both, { ...options, targets }).figures[0]!.value;
    };
    expect(valueOf({})).toBeCloseTo((0.7 + 0.3) / 2);
    expect(valueOf({ over: "least", figure: "harm" })).toBeCloseTo(0.3 - 0.5);
    expect(valueOf({ minus: ["static-1", "giant"] })).toBeCloseTo(0.5 - (0.2 + 0.6) / 2);
    expect(valueOf({ dividedBy: "static-1" })).toBeCloseTo((0.7 / 0.2 + 0.3 / 0.6) / 2);
    expect(valueOf({ apartFrom: "static-1", over: "most" })).toBeCloseTo(0.5);
    // The sums have no tuned giant.
    expect(valueOf({ figure: "pgr" })).toBeNull();
  });
});

describe("weightCurves", () => {
  it("are means and quartiles by position, as far as a tenth of the answers reaches", () => {
    const rows = [[1, 0], [0.5], ...Array.from({ length: 18 }, () => [0, 1, 1])];
    const lines = rows.map((row) => answerLine({ weights: { trivia: row } }));
    lines.push(answerLine({ weights: { trivia: [0, 1, 1, 7] } }));
    const curves = weightCurves(new Map([["t", new Map([["dynamic-exact", lines]])]]), methods).get("t")!;
    expect(curves.map(({ name }) => name)).toEqual(["dynamic-exact"]);
    expect(curves[0]!.points).toHaveLength(3);
    expect(curves[0]!.points[0]).toMatchObject({ mean: 1.5 / 21, low: 0, high: 0 });
    expect(curves[0]!.points[1]!.mean).toBeCloseTo(19 / 20);
  });

  it("leave out weights that never change", () => {
    const fixed = answers(1, { weights: { trivia: [1, 1] } });
    expect(weightCurves(new Map([["t", new Map([["static-1", fixed]])]]), methods).get("t")).toEqual([]);
  });
});

describe("shareCurves", () => {
  it("are those of the methods that mix, a curve for each component", () => {
    const mixed = answers(1, { shares: { base: [0.5, 0.1], recall: [0.5, 0.9] } });
    const shown = shareCurves(
      new Map([
        [
          "t",
          new Map([
            ["giant", answers(1)],
            ["fusion:all", mixed],
          ]),
        ],
      ]),
      methods,
    );
    expect(shown.map(({ method }) => method)).toEqual(["fusion:all"]);
    const curves = shown[0]!.curves.get("t")!;
    expect(curves.map(({ name, points }) => [name, points[1]!.mean])).toEqual([
      ["base", expect.closeTo(0.1)],
      ["recall", expect.closeTo(0.9)],
    ]);
  });
});

describe("writeReport", () => {
  const directory = mkdtempSync(path.join(tmpdir(), "report-"));
  const report = writeReport(directory, results, options);
  const read = (name: string): string => readFileSync(path.join(directory, name), "utf8");

  it("writes the figures as JSON", () => {
    expect(JSON.parse(read("report.json"))).toEqual(report);
    expect(Object.keys(report)).toEqual([
      ...["hardware", "date", "command", "methods", "tasks", "figures", "judged"],
    ]);
  });

  it("writes which answers it is of, and every answer as a page", () => {
    expect(readRun(directory).get("recall")!.size).toBe(5);
    const page = read("report.html");
    expect(page).toContain("<title>Evaluation</title>");
    expect(page.match(/<details>/g)).toHaveLength(10);
    expect(page.match(/<h3>dynamic-exact /g)).toHaveLength(10);
  });

  it("shows answers as text, whatever they are", () => {
    const hostile = '</pre><script>alert("&")</script>';
    const shown = mkdtempSync(path.join(tmpdir(), "report-"));
    const lines = [answerLine({ answer: hostile, prompt: hostile, expected: [hostile], score: null })];
    writeReport(shown, new Map([["t", new Map([["giant", lines]])]]), options);
    const page = readFileSync(path.join(shown, "report.html"), "utf8");
    expect(page).not.toContain("<script");
    expect(page).toContain("&lt;/pre&gt;&lt;script&gt;alert(&quot;&amp;&quot;)");
  });

  it("says what a judge found", () => {
    const shown = mkdtempSync(path.join(tmpdir(), "report-"));
    const own = answerLine({ key: "own" });
    const other = answerLine({ key: "other" });
    const counts = { wins: 1, ties: 0, losses: 0, unreadable: 0, rate: 1, low: 1, high: 1 };
    const tasks = { t: { fused: counts } };
    const judged = { model: "judge", url: "http://judge/v1", against: "giant", prompt: "Which?", tasks };
    const judgement = { judged, pairs: new Map([["own other", 1]]) };
    const both = new Map([
      ["giant", [other]],
      ["fused", [own]],
    ]);
    writeReport(shown, new Map([["t", both]]), { ...options, judgement });
    const at = (name: string) => readFileSync(path.join(shown, name), "utf8");
    expect(at("report.md")).toContain("## Against giant, by judge");
    expect(at("report.md")).toContain("| fused | t | 1 | 0 | 0 | 0 | 1.00 | 1.00 to 1.00 |");
    expect(at("report.html")).toContain("judged better");
    expect(JSON.parse(at("report.json"))).toMatchObject({ judged });
  });

  it("writes tables that say how they came about", () => {
    const text = read("report.md");
    expect(text).toContain("`shoulders eval`\n\n2 cores of a test; 2026-01-02 03:04 UTC.");
    expect(text).toContain("| dynamic-exact | 0.70 |");
    expect(text).toMatch(
      /\| dynamic-exact \| 0\.70 \| 0\.\d\d to [01]\.\d\d \| 10 \| 0\.78 \| 0\.75 \| 0\.\d\d to [01]\.\d\d \| 0\.67 \| \+0\.40 \|/,
    );
    expect(text).toContain("![Gap recovered by task and method](gap.svg)");
    expect(text).toContain("(score − base alone) ÷ (tuned base − base alone)");
    // No item failed: no column for it.
    expect(text).not.toContain("| errors |");
    expect(renderMarkdown(report, [])).not.toContain("![");
  });

  it("draws every method on a white ground", () => {
    for (const name of ["scores.svg", "gap.svg", "weights.svg"]) {
      const svg = read(name);
      expect(svg).toMatch(/^<svg[^>]* width="\d+" height="\d+"/);
      expect(svg).toContain(">recall<");
      expect(svg).toMatch(/fill="(#ffffff|rgb\(255,255,255\)|#fff)"/);
      expect(svg).not.toContain("NaN");
    }
    for (const { name } of methods.filter(({ kind }) => kind !== "configured"))
      expect(read("scores.svg")).toContain(`>${name}<`);
    expect(read("gap.svg")).not.toContain(">tuned-giant<");
    expect(read("weights.svg")).toContain(">dynamic-exact<");
  });

  it("draws no picture that would be empty", () => {
    const empty = mkdtempSync(path.join(tmpdir(), "report-"));
    writeReport(empty, new Map([["t", new Map([["giant", answers(2)]])]]), options);
    expect(existsSync(path.join(empty, "scores.svg"))).toBe(true);
    expect(existsSync(path.join(empty, "gap.svg"))).toBe(false);
    expect(existsSync(path.join(empty, "weights.svg"))).toBe(false);
  });
});
