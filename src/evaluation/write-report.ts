import { writeFileSync } from "node:fs";
import path from "node:path";
import { gapChart, scoreChart } from "./charts/dot-plot.js";
import { curveChart } from "./charts/curve-chart.js";
import { shareCurves, weightCurves } from "./curves.js";
import { renderMarkdown } from "./markdown.js";
import { type Report, type ReportOptions, buildReport } from "./report.js";
import type { Results } from "./runner.js";

/** Writes report.json, report.md and the pictures that there is something to draw for. */
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
  writeFileSync(path.join(directory, "report.md"), renderMarkdown(report, pictures));
  return report;
}
