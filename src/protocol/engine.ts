import type { RemoteStats } from "../rows/types.js";
import type { GenerationEvent } from "./answer.js";
import type { EngineDescription } from "./description.js";
import type { EngineQuery, QueryResults } from "./queries.js";
import type { GenerationRequest } from "./request.js";

/** Gauges, and totals since start; sent with every batch of events. */
export interface EngineStats {
  steps: number;
  running: number;
  waiting: number;
  /** Finished sequences whose cells are kept for prompts that begin like them. */
  cached: number;
  /** Resident memory of the engine process, as it was within the last second of work. */
  residentBytes: number;
  /** Model id to cells claimed and cells in all. */
  cells: Record<string, { used: number; total: number }>;
}

/** Timings of one step for the metrics, ms. */
export interface StepSample {
  /** Milliseconds by model id. */
  decodeMs: Record<string, number>;
  /** Each batch of it: milliseconds by the size that holds it, 1, 2, 4 … 32 tokens; larger ones are left out. */
  batches: { model: string; tokens: number; ms: number }[];
  fuseMs: number;
  sampleMs: number;
  rows: number;
  /** Model id to what was sent and received since the step before; of bases on other servers. Left out: there is none. */
  remote?: Record<string, RemoteStats>;
  /** Share of the experts that were skipped, summed over the rows; 0 for strategies other than mixture. */
  skippedShare: number;
}

/** Who asks a query. */
export interface Asker {
  party: string;
  signal: AbortSignal;
}

/** The server's view of an engine. The real one lives in a child process; tests have a scripted one. */
export interface Engine {
  /** Present once every model is loaded; null before, and while the child is down. */
  readonly description: EngineDescription | null;
  /** Why there is none, once one was there; null: nothing is known. */
  readonly trouble: string | null;
  readonly stats: EngineStats;
  /**
   * Submits and yields the request's events; returns after `done`. Leaving the loop early, or aborting the
   * signal, cancels the request within one step. Requests of one turn of the event loop that differ in id and seed
   * alone, or in what of the answer is given, and whose prompt is the same object, cross the pipe and are read as one.
   * @throws ShouldersError what the engine refused or what ended it.
   */
  generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent>;
  /**
   * @throws ShouldersError as the engine refuses; `engine_not_ready`, `engine_died`; or the reason with which the
   * signal was aborted: the query is then dropped.
   */
  query<Q extends EngineQuery>(query: Q, asker?: Asker): Promise<QueryResults[Q["type"]]>;
  /** How often a new engine had to be started after one died. */
  readonly numRestarts: number;
  onStep(listener: (sample: StepSample) => void): void;
  close(): Promise<void>;
}
