import { inOrder } from "../config/members.js";
import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import path from "node:path";
import { z } from "zod";
import { cacheFolder } from "../config/cache-folder.js";
import type { NativeLibrary } from "../llama/types.js";
import type { Logger } from "../log.js";
import type { EngineSettings, ResolvedFusionConfig } from "./protocol.js";

const waySchema = z.strictObject({
  mode: z.enum(["together", "in-turn"]),
  threads: z.record(z.string(), z.int().min(1).max(1024)),
  stepMs: z.number().positive(),
});

/** Timings, and what they hold for. */
const knownSchema = z.strictObject({
  /** The key that `timingsKey` makes. */
  key: z.string(),
  /** Every way was timed as often as is wanted. */
  isSettled: z.boolean(),
  /** ISO. */
  date: z.iso.datetime(),
  timings: waySchema.extend({ batch: waySchema, promptTokenMs: z.number().nonnegative() }),
});

/** Timings as they cross the pipe, and lie in the cache folder in a file of their own. */
export type KnownTimings = z.output<typeof knownSchema>;

type Log = Pick<Logger, "debug">;

/** Most files that are kept; those written longest ago go first. */
const mostFiles = 64;
const mostBytes = 2 ** 20;

const folder = (): string => path.join(cacheFolder(), "decode-timings");
const fileOf = (key: string): string => path.join(folder(), `${key}.json`);

export interface TimedParts {
  library: NativeLibrary;
  configs: readonly ResolvedFusionConfig[];
  settings: EngineSettings;
  /** Ids of the loaded models, in their order. */
  modelIds: readonly string[];
  /** What is in a model file. */
  hashOf: (file: string) => string;
}

/** A digest of everything that decides how fast steps are: timings hold for what has the same one. */
export function timingsKey({ library, configs, settings, modelIds, hashOf }: TimedParts): string {
  const models = configs.map(({ config, members }) => [
    config.context,
    inOrder(members).map(({ role, source, path }) => ({ ...source, role, model: hashOf(path) })),
  ]);
  const known = {
    library: [library.llamaVersion, library.nodeLlamaCppVersion, library.backend, library.devices],
    machine: [process.platform, process.arch, cpus()[0]?.model, availableParallelism(), quota()],
    settings: [settings.threads, settings.batchTokens],
    modelIds,
    models,
  };
  return createHash("sha256").update(JSON.stringify(known)).digest("hex").slice(0, 32);
}

/** What a container may use of the processors; null: no such limit, or none that can be read. */
function quota(): string | null {
  try {
    return readFileSync("/sys/fs/cgroup/cpu.max", "utf8").trim();
  } catch {
    return null;
  }
}

/**
 * What was kept under this key; null: nothing that can be used. A file that is broken or of another program is no
 * error: it is written anew.
 */
export function readTimings(key: string, log: Log): KnownTimings | null {
  const file = fileOf(key);
  try {
    // Of a file that is too large for one of this program's, nothing is read.
    const text = statSync(file).size > mostBytes ? "" : readFileSync(file, "utf8");
    const known = knownSchema.parse(JSON.parse(text));
    return known.key === key ? known : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      log.debug({ file, err: error }, "kept timings cannot be read; ways to decode are timed again");
    return null;
  }
}

/**
 * Keeps timings for later starts, whole or not at all, also when two processes write at once. A folder that cannot be
 * written is no error: later starts time again.
 */
export function keepTimings(known: KnownTimings, log: Log): void {
  const file = fileOf(known.key);
  const draft = `${file}.${randomUUID()}`;
  try {
    mkdirSync(folder(), { recursive: true });
    try {
      writeFileSync(draft, JSON.stringify(known));
      renameSync(draft, file);
    } catch (error) {
      rmSync(draft, { force: true });
      throw error;
    }
    dropOldest();
  } catch (error) {
    log.debug({ file, err: error }, "timings cannot be kept; the next start times again");
  }
}

/** Also drafts that a process left when it was killed. */
function dropOldest(): void {
  const files = readdirSync(folder()).map((name) => path.join(folder(), name));
  if (files.length <= mostFiles) return;
  const ageOf = new Map(files.map((file) => [file, statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0]));
  const byAge = files.sort((a, b) => (ageOf.get(b) ?? 0) - (ageOf.get(a) ?? 0));
  for (const file of byAge.slice(mostFiles)) rmSync(file, { force: true });
}
