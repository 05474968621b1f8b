export interface Column {
  header: string;
  align: "left" | "right";
}

export interface Cell {
  text: string;
  /** Dresses the padded text, e.g. in a colour, without changing its width. */
  style?: (text: string) => string;
}

const control = /[\u0000-\u001f\u007f-\u009f]/g;

/** A text on one line: line ends and other control characters written as escapes, so that no text moves the cursor. */
export function visible(text: string): string {
  return text.replaceAll(control, (character) => {
    const escaped = JSON.stringify(character).slice(1, -1);
    if (escaped.length > 1) return escaped;
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
  });
}

const segmenter = new Intl.Segmenter();

/** Characters as a person counts them. */
const width = (text: string): number => [...segmenter.segment(text)].length;

/** Columns padded to their widest cell, two spaces apart, with a rule under the header; every line ends in \n. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly (string | Cell)[])[],
): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === "string" ? { text: cell } : cell)));
  const widths = columns.map(({ header }, index) =>
    Math.max(width(header), ...cells.map((row) => width(row[index]?.text ?? ""))),
  );
  const pad = (text: string, index: number): string => {
    const gap = " ".repeat((widths[index] ?? 0) - width(text));
    return columns[index]?.align === "right" ? gap + text : text + gap;
  };
  const line = (row: readonly Cell[]): string =>
    columns
      .map((_, index) => {
        const cell = row[index] ?? { text: "" };
        return (cell.style ?? String)(pad(cell.text, index));
      })
      .join("  ")
      .trimEnd();
  const header = line(columns.map((column) => ({ text: column.header })));
  const rule = widths
    .map((columnWidth) => "─".repeat(columnWidth))
    .join("  ")
    .trimEnd();
  return [header, rule, ...cells.map(line)].map((text) => `${text}\n`).join("");
}
