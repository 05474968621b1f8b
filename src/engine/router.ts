import type { LoadedFusionConfig } from "../config/load.js";
import { serversOf } from "../config/rpc-servers.js";
import { ShouldersError } from "../errors.js";
import type { HoldOptions, Models, ModelState, Release } from "../protocol/models.js";
import type {
  Asker,
  Engine,
  EngineDescription,
  EngineQuery,
  EngineStats,
  GenerationEvent,
  GenerationRequest,
  QueryResults,
  StepSample,
} from "../protocol/protocol.js";
import { type KnownConfig, KnownConfigs } from "./known-configs.js";
import { ModelGroup } from "./model-group.js";
import { OpenGroups } from "./open-groups.js";
import { PendingLoad } from "./pending-load.js";
import { leastNeeded, type RouterOptions } from "./router-parts.js";

/** Least time between two looks at what nobody uses. */
const idleCheckMs = 1_000;

/**
 * Many engines as one. Each holds the models of a few configs; a config whose models are not loaded is loaded when
 * somebody asks for it, and what was used longest ago makes room. Loads come one after the other.
 */
export class ModelRouter implements Engine, Models {
  readonly #options: RouterOptions;
  readonly #configs: KnownConfigs;
  readonly #groups = new OpenGroups();
  readonly #closing = new AbortController();
  readonly #idleTimer: NodeJS.Timeout | null;
  /** Bytes that a config was planned to take. */
  readonly #planned = new WeakMap<LoadedFusionConfig, number>();
  #queue: Promise<void> = Promise.resolve();
  #hasStarted = false;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#configs = new KnownConfigs(options.pinned);
    const { idleMs } = options;
    this.#idleTimer =
      idleMs > 0 ? setInterval(() => this.#unloadIdle(), Math.min(idleMs, idleCheckMs)).unref() : null;
  }

