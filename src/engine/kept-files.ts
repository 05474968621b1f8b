import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { systemCode } from "../errors.js";
import type { z } from "zod";
import { cacheFolder } from "../config/cache-folder.js";
import type { Logger } from "../log.js";

/** Most files that a folder keeps; those written longest ago go first. */
const mostFiles = 64;
const mostBytes = 2 ** 20;

/** Values that spare a later start some work: a file for each key, in a folder of the cache. */
export class KeptFiles<Value> {
  readonly #name: string;
  readonly #schema: z.ZodType<Value>;
  readonly #log: Pick<Logger, "debug">;

  constructor(name: string, schema: z.ZodType<Value>, log: Pick<Logger, "debug">) {
    this.#name = name;
    this.#schema = schema;
    this.#log = log;
  }

  /**
   * What was kept under this key; null: nothing that can be used. A file that is broken or of another program is no
   * error: it is written anew.
   */
  read(key: string): Value | null {
    const file = this.#fileOf(key);
    try {
      // Of a file that is too large for one of this program's, nothing is read.
      const text = statSync(file).size > mostBytes ? "" : readFileSync(file, "utf8");
      return this.#schema.parse(JSON.parse(text));
    } catch (error) {
      if (systemCode(error) !== "ENOENT")
        this.#log.debug({ file, err: error }, "what was kept cannot be read; it is found out again");
      return null;
    }
  }

  /**
   * Keeps a value for later starts, whole or not at all, also when two processes write at once. A folder that cannot be
   * written is no error: later starts find out again.
   */
  keep(key: string, value: Value): void {
    const file = this.#fileOf(key);
    const draft = `${file}.${randomUUID()}`;
    try {
      mkdirSync(this.#folder, { recursive: true });
      try {
        writeFileSync(draft, JSON.stringify(value));
        renameSync(draft, file);
      } catch (error) {
        rmSync(draft, { force: true });
        throw error;
      }
      this.#dropOldest();
    } catch (error) {
      this.#log.debug({ file, err: error }, "it cannot be kept; the next start finds out again");
    }
  }

  get #folder(): string {
    return path.join(cacheFolder(), this.#name);
  }

  #fileOf(key: string): string {
    return path.join(this.#folder, `${key}.json`);
  }

  /** Also drafts that a process left when it was killed. */
  #dropOldest(): void {
    const files = readdirSync(this.#folder).map((name) => path.join(this.#folder, name));
    if (files.length <= mostFiles) return;
    const ageOf = new Map(
      files.map((file) => [file, statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0]),
    );
    const byAge = files.sort((a, b) => (ageOf.get(b) ?? 0) - (ageOf.get(a) ?? 0));
    for (const file of byAge.slice(mostFiles)) rmSync(file, { force: true });
  }
}
