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
import { ShouldersError } from "../errors.js";

const noStats: EngineStats = { steps: 0, running: 0, waiting: 0, cached: 0, residentBytes: 0, cells: {} };

/**
 * Stands for an engine that is still loading, so that the server can listen meanwhile: alive, but not ready.
 * Hands everything on once the engine has arrived.
 */
export class PendingEngine implements Engine {
  #engine: Engine | null = null;
  readonly #stepListeners: ((sample: StepSample) => void)[] = [];

  arrive(engine: Engine): void {
    for (const listener of this.#stepListeners) engine.onStep(listener);
    this.#engine = engine;
  }

  get description(): EngineDescription | null {
    return this.#engine?.description ?? null;
  }

  get stats(): EngineStats {
    return this.#engine?.stats ?? noStats;
  }

  generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent> {
    if (this.#engine === null) throw notReady();
    return this.#engine.generate(request, signal);
  }

  get numRestarts(): number {
    return this.#engine?.numRestarts ?? 0;
  }

  async query<Q extends EngineQuery>(query: Q, asker?: Asker): Promise<QueryResults[Q["type"]]> {
    if (this.#engine === null) throw notReady();
    return this.#engine.query(query, asker);
  }

  onStep(listener: (sample: StepSample) => void): void {
    if (this.#engine !== null) this.#engine.onStep(listener);
    else this.#stepListeners.push(listener);
  }

  async close(): Promise<void> {
    await this.#engine?.close();
  }
}

function notReady(): ShouldersError {
  return new ShouldersError("engine_not_ready", "The models are not loaded yet: try again in a moment.");
}
