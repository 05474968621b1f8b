import { figureTargets, type FigureId } from "./figures.js";
import type { Figure } from "./report.js";

/** The table of last results in bench/README.md: between these lines, a row a figure. */
const begin = "<!-- results: written by `npm run bench -- --record` -->";
const end = "<!-- end of results -->";

/** Puts figures into the text's table; rows of figures that were not measured now stay as they are. */
export function recordFigures(
  text: string,
  figures: readonly Figure[],
  { hardware, date }: { hardware: string; date: string },
): string {
  const [head, rest] = cut(text, begin);
  const [table, tail] = cut(rest, end);
  const rowOf = new Map<string, string>();
  for (const line of table.split("\n")) {
    const id = /^\| (\w+) \|/.exec(line)?.[1];
    if (id !== undefined && id in figureTargets) rowOf.set(id, line);
  }
  for (const { id, value, unit, target, holds } of figures) {
    const cells = [id, `${value.toPrecision(3)} ${unit}`, target, holds ? "yes" : "no", date, hardware];
    rowOf.set(id, `| ${cells.join(" | ")} |`);
  }
  const rows = (Object.keys(figureTargets) as FigureId[]).flatMap((id) => rowOf.get(id) ?? []);
  const heading = [
    "| figure | last result | target | holds | date | hardware |",
    `| ${Array(6).fill("---").join(" | ")} |`,
  ];
  return `${head}${begin}\n\n${[...heading, ...rows].join("\n")}\n\n${end}${tail}`;
}

function cut(text: string, mark: string): [before: string, after: string] {
  const at = text.indexOf(mark);
  if (at < 0) throw new Error(`bench/README.md lacks the line "${mark}"`);
  return [text.slice(0, at), text.slice(at + mark.length)];
}
