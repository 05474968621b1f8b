import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";
import type { z } from "zod";

/**
 * JSON lines that only grow, found again by their `key`, a digest of everything that decides them: lines of other
 * settings stay and are not looked at. A line that was cut short by the end of the process is dropped when the file is
 * opened again.
 */
export class KeyedLines<Line extends { key: string }> {
  readonly #file: string;
  readonly #keyToLine = new Map<string, Line>();

  constructor(file: string, schema: z.ZodType<Line>) {
    this.#file = file;
    if (!existsSync(file)) return;
    const text = readFileSync(file, "utf8");
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole.length < text.length) truncateSync(file, Buffer.byteLength(whole));
    for (const row of whole.split("\n")) {
      const line = parseLine(row, schema);
      if (line !== null) this.#keyToLine.set(line.key, line);
    }
  }

  /** The last line with this key. */
  find(key: string): Line | undefined {
    return this.#keyToLine.get(key);
  }

  append(line: Line): void {
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
    this.#keyToLine.set(line.key, line);
  }
}

function parseLine<Line>(text: string, schema: z.ZodType<Line>): Line | null {
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
