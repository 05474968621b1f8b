import { existsSync, type FSWatcher, statSync, watch } from "node:fs";
import path from "node:path";
import { debateAuditPathOf } from "../config/debate-audit.js";
import { expandHome } from "../config/home-path.js";
import { type LoadedFusionConfig, readFusionConfigs } from "../config/load.js";
import { filesOf } from "../config/members.js";
import type { Settings } from "../config/settings.js";
import type { ModelRouter } from "../engine/router.js";
import { ShouldersError } from "../errors.js";
import type { Logger } from "../log.js";
import { cardPathOf } from "../routing/card.js";
import { findWrongPaths, withConfigPlace } from "./open-engine.js";

/** Editors write a file in several steps. */
const settleMs = 300;

export interface ReloaderOptions {
  router: ModelRouter;
  settings: Settings;
  log: Logger;
}

/** Size and time of a file; empty where there is none. */
function stampOf(file: string): string {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.size} ${stats.mtimeMs}`;
}

/** Where a config's models are, as far as their files have a place here. */
export function sourcesOf({ file, config }: LoadedFusionConfig): string[] {
  return filesOf(config).map((model) =>
    /^[a-z]{2,}:/i.test(model) ? model : path.resolve(path.dirname(file), expandHome(model)),
  );
}

/** Changes with whatever may change a config's answers. */
function versionOf(loaded: LoadedFusionConfig): string {
  const { file, config } = loaded;
  const beside = [cardPathOf(file, config.id), debateAuditPathOf(file, config.id)];
  return JSON.stringify([config, ...beside.map(stampOf), ...sourcesOf(loaded).map(stampOf)]);
}

/**
 * Reads the fusion configs again while they are served. What is wrong with one changes nothing of it and stops no other.
 */
export class ConfigReloader {
  readonly #options: ReloaderOptions;
  /** What is served, by id. */
  readonly #served = new Map<string, { loaded: LoadedFusionConfig; version: string }>();
  #running: Promise<string[]> | null = null;
  #isStale = false;
  #watcher: FSWatcher | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: ReloaderOptions, served: readonly LoadedFusionConfig[]) {
    this.#options = options;
    for (const loaded of served) this.#note(loaded);
  }

  /** @returns a line for each thing that is wrong */
  async reload(): Promise<string[]> {
    this.#isStale = true;
    this.#running ??= this.#run().finally(() => (this.#running = null));
    return this.#running;
  }

  /** Reads again and logs, for those who wait for no answer. */
  reloadAside(): void {
    this.reload().catch((error: unknown) =>
      this.#options.log.error({ err: error }, "the fusion configs could not be read again"),
    );
  }

  watch(): void {
    const { settings, log } = this.#options;
    const source = settings.fusionConfigs;
    const folder = statSync(source).isDirectory() ? source : path.dirname(source);
    try {
      this.#watcher = watch(folder, { persistent: false }, () => {
        if (this.#timer !== null) clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.reloadAside(), settleMs).unref();
      });
      this.#watcher.on("error", (error) => log.warn({ err: error }, "fusion configs are watched no longer"));
    } catch (error) {
      log.warn(
        { err: error },
        "fusion configs cannot be watched here; reload them by SIGHUP or POST /v1/models/reload",
      );
    }
  }

  close(): void {
    this.#watcher?.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** What comes while one run is on is seen by another. */
  async #run(): Promise<string[]> {
    let problems: string[] = [];
    while (this.#isStale) {
      this.#isStale = false;
      problems = await this.#once();
    }
    for (const problem of problems) this.#options.log.error(`a fusion config stays as it was: ${problem}`);
    return problems;
  }

  async #once(): Promise<string[]> {
    const { router, settings, log } = this.#options;
    const { loaded, problems } = readAll(settings.fusionConfigs);
    const wanted = loaded.filter(
      ({ config }) => settings.load.length === 0 || settings.load.includes(config.id),
    );
    const given = new Map(wanted.map((one) => [one.config.id, one]));
    for (const [id, { loaded: old }] of [...this.#served])
      // One whose file is there and cannot be read now is served as it was.
      if (!given.has(id) && !(problems.length > 0 && existsSync(old.file))) this.#served.delete(id);
    const changed = wanted.filter((one) => this.#served.get(one.config.id)?.version !== versionOf(one));
    for (const one of changed) {
      const { id } = one.config;
      const wrong = await findWrongPaths(one);
      if (wrong.length > 0) problems.push(...wrong.map(({ message }) => message));
      else {
        const isNew = !this.#served.has(id);
        const before = this.#served.get(id);
        this.#note(one);
        router.know([...this.#served.values()].map((served) => served.loaded));
        try {
          if (!isNew) await router.replace(one);
          else if (settings.memoryMegabytes === 0)
            await router.load(id, { pin: null, signal: router.signal });
          log.info({ config: id }, isNew ? "a fusion config is new" : "a fusion config has changed");
        } catch (error) {
          problems.push(withConfigPlace(one, error));
          if (before !== undefined) this.#served.set(id, before);
        }
      }
    }
    router.know([...this.#served.values()].map((served) => served.loaded));
    return problems;
  }

  #note(loaded: LoadedFusionConfig): void {
    this.#served.set(loaded.config.id, { loaded, version: versionOf(loaded) });
  }
}

/** What can be read; a folder without a config is a problem, and takes nothing away. */
function readAll(source: string): { loaded: LoadedFusionConfig[]; problems: string[] } {
  try {
    return readFusionConfigs(source);
  } catch (error) {
    return { loaded: [], problems: [ShouldersError.from(error).message] };
  }
}
