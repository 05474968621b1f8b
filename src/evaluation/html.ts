import type { AnswerLine } from "./answers-file.js";
import { type Judged, type Judgement, judgedHead, judgedRows, pairKey } from "./judge.js";
import { scoreRows } from "./markdown.js";
import type { Report } from "./report.js";
import type { Results } from "./runner.js";

const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
export const escaped = (text: string): string =>
  text.replaceAll(/[&<>"]/g, (character) => escapes[character] ?? "");

const style = `
:root { color-scheme: light dark; --line: #8884; --right: #2a7d4f; --wrong: #b3423a; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: 0.25rem 0.75rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
details { border-top: 1px solid var(--line); padding: 0.5rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
pre { font: inherit; margin: 0.25rem 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.answers { display: grid; gap: 0.75rem; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); }
.answers section { border: 1px solid var(--line); border-left: 4px solid var(--line); padding: 0.5rem 0.75rem; }
.answers .right { border-left-color: var(--right); }
.answers .wrong { border-left-color: var(--wrong); }
h3 { font-size: 0.9rem; margin: 0; }
.quiet { opacity: 0.7; }
`;

export function htmlTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[], tag: "th" | "td") =>
    `<tr>${row.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join("")}</tr>`;
  const body = rows.map((row) => cells(row, "td")).join("\n");
  return `<div style="overflow-x: auto"><table><thead>${cells(head, "th")}</thead><tbody>${body}</tbody></table></div>`;
}

export const promptText = ({ prompt }: AnswerLine): string =>
  typeof prompt === "string" ? prompt : prompt.map(({ role, content }) => `${role}: ${content}`).join("\n");

/** The last thing that was asked, on one line. */
export function titleOf({ prompt }: AnswerLine): string {
  const text = typeof prompt === "string" ? prompt : (prompt.at(-1)?.content ?? "");
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}

const verdictWords = new Map([
  [1, "judged better"],
  [0.5, "judged equal"],
  [0, "judged worse"],
]);

function answerSection(method: string, line: AnswerLine, verdict: number | undefined): string {
  const { answer, score, error } = line;
  const kind = score === null ? "" : score >= 0.5 ? "right" : "wrong";
  const marks = [
    score === null ? null : score.toFixed(2),
    verdict === undefined ? null : verdictWords.get(verdict),
  ].filter((mark) => mark != null);
  const heading = `<h3>${escaped(method)} <span class="quiet">${escaped(marks.join(", "))}</span></h3>`;
  return `<section class="${kind}">${heading}<pre>${escaped(answer ?? error?.message ?? "")}</pre></section>`;
}

function itemDetails(lines: ReadonlyMap<string, AnswerLine>, judgement: Judgement | null): string {
  const [first] = lines.values();
  if (first === undefined) return "";
  const against = judgement === null ? undefined : lines.get(judgement.judged.against);
  const answers = [...lines].map(([method, line]) =>
    answerSection(method, line, against && judgement?.pairs.get(pairKey(line, against))),
  );
  const expected =
    first.expected.length === 0 ? "" : `<p class="quiet">Right: ${escaped(first.expected.join(" | "))}</p>`;
  return `<details><summary>${first.item + 1}. ${escaped(titleOf(first))}</summary>
<pre class="quiet">${escaped(promptText(first))}</pre>${expected}
<div class="answers">${answers.join("\n")}</div></details>`;
}

function taskSection(
  task: string,
  methods: ReadonlyMap<string, AnswerLine[]>,
  judgement: Judgement | null,
): string {
  const items = new Map<number, Map<string, AnswerLine>>();
  for (const [method, lines] of methods)
    for (const line of lines) {
      const known = items.get(line.item) ?? new Map<string, AnswerLine>();
      items.set(line.item, known.set(method, line));
    }
  const details = [...items.values()].map((lines) => itemDetails(lines, judgement));
  return `<h2>${escaped(task)}</h2>\n${details.join("\n")}`;
}

/** A page of its own that shows all answers to a question side by side, scored or not: a file for a browser. */
export function renderHtml(report: Report, results: Results, judgement: Judgement | null): string {
  const { tasks, judged } = report;
  const sections = [...results].map(([task, methods]) => taskSection(task, methods, judgement));
  return htmlPage(
    "Evaluation",
    report,
    `${htmlTable(["Score", ...Object.keys(tasks)], scoreRows(report))}
${judged === null ? "" : judgedHtml(judged)}
${sections.join("\n")}`,
  );
}

/** A page by itself, under what was run where. */
export function htmlPage(
  title: string,
  { command, hardware, date }: Pick<Report, "command" | "hardware" | "date">,
  body: string,
): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><style>${style}</style></head>
<body>
<h1>${title}</h1>
<p><code>${escaped(command)}</code><br>${escaped(hardware)}; ${escaped(date.slice(0, 16).replace("T", " "))} UTC.</p>
${body}
</body>
</html>
`;
}

function judgedHtml(judged: Judged): string {
  return `<h2>Against ${escaped(judged.against)}, by ${escaped(judged.model)}</h2>
${htmlTable(judgedHead, judgedRows(judged))}
<details><summary>What the judge was asked</summary><pre>${escaped(judged.prompt)}</pre></details>`;
}
