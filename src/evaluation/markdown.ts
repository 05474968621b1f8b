import type { MethodFigures } from "./figures.js";
import { judgedHead, judgedRows } from "./judge.js";
import type { Report } from "./report.js";

export const fixed = (value: number | null, digits = 2): string =>
  value === null ? "" : value.toFixed(digits);
export const signed = (value: number | null): string =>
  value === null ? "" : (value > 0 ? "+" : "") + value.toFixed(2);
const percent = (value: number | null): string => (value === null ? "" : `${(100 * value).toFixed(0)} %`);

export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = header.map((_, index) => (index === 0 ? "---" : "---:"));
  return [line(header), line(rule), ...rows.map(line)].join("\n");
}

/** A row for each method that was asked: its name, and its score on each task. */
export function scoreRows({ tasks, methods }: Report): string[][] {
  const asked = Object.keys(methods).filter((method) => Object.values(tasks).some((one) => method in one));
  return asked.map((method) => [
    method,
    ...Object.values(tasks).map((one) => fixed(one[method]?.score ?? null)),
  ]);
}

type Figures = Record<string, MethodFigures>;

/** Columns that at least one method has a value in. */
const columns: [header: string, cell: (figures: MethodFigures) => string][] = [
  ["score", ({ score }) => fixed(score)],
  ["95 % interval", ({ low, high }) => (low === null ? "" : `${fixed(low)} to ${fixed(high)}`)],
  ["items", ({ items }) => String(items)],
  ["errors", ({ errors }) => (errors === 0 ? "" : String(errors))],
  ["ratio", ({ ratio }) => fixed(ratio)],
  ["PGR", ({ pgr }) => fixed(pgr)],
  [
    "PGR's interval",
    ({ pgrLow = null, pgrHigh = null }) => (pgrLow === null ? "" : `${fixed(pgrLow)} to ${fixed(pgrHigh)}`),
  ],
  ["Burns' PGR", ({ burnsPgr }) => fixed(burnsPgr)],
  ["harm", ({ harm }) => signed(harm)],
  [
    "its interval",
    ({ harmLow, harmHigh }) => (harmLow === null ? "" : `${signed(harmLow)} to ${signed(harmHigh)}`),
  ],
  ["nats a token", ({ forward }) => fixed(forward, 3)],
  ["flipped", ({ flipped }) => percent(flipped)],
  ["skipped", ({ skippedShare }) => percent(skippedShare)],
  ["tokens/s", ({ tokensPerSecond }) => fixed(tokensPerSecond, 0)],
];

function taskTable(figures: Figures): string {
  const all = Object.values(figures);
  const shown = columns.filter(([, cell]) => all.some((one) => cell(one) !== ""));
  const rows = Object.entries(figures).map(([method, one]) => [
    method,
    ...shown.map(([, cell]) => cell(one)),
  ]);
  return markdownTable(["Method", ...shown.map(([header]) => header)], rows);
}

const definitions = `- **score**: mean over the items, each from 0 to 1; the interval is a 95 % percentile bootstrap over 2,000 resamples.
- **ratio**: score ÷ tuned base, the paper's share of full tuning.
- **PGR**: (score − base alone) ÷ (tuned base − base alone), the gap recovered; empty where tuning gained nothing. Its interval is that of resampled items.
- **Burns' PGR**: (score − right expert) ÷ (tuned base − right expert), as in arXiv 2312.09390.
- **harm**: score − max(base alone, right expert): below 0, fusing was worse than its better part. Its interval is that of the differences on the same items.
- **nats a token**: mean KL(fused‖base) over the sampled tokens.
- **flipped**: share of sampled tokens at which the fused first choice is not the base's.
- **skipped**: share of a mixture's experts that were not decoded.
- **tokens/s**: sampled tokens over the time in which at least one answer was being written.

Answers are greedy. Multiple choice is scored by the letter or text that the answer names, unless its scorer is likelihood. An item whose answer failed is counted under errors and is in no mean.`;

interface Picture {
  /** The picture's path, as the text names it. */
  file: string;
  title: string;
}

/** Tables, pictures, targets and definitions: all but the heading. */
export function reportSections(report: Report, pictures: readonly Picture[]): string {
  const { hardware, date, command, tasks, methods, figures, judged } = report;
  const sections = [
    `\`${command}\`\n\n${hardware}; ${date.slice(0, 16).replace("T", " ")} UTC.`,
    markdownTable(["Score", ...Object.keys(tasks)], scoreRows(report)),
    ...pictures.map(({ file, title }) => `![${title}](${file})`),
    ...Object.entries(tasks).map(([task, one]) => `## ${task}\n\n${taskTable(one)}`),
  ];
  if (judged)
    sections.push(
      `## Against ${judged.against}, by ${judged.model}\n\n${markdownTable(judgedHead, judgedRows(judged))}\n\n` +
        `The judge, at ${judged.url}, was asked twice a pair, in both orders: a verdict that went by the order is a tie.\n\n` +
        `\`\`\`text\n${judged.prompt}\n\`\`\``,
    );
  if (figures.length > 0) {
    const rows = figures.map(({ id, value, target, holds }) => [
      id,
      fixed(value, 3),
      target,
      holds ? "yes" : "no",
    ]);
    sections.push(`## Targets\n\n${markdownTable(["Figure", "value", "target", "holds"], rows)}`);
  }
  const used = scoreRows(report).map(([name = ""]) => `- \`${name}\`: ${methods[name] ?? ""}`);
  sections.push(`## Methods\n\n${used.join("\n")}`, `## Figures\n\n${definitions}`);
  return sections.join("\n\n");
}

export const renderMarkdown = (report: Report, pictures: readonly Picture[]): string =>
  `# Evaluation\n\n${reportSections(report, pictures)}\n`;
