import { cpus, totalmem } from "node:os";

/** One table of figures, all measured in the same run. */
export interface Table {
  title: string;
  workload: string;
  head: string[];
  rows: (string | number)[][];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

export function hardware(): string {
  const model = cpus()[0]?.model ?? "unknown processor";
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${model}, ${memory} GiB, Node ${process.version}, ${process.platform}-${process.arch}`;
}

const cell = (value: string | number): string =>
  typeof value === "string" || Number.isInteger(value) ? String(value) : value.toPrecision(3);

export function markdown(tables: readonly Table[]): string {
  const parts = tables.map(({ title, workload, head, rows }) =>
    [
      `### ${title}`,
      "",
      `${workload}.`,
      "",
      `| ${head.join(" | ")} |`,
      `| ${head.map(() => "---").join(" | ")} |`,
      ...rows.map((row) => `| ${row.map(cell).join(" | ")} |`),
    ].join("\n"),
  );
  return [`${hardware()}; ${new Date().toISOString().slice(0, 10)}`, ...parts].join("\n\n") + "\n";
}
