import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { cacheFolder } from "../config/cache-folder.js";

const fileSchema = z.record(
  z.string(),
  z.strictObject({
    /** ISO date of the trial. */
    date: z.string(),
    /** Why it does not work; null: it works. */
    failure: z.string().nullable(),
  }),
);

export type Trial = z.infer<typeof fileSchema>[string];

/** The oldest go first. */
const mostTrials = 100;

/**
 * What came of trying GPU backends on this machine: a small file in the cache folder, so that a later start need not
 * find out again. Without a folder that can be written each start does.
 */
export class TriedBackends {
  readonly file = path.join(cacheFolder(), "backends.json");

  get(about: readonly string[]): Trial | null {
    return this.#read()[keyOf(about)] ?? null;
  }

  /** @returns why it could not be written down; null: it was. */
  set(about: readonly string[], failure: string | null): unknown {
    return this.#write({ ...this.#read(), [keyOf(about)]: { date: new Date().toISOString(), failure } });
  }

  /** The next start tries again. @returns as `set`. */
  forget(about: readonly string[]): unknown {
    const others = Object.entries(this.#read()).filter(([key]) => key !== keyOf(about));
    return this.#write(Object.fromEntries(others));
  }

  #write(trials: Record<string, Trial>): unknown {
    const latest = Object.entries(trials)
      .sort(([, a], [, b]) => b.date.localeCompare(a.date))
      .slice(0, mostTrials);
    try {
      mkdirSync(path.dirname(this.file), { recursive: true });
      // Renamed when it is whole: another start may be reading it.
      const written = `${this.file}.${process.pid}`;
      writeFileSync(written, `${JSON.stringify(Object.fromEntries(latest), null, 2)}\n`);
      renameSync(written, this.file);
      return null;
    } catch (error) {
      return error;
    }
  }

  /** What cannot be read or is no such file counts as nothing tried: it is written anew. */
  #read(): z.infer<typeof fileSchema> {
    try {
      return fileSchema.parse(JSON.parse(readFileSync(this.file, "utf8")));
    } catch {
      return {};
    }
  }
}

function keyOf(about: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(about)).digest("hex");
}
