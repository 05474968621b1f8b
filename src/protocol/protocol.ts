import type { DebateAudit } from "../config/debate-audit.js";
import type { FusionConfig } from "../config/fusion-config.js";
import type { LogLevel } from "../config/log-level.js";
import type { LocalMember, Roles } from "../config/members.js";
import type { ErrorData } from "../errors.js";
import type { Card } from "../routing/card.js";
import type { StrategyConfig } from "../strategies/registry.js";
import type { GenerationEvent } from "./answer.js";
import type { DecodePlan, EngineDescription, PlaceMemory } from "./description.js";
import type { EngineStats, StepSample } from "./engine.js";
import type { EngineQuery, QueryOutcome } from "./queries.js";
import type { Choice, GenerationRequest } from "./request.js";
import type { KnownTimings } from "./timings.js";

export * from "./answer.js";
export type * from "./description.js";
export type * from "./engine.js";
export type * from "./queries.js";
export * from "./request.js";

/** What crosses the pipe between the server and the engine child: plain data, never rows of logits. */

/** A fusion config with every model resolved to a local file. */
export interface ResolvedFusionConfig {
  config: FusionConfig & { strategy: StrategyConfig };
  members: Roles<LocalMember>;
  /** What is known of these models together, its experts in the order of the config's; null: nothing. */
  card: Card | null;
  /** What an audit found of its debates, as it lies beside the config; left out, or null: nothing lies there. */
  debateAudit?: DebateAudit | null;
}

/** What an engine computes on. */
export interface BackendChoice {
  backend: "cpu" | "cuda" | "vulkan" | "metal";
  /** off: none of its models uses it. */
  flashAttention: "auto" | "off";
  /** Nobody knows yet whether it works: a few tokens of a tiny model are decoded before models are loaded. */
  isTrial: boolean;
}

export interface EngineSettings {
  /** auto: the best that works here; see `Backends`. */
  backend: "auto" | "cpu" | "cuda" | "vulkan" | "metal";
  /** Threads of each model's decode; null: the engine chooses. */
  threads: number | null;
  /** Most tokens in one model's batch of a step: bounds how long a prompt can hold a step up. */
  batchTokens: number;
  kernel: "simd" | "reference";
  /** off: for every request, whatever it asks for. */
  speculation: "on" | "off";
  /** Most requests that wait for a sequence. */
  maxWaiting: number;
  /** Most prompt tokens of all requests that wait. */
  maxWaitingTokens: number;
  /** Longest wait for a sequence. */
  queueTimeoutMs: number;
  /** Finished sequences that stay in memory for prompts that begin like them; 0: none. */
  cacheSequences: number;
  logLevel: LogLevel;
}

export interface RequestEvent {
  requestId: string;
  event: GenerationEvent;
}

export type ToEngine =
  /** `timings`: what an engine process before this one has sent; null: nothing. */
  | {
      type: "load";
      configs: ResolvedFusionConfig[];
      settings: EngineSettings;
      choice: BackendChoice;
      timings: KnownTimings | null;
    }
  /** Says what `load` would take, and loads nothing. */
  | { type: "plan"; configs: ResolvedFusionConfig[]; settings: EngineSettings; choice: BackendChoice }
  /** `choices`: of the request, the first included. They share its prompt, and all else. */
  | { type: "submit"; request: GenerationRequest; choices: Choice[] }
  /** `requestId`: or the id of a query. */
  | { type: "cancel"; requestId: string }
  /** The reader does not keep up, or does again: a paused sequence keeps its cells and takes no part in steps. */
  | { type: "pause"; requestId: string; isPaused: boolean }
  | { type: "query"; queryId: string; party: string; query: EngineQuery }
  | { type: "ping" }
  | { type: "shutdown" };

export type FromEngine =
  | { type: "progress"; modelPath: string; fraction: number }
  /** The backend that was on trial works. */
  | { type: "proved" }
  | { type: "ready"; description: EngineDescription }
  /** How steps are decoded from now on, and what a process that follows this one need not find out again. */
  | { type: "decoding"; decoding: DecodePlan; timings: KnownTimings }
  | { type: "loadFailed"; error: ErrorData }
  /** What one step brought, for all requests; `step` is null for what happened between steps. */
  | { type: "events"; events: RequestEvent[]; step: StepSample | null; stats: EngineStats }
  | { type: "failed"; requestId: string; error: ErrorData }
  | { type: "answer"; queryId: string; outcome: QueryOutcome }
  /** `stepAgeMs`: how long the step in flight has been running; null between steps. */
  | { type: "pong"; stepAgeMs: number | null };

/** What a process answers that is to try a backend; null: it works. */
export interface TrialOutcome {
  error: ErrorData | null;
}

/** What a child answers that is only to plan. */
export type PlanOutcome =
  { type: "planned"; places: PlaceMemory[] } | Extract<FromEngine, { type: "loadFailed" }>;
