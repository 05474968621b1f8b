import { cpus, loadavg, totalmem } from "node:os";
import { figureTargets, type FigureId } from "./figures.js";

/** One table of what was measured in the same run. */
export interface Table {
  title: string;
  workload: string;
  head: string[];
  rows: (string | number)[][];
}

/** What one part of the bench found. */
export interface PartResult {
  values: Partial<Record<FigureId, number>>;
  tables: Table[];
}

export interface Figure {
  id: FigureId;
  value: number;
  unit: string;
  /** `<= 1.1` */
  target: string;
  holds: boolean;
}

export function toFigure(id: FigureId, value: number): Figure {
  const { unit, limit, is } = figureTargets[id];
  const holds = is === "most" ? value <= limit : value >= limit;
  return { id, value, unit, target: `${is === "most" ? "<=" : ">="} ${limit}`, holds };
}

export function hardware(): string {
  const model = cpus()[0]?.model ?? "unknown processor";
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${model}, ${memory} GiB, Node ${process.version}, ${process.platform}-${process.arch}`;
}

/** How busy the machine is by itself: what was measured on a busy one says less. */
export function loadText(): string {
  return `load average ${loadavg()
    .map((load) => load.toFixed(1))
    .join(", ")}`;
}

const cell = (value: string | number): string =>
  typeof value === "string" || Number.isInteger(value) ? String(value) : value.toPrecision(3);

function markdownTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n");
}

export function tableMarkdown({ title, workload, head, rows }: Table): string {
  return [`### ${title}`, "", `${workload}.`, "", markdownTable(head, rows)].join("\n");
}

export function figuresMarkdown(figures: readonly Figure[]): string {
  return markdownTable(
    ["figure", "value", "unit", "target", "holds"],
    figures.map(({ id, value, unit, target, holds }) => [id, value, unit, target, holds ? "yes" : "**no**"]),
  );
}
