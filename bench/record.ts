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
  const rowOf = new Map<string, string[]>();
  for (const line of table.split("\n")) {
    const cells = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    if (cells[0] !== undefined && cells[0] in figureTargets) rowOf.set(cells[0], cells);
  }
  for (const { id, value, unit, target, holds } of figures)
    rowOf.set(id, [id, `${value.toPrecision(3)} ${unit}`, target, holds ? "yes" : "no", date, hardware]);
  const rows = (Object.keys(figureTargets) as FigureId[]).flatMap((id) => {
    const row = rowOf.get(id);
    return row ? [row] : [];
  });
  return `${head}${begin}\n\n${aligned([columns, ...rows])}\n\n${end}${tail}`;
}

const columns = ["figure", "last result", "target", "holds", "date", "hardware"];

/** A Markdown table with columns of even width, as Prettier wants it; the first row is its head. */
function aligned(rows: readonly string[][]): string {
  const widths = columns.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const [head = [], ...rest] = rows;
  return [head, widths.map((width) => "-".repeat(width)), ...rest].map(line).join("\n");
}

function cut(text: string, mark: string): [before: string, after: string] {
  const at = text.indexOf(mark);
  if (at < 0) throw new Error(`bench/README.md lacks the line "${mark}"`);
  return [text.slice(0, at), text.slice(at + mark.length)];
}