  /** Aborted when it is closed. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  get isReady(): boolean {
    const mayLoad = this.#groups.size === 0 && this.#configs.ids.length > 0;
    return this.#hasStarted && (this.description !== null || mayLoad);
  }

  get description(): EngineDescription | null {
    return this.#groups.describe(this.#configs.ids);
  }

  get trouble(): string | null {
    return this.#groups.trouble;
  }

  get stats(): EngineStats {
    return this.#groups.stats;
  }

  get numRestarts(): number {
    return this.#groups.numRestarts;
  }

  onStep(listener: (sample: StepSample) => void): void {
    this.#groups.onStep(listener);
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent, void> {
    const group = await this.#groupFor(request.configId, signal);
    const release = group.hold();
    try {
      yield* group.engine.generate(request, signal);
    } finally {
      release();
    }
  }

  async query<Q extends EngineQuery>(query: Q, asker?: Asker): Promise<QueryResults[Q["type"]]> {
    const group = await this.#groupFor(query.configId, asker?.signal ?? this.#closing.signal);
    const release = group.hold();
    try {
      return await group.engine.query(query, asker);
    } finally {
      release();
    }
  }

  list(): ModelState[] {
    return this.#configs.list();
  }

  has(id: string): boolean {
    return this.#configs.get(id) !== undefined;
  }

  tryHold(id: string): Release | null {
    return this.#configs.get(id)?.group?.hold() ?? null;
  }

  async hold(id: string, { signal, onProgress }: HoldOptions): Promise<Release> {
    signal.throwIfAborted();
    const entry = this.#configs.named(id);
    // One that was unloaded is there still where others share its models.
    entry.group ??= [...this.#groups].find((group) => !group.isLeaving && group.has(entry.loaded)) ?? null;
    if (entry.group !== null) return entry.group.hold();
    return this.#loadSoon(entry).wait({ signal, onProgress, waitMs: this.#options.waitMs });
  }

  async load(id: string, { pin, signal }: { pin: boolean | null; signal: AbortSignal }): Promise<void> {
    const entry = this.#configs.named(id);
    if (pin !== null) entry.isPinned = pin;
    (await this.hold(id, { signal }))();
  }

  async unload(id: string): Promise<void> {
    const entry = this.#configs.named(id);
    const { group } = entry;
    entry.group = null;
    if (group !== null) await this.#leaveIfUnused(group);
  }

  /** Knows these configs, and no others; loads none, and leaves those that it knows as they are. */
  know(configs: readonly LoadedFusionConfig[]): void {
    for (const group of this.#configs.know(configs)) void this.#leaveIfUnused(group);
  }

  reload(): Promise<string[]> {
    return this.#options.reload();
  }

  /**
   * Loads groups of configs at the start, as far as memory goes; the others are loaded when somebody asks for them.
   *
   * @returns why groups could not be loaded
   */
  async start(groups: readonly (readonly LoadedFusionConfig[])[]): Promise<ShouldersError[]> {
    const { memoryBytes, pinned } = this.#options;
    const failures: ShouldersError[] = [];
    for (const group of groups.filter(({ length }) => length > 0)) {
      const isWanted = group.some(({ config }) => pinned.includes(config.id));
      try {
        if (memoryBytes > 0 && !isWanted && this.#groups.bytes + (await this.#bytesOf(group)) > memoryBytes)
          continue;
        await this.#inTurn(() => this.#open(group, () => undefined));
      } catch (error) {
        if (this.#closing.signal.aborted) throw error;
        failures.push(this.#failed(group, error));
      }
    }
    return failures;
  }

  /** What was to be loaded at the start is, as far as it can be. */
  started(): void {
    this.#hasStarted = true;
  }

  /**
   * Takes another config in the place of one with its id. Where that is loaded, the other is loaded beside it first, and
   * it goes when its running answers are done; where the other cannot be loaded, all stays as it was.
   */
  async replace(loaded: LoadedFusionConfig): Promise<void> {
    const entry = this.#configs.named(loaded.config.id);
    await this.#inTurn(async () => {
      if (entry.group !== null) await this.#openWithRoom([loaded], () => undefined);
      Object.assign(entry, { loaded, failure: null });
    });
  }

  async close(): Promise<void> {
    this.#closing.abort(new ShouldersError("server_closing", "The server is shutting down."));
    if (this.#idleTimer !== null) clearInterval(this.#idleTimer);
    await this.#queue;
    await Promise.all([...this.#groups].map(({ engine }) => engine.close()));
  }

  /** Where a config answers: also one that leaves, as those who hold it have been promised. */
  async #groupFor(id: string, signal: AbortSignal): Promise<ModelGroup> {
    const open = () => this.#configs.get(id)?.group ?? [...this.#groups].find(({ ids }) => ids.has(id));
    if (open() === undefined) (await this.hold(id, { signal }))();
    const group = open();
    if (group !== undefined) return group;
    throw new ShouldersError("engine_not_ready", "The models are not loaded yet: try again in a moment.");
  }

  /** The load that a config waits for, in its turn. */
  #loadSoon(entry: KnownConfig): PendingLoad {
    if (entry.load !== null) return entry.load;
    const load = (entry.load = new PendingLoad());
    void this.#inTurn(async () => {
      try {
        if (!load.isWanted) return;
        const group = await this.#openWithRoom([entry.loaded], (fraction) => load.progress(fraction));
        entry.load = null;
        load.done(group);
      } catch (error) {
        load.failed(this.#failed([entry.loaded], error));
      } finally {
        if (entry.load === load) entry.load = null;
      }
    });
    return load;
  }

  /** One change after the other; what one throws is its own. */
  #inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    const done = this.#queue.then(run);
    this.#queue = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  #failed(configs: readonly LoadedFusionConfig[], error: unknown): ShouldersError {
    const failure = ShouldersError.from(error);
    const ids = configs.map(({ config }) => config.id);
    this.#configs.fail(ids, failure.message);
    if (!this.#closing.signal.aborted)
      this.#options.log.error(
        { err: error, configs: ids },
        `${ids.join(", ")} cannot be loaded: ${failure.message}`,
      );
    return failure;
  }

  /**
   * Opens configs; what was used longest ago goes, one after the other, until there is room, and what uses an RPC server
   * of theirs before.
   */
  async #openWithRoom(
    configs: readonly LoadedFusionConfig[],
    onProgress: (fraction: number) => void,
  ): Promise<ModelGroup> {
    const { memoryBytes } = this.#options;
    const servers = serversOf(configs);
    for (const group of this.#groups)
      if (servers.some((server) => group.servers.has(server))) await this.#leave(group);
    if (memoryBytes > 0) {
      const needed = await this.#bytesOf(configs);
      if (needed > memoryBytes)
        throw new ShouldersError(
          "out_of_memory",
          `It takes ${needed} bytes, and all models may have ${memoryBytes}; raise --memory-megabytes.`,
        );
      while (this.#groups.bytes + needed > memoryBytes)
        if (!(await this.#evictOne()))
          throw new ShouldersError("out_of_memory", "What is loaded is pinned, and leaves no room.");
    }
    for (;;) {
      try {
        return await this.#open(configs, onProgress);
      } catch (error) {
        if (ShouldersError.from(error).code !== "out_of_memory" || !(await this.#evictOne())) throw error;
      }
    }
  }

  async #open(
    configs: readonly LoadedFusionConfig[],
    onProgress: (fraction: number) => void,
  ): Promise<ModelGroup> {
    const { signal } = this.#closing;
    signal.throwIfAborted();
    const engine = await this.#options.open(configs, { signal, onProgress });
    const group = new ModelGroup(engine, configs);
    this.#groups.add(group);
    for (const other of this.#configs.moveTo(group)) void this.#leaveIfUnused(other);
    if (signal.aborted) await engine.close();
    return group;
  }

  async #bytesOf(configs: readonly LoadedFusionConfig[]): Promise<number> {
    const [only] = configs;
    if (only === undefined || configs.length > 1) return this.#options.plan(configs, this.#closing.signal);
    const bytes = this.#planned.get(only) ?? (await this.#options.plan(configs, this.#closing.signal));
    this.#planned.set(only, bytes);
    return bytes;
  }

  /** @returns whether something could go */
  async #evictOne(): Promise<boolean> {
    const victim = leastNeeded([...this.#groups].filter((group) => !this.#configs.isPinned(group)));
    if (victim === undefined) return false;
    await this.#leave(victim);
    return true;
  }

  #unloadIdle(): void {
    const before = performance.now() - this.#options.idleMs;
    for (const group of this.#groups)
      if (group.isIdle && !group.isLeaving && group.lastUsedMs < before && !this.#configs.isPinned(group))
        void this.#leave(group);
  }

  async #leaveIfUnused(group: ModelGroup): Promise<void> {
    if (!this.#configs.isUsed(group)) await this.#leave(group);
  }

  /** Takes nothing new to a group, and closes it when nobody holds it. */
  async #leave(group: ModelGroup): Promise<void> {
    group.isLeaving = true;
    this.#configs.leave(group);
    await group.untilIdle();
    if (!this.#groups.delete(group)) return;
    await group.engine.close();
    this.#options.log.info({ configs: [...group.ids] }, "models are unloaded");
  }
}
