import { writeFileSync } from "node:fs";
import path from "node:path";
import { type AnswerLine, runFile } from "./answers-file.js";
import { gapChart, scoreChart } from "./charts/dot-plot.js";
import { curveChart } from "./charts/curve-chart.js";
import { shareCurves, weightCurves } from "./curves.js";
import { renderHtml } from "./html.js";
import { renderMarkdown } from "./markdown.js";
import { type Report, type ReportOptions, buildReport } from "./report.js";
import type { Results } from "./runner.js";

/** Task to method to the keys of its answers in answers.jsonl, in the order of the items. */
function keysOf(results: Results): Record<string, Record<string, string[]>> {
  const ofMethods = (methods: ReadonlyMap<string, AnswerLine[]>) =>
    Object.fromEntries([...methods].map(([name, lines]) => [name, lines.map(({ key }) => key)]));
  return Object.fromEntries([...results].map(([task, methods]) => [task, ofMethods(methods)]));
}

/** Writes report.json, report.md, report.html, which answers they are of, and the pictures that there is something to draw for. */
export function writeReport(directory: string, results: Results, options: ReportOptions): Report {
  const report = buildReport(results, options);
  const drawn = [
    { file: "scores.svg", title: "Score by task and method", svg: scoreChart(report, options.methods) },
    { file: "gap.svg", title: "Gap recovered by task and method", svg: gapChart(report, options.methods) },
    {
      file: "weights.svg",
      title: "Weight over position",
      svg: curveChart({
        title: "Weight over position",
        axis: "weight",
        curves: weightCurves(results, options.methods),
      }),
    },
    ...shareCurves(results, options.methods).map(({ method, curves }) => {
      const title = `Shares over tokens: ${method}`;
      const file = `shares-${method.replaceAll(/[^a-z0-9.-]+/g, "-")}.svg`;
      return { file, title, svg: curveChart({ title, axis: "share", range: [0, 1], curves }) };
    }),
  ];
  const pictures = drawn.filter((picture) => picture.svg !== null);
  for (const { file, svg } of pictures) writeFileSync(path.join(directory, file), svg ?? "");
  writeFileSync(path.join(directory, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(path.join(directory, runFile), JSON.stringify(keysOf(results)));
  writeFileSync(path.join(directory, "report.md"), renderMarkdown(report, pictures));
  writeFileSync(path.join(directory, "report.html"), renderHtml(report, results, options.judgement));
  return report;
}
