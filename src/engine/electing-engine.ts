import { ShouldersError } from "../errors.js";
import type { Logger } from "../log.js";
import type {
  Asker,
  Engine,
  EngineDescription,
  EngineQuery,
  EngineStats,
  GenerationEvent,
  GenerationRequest,
  QueryResults,
  ResolvedFusionConfig,
  StepSample,
} from "../protocol/protocol.js";
import { Elections } from "./election.js";

/** An engine that finds out which of several experts a prompt is for, where no card knows. */
export class ElectingEngine implements Engine {
  readonly #engine: Engine;
  readonly #elections: Elections;

  constructor(
    engine: Engine,
    { configs, log }: { configs: readonly ResolvedFusionConfig[]; log: Pick<Logger, "debug"> },
  ) {
    this.#engine = engine;
    this.#elections = new Elections(configs, (request, signal) => engine.generate(request, signal), log);
  }

  get description(): EngineDescription | null {
    return this.#engine.description;
  }

  get trouble(): string | null {
    return this.#engine.trouble;
  }

  get stats(): EngineStats {
    return this.#engine.stats;
  }

  get numRestarts(): number {
    return this.#engine.numRestarts;
  }

  generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent> {
    return this.#elections.isNeeded(request)
      ? this.#decided(request, signal)
      : this.#engine.generate(request, signal);
  }

  async *#decided(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent, void> {
    let decided = request;
    try {
      decided = await this.#elections.decide(request, signal);
    } catch (error) {
      if (signal.aborted) return;
      // A prompt that fills the context has no room for beginnings. What else is wrong the request itself meets.
      if (!(error instanceof ShouldersError)) throw error;
    }
    yield* this.#engine.generate(decided, signal);
  }

  query<Q extends EngineQuery>(query: Q, asker?: Asker): Promise<QueryResults[Q["type"]]> {
    return this.#engine.query(query, asker);
  }

  onStep(listener: (sample: StepSample) => void): void {
    this.#engine.onStep(listener);
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}
