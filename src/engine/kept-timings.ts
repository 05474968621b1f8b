import { inOrder } from "../config/members.js";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import type { NativeLibrary } from "../llama/types.js";
import type { Logger } from "../log.js";
import type { EngineSettings, ResolvedFusionConfig } from "../protocol/protocol.js";
import { type KnownTimings, knownTimingsSchema } from "../protocol/timings.js";
import { KeptFiles } from "./kept-files.js";

type Log = Pick<Logger, "debug">;

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
    inOrder(members).map(({ role, source, path, adapterPath }) => ({
      ...source,
      role,
      model: hashOf(path),
      adapter: adapterPath === null ? undefined : hashOf(adapterPath),
    })),
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

const kept = (log: Log): KeptFiles<KnownTimings> => new KeptFiles("decode-timings", knownTimingsSchema, log);

/** Timings of an earlier start; null: none. */
export function readTimings(key: string, log: Log): KnownTimings | null {
  const known = kept(log).read(key);
  return known?.key === key ? known : null;
}

export function keepTimings(known: KnownTimings, log: Log): void {
  kept(log).keep(known.key, known);
}
