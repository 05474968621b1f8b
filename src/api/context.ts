import type { GrammarDesk } from "./completion/grammar-desk.js";
import type { Logger } from "pino";
import type { Models } from "../protocol/models.js";
import type { ConfigDescription, Engine, EngineDescription } from "../protocol/protocol.js";
import { ShouldersError } from "../errors.js";
import type { CreditDesk } from "../feedback/credit-desk.js";
import type { PolicyDesk } from "../feedback/policy-desk.js";
import type { FeedbackLog } from "../feedback/feedback-log.js";
import type { Journal } from "../store/journal.js";
import type { TraceStore } from "../trace/store.js";
import type { TraceLevel } from "../wire/token-record.js";
import type { Bodies } from "./access/bodies.js";
import type { Turns } from "./access/turns.js";
import type { Connections } from "./access/connections.js";
import type { Gate } from "./access/gate.js";
import type { Metrics } from "./metrics.js";
import type { BackgroundRuns } from "./openai/background.js";
import type { ConversationStore } from "./openai/conversation-store.js";
import type { ResponseStore } from "./openai/response-store.js";

/** What the server holds against its clients; every one may be set where it is started. */
export interface ServerLimits {
  bodyBytes: number;
  /** Most connections, as far as the process may open so many files; who waits gives way to who comes. */
  connections: number;
  /** How long a request's headers, and a whole request, may take to arrive; how often that is looked at. */
  headersMs: number;
  requestMs: number;
  connectionCheckMs: number;
  /** How long a connection may stay between two requests, and after an answer that ends it. */
  keepAliveConnectionMs: number;
  lingerMs: number;
  traceBytes: number;
  traceAgeMs: number;
  responseBytes: number;
  /** 0: no response is kept. */
  responseAgeMs: number;
  feedbackBytes: number;
  feedbackAgeMs: number;
  /** Silence on a stream after which a comment shows that it lives. */
  keepAliveMs: number;
  /** How often a stream that waits for a load says how far it is. */
  loadProgressMs: number;
  /** How long a reader may leave what was sent unread before it is dropped. */
  drainTimeoutMs: number;
  sockets: number;
  socketResponses: number;
  socketFrameBytes: number;
  /** Unread bytes on a WebSocket at which no more frames are answered. */
  socketHardMarkBytes: number;
  socketPingMs: number;
  /** How long a peer may take to answer a close. */
  socketCloseMs: number;
  /** How long running requests may go on after the server was told to close. */
  closeGraceMs: number;
  /** How often what is old is dropped, and a store that failed is tried anew, ms. */
  purgeEveryMs: number;
}

export const defaultLimits: ServerLimits = {
  bodyBytes: 2 * 1024 * 1024,
  connections: 4096,
  headersMs: 15_000,
  requestMs: 120_000,
  connectionCheckMs: 5_000,
  keepAliveConnectionMs: 75_000,
  lingerMs: 1_000,
  traceBytes: 64 * 1024 * 1024,
  traceAgeMs: 60 * 60 * 1000,
  responseBytes: 64 * 1024 * 1024,
  responseAgeMs: 24 * 60 * 60 * 1000,
  feedbackBytes: 256 * 1024 * 1024,
  feedbackAgeMs: 90 * 24 * 60 * 60 * 1000,
  keepAliveMs: 15_000,
  loadProgressMs: 1_000,
  drainTimeoutMs: 30_000,
  sockets: 1024,
  socketResponses: 8,
  socketFrameBytes: 1024 * 1024,
  socketHardMarkBytes: 1024 * 1024,
  socketPingMs: 30_000,
  socketCloseMs: 10_000,
  closeGraceMs: 30_000,
  purgeEveryMs: 60_000,
};

/** What every route works with. */
export interface ApiContext {
  engine: Engine;
  models: Models;
  log: Logger;
  /** Name of this server among others; empty: it has none. */
  replica: string;
  version: string;
  /** What is kept of the tokens of an answer whose request does not say. */
  keptTrace: TraceLevel;
  limits: ServerLimits;
  traces: TraceStore;
  /** What outlives the process. */
  journal: Journal;
  responses: ResponseStore;
  conversations: ConversationStore;
  background: BackgroundRuns;
  feedback: FeedbackLog;
  credit: CreditDesk;
  policies: PolicyDesk;
  metrics: Metrics;
  gate: Gate;
  connections: Connections;
  bodies: Bodies;
  turns: Turns;
  grammars: GrammarDesk;
  /** Unix time, seconds. */
  startedAt: number;
  /** Aborted when the server was told to close. */
  closing: AbortSignal;
  /** Aborted, with the error for the clients, when its grace is over. */
  cut: AbortSignal;
}

/** @throws ShouldersError when no request can be taken now. */
export function requireEngine(context: ApiContext): EngineDescription {
  if (context.closing.aborted)
    throw new ShouldersError(
      "server_closing",
      "The server is shutting down; send the request to another one, or again later.",
    );
  const { description } = context.engine;
  if (description === null)
    throw new ShouldersError(
      "engine_not_ready",
      context.engine.trouble ?? "The models are not loaded yet; ask GET /readyz, and try again.",
    );
  return description;
}

/** @throws ShouldersError model_not_found */
export function findConfig(description: EngineDescription, id: string): ConfigDescription {
  const config = description.configs.find((candidate) => candidate.id === id);
  if (config !== undefined) return config;
  if (description.restarting?.includes(id) === true)
    throw new ShouldersError(
      "engine_not_ready",
      "The engine of this model is being started again: try again in a moment.",
    );
  const known = description.configs.map((candidate) => candidate.id).join(", ");
  throw new ShouldersError("model_not_found", `No model has this name; known: ${known || "none"}.`, {
    param: "model",
  });
}
