import type { LoadedFusionConfig } from "../config/load.js";
import { serversOf } from "../config/rpc-servers.js";
import type { Settings } from "../config/settings.js";
import { ModelRouter } from "../engine/router.js";
import { ShouldersError } from "../errors.js";
import type { Logger } from "../log.js";
import { readGgufHeader } from "../llama/gguf-file.js";
import type { Engine } from "../protocol/protocol.js";
import { ConfigReloader, sourcesOf } from "./config-reloader.js";
import { checkVocabularies, readFactsOf } from "./init-models.js";
import { findWrongPaths, openEngine, resolveConfigs, throwAll, withConfigPlace } from "./open-engine.js";
import { planBytes } from "./plan-downloads.js";

interface Parts {
  settings: Settings;
  log: Logger;
}

/**
 * Configs that share model files or RPC servers, directly or by others: one engine holds them, and each file once.
 */
function groupBySources(configs: readonly LoadedFusionConfig[]): LoadedFusionConfig[][] {
  let groups: { sources: Set<string>; configs: LoadedFusionConfig[] }[] = [];
  for (const config of configs) {
    const sources = [...sourcesOf(config), ...serversOf([config])];
    const shares = groups.filter((group) => sources.some((source) => group.sources.has(source)));
    groups = groups.filter((group) => !shares.includes(group));
    groups.push({
      sources: new Set([...shares.flatMap((group) => [...group.sources]), ...sources]),
      configs: [...shares.flatMap((group) => group.configs), config],
    });
  }
  const place = new Map(configs.map((config, index) => [config, index]));
  return groups.map((group) => group.configs.sort((a, b) => (place.get(a) ?? 0) - (place.get(b) ?? 0)));
}

function logWarnings({ description }: Engine, log: Logger): void {
  for (const { id, warnings } of description?.configs ?? [])
    for (const { code, message, advice } of warnings)
      log.warn({ config: id, code }, `config "${id}": ${message}. ${advice}`);
}

/** The models of `serve`, which come and go. */
export class ModelServer {
  readonly router: ModelRouter;
  readonly reloader: ConfigReloader;
  readonly #configs: readonly LoadedFusionConfig[];
  readonly #parts: Parts;

  constructor(configs: readonly LoadedFusionConfig[], parts: Parts) {
    const { settings, log } = parts;
    this.#configs = configs;
    this.#parts = parts;
    this.router = new ModelRouter({
      open: async (opened, { signal, onProgress }) => {
        const engine = await openEngine({ configs: opened, settings, log, signal, onProgress });
        logWarnings(engine, log);
        return engine;
      },
      plan: (planned, signal) => planBytes(planned, { settings, log, signal }),
      reload: () => this.reloader.reload(),
      log,
      memoryBytes: settings.memoryMegabytes * 2 ** 20,
      idleMs: settings.unloadAfterMinutes * 60_000,
      waitMs: settings.queueTimeoutSeconds * 1_000,
      pinned: settings.pin,
    });
    this.router.know(configs);
    this.reloader = new ConfigReloader({ router: this.router, settings, log }, configs);
  }

  /**
   * Loads what is to be loaded at the start. A config that cannot be loaded stops no other, unless it is asked for by
   * name or there is none left.
   */
  async start(): Promise<void> {
    const { settings } = this.#parts;
    const failures: ShouldersError[] = [];
    for (const group of groupBySources(this.#configs)) {
      const [failure] = await this.router.start([group]);
      if (failure === undefined) continue;
      if (settings.load.length > 0) throw failure;
      failures.push(failure);
      const good = group.length > 1 ? await this.#sift(group) : [];
      if (good.length > 0 && good.length < group.length) failures.push(...(await this.router.start([good])));
    }
    this.router.started();
    const [first] = failures;
    if (first !== undefined && this.router.list().every(({ status }) => status !== "loaded")) throw first;
  }

  /** The configs of a group to which nothing bad can be seen from outside. */
  async #sift(group: readonly LoadedFusionConfig[]): Promise<LoadedFusionConfig[]> {
    const { settings, log } = this.#parts;
    const good: LoadedFusionConfig[] = [];
    for (const config of group) {
      try {
        throwAll(await findWrongPaths(config, readGgufHeader));
        const [resolved] = await resolveConfigs([config], settings, this.router.signal);
        if (resolved !== undefined)
          checkVocabularies(readFactsOf(resolved.members), config.config.vocabulary);
        good.push(config);
      } catch (error) {
        log.error(`this fusion config is left out: ${withConfigPlace(config, error)}`);
      }
    }
    return good;
  }
}
