import { parse as parseCsv } from "csv-parse/sync";
import { z } from "zod";
import { checkValue, dottedPath, explainIssues } from "../../config/explain-issues.js";
import { ShouldersError } from "../../errors.js";

export const invalid = (message: string, cause?: unknown): ShouldersError =>
  new ShouldersError("evaluation_invalid", message, { cause });

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function readJsonLines(text: string, file: string): unknown[] {
  return text.split("\n").flatMap((line, index) => {
    if (line.trim() === "") return [];
    try {
      return [JSON.parse(line) as unknown];
    } catch (error) {
      throw invalid(`${file}:${index + 1}: not JSON: ${reasonOf(error)}`, error);
    }
  });
}

const wholeSchema = z.union([z.array(z.unknown()), z.looseObject({ Data: z.array(z.unknown()) })]);

/** The rows of one JSON document: an array, or TriviaQA's object around it. Null: it is not one. */
function readJson(text: string): unknown[] | null {
  try {
    const whole = wholeSchema.safeParse(JSON.parse(text));
    if (!whole.success) return null;
    return Array.isArray(whole.data) ? whole.data : whole.data.Data;
  } catch {
    return null;
  }
}

/**
 * Rows of a data set as it is published: CSV (by the file's ending; `columns` for files without a header), one JSON
 * document, or JSON lines.
 * @throws ShouldersError `evaluation_invalid`, with file and line.
 */
export function readRows(text: string, file: string, columns?: readonly string[]): unknown[] {
  if (!file.endsWith(".csv")) return readJson(text) ?? readJsonLines(text, file);
  try {
    return parseCsv(text, { columns: columns === undefined ? true : [...columns], bom: true });
  } catch (error) {
    throw invalid(`${file}: not CSV: ${reasonOf(error)}`, error);
  }
}

/** Rows through a schema. @throws ShouldersError `evaluation_invalid` for the first row that is wrong. */
export function parseRows<T>(rows: readonly unknown[], schema: z.ZodType<T>, file: string): T[] {
  if (rows.length === 0) throw invalid(`${file}: no items in this file`);
  return rows.map((row, index) => {
    const checked = checkValue(schema, row);
    if (checked.isValid) return checked.data;
    const problems = explainIssues(schema, row, checked.issues);
    const shown = problems.map(({ path, message }) =>
      path.length === 0 ? message : `${dottedPath(path)}: ${message}`,
    );
    throw invalid(`${file}: item ${index + 1}: ${shown.join("; ")}`);
  });
}
