import type { FusionConfig, SamplingSettings } from "../config/fusion-config.js";
import type { LocalMember, Roles } from "../config/members.js";
import type { StrategyConfig } from "../strategies/registry.js";
import type { PriorRequest } from "../strategies/strategy.js";
import type { Card } from "../routing/card.js";
import type { ErrorData } from "../errors.js";
import type { ChatEnding, ChatTurn, ThinkingForm, ToolForm } from "../llama/types.js";
import type { TokenCandidate, TokenRecord, TraceLevel } from "../wire/token-record.js";
import type { LogLevel } from "../config/log-level.js";
import type { DecodePlan, EngineDescription, PlaceMemory } from "./description.js";
import type { KnownTimings } from "./timings.js";

export type * from "./description.js";

/** What crosses the pipe between the server and the engine child: plain data, never rows of logits. */

/** A fusion config with every model resolved to a local file. */
export interface ResolvedFusionConfig {
  config: FusionConfig & { strategy: StrategyConfig };
  members: Roles<LocalMember>;
  /** What is known of these models together, its experts in the order of the config's; null: nothing. */
  card: Card | null;
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

export type { ChatEnding, ChatTurn as ChatMessage, ThinkingForm, ToolForm };
export { toolIdMark, toolIndexMark } from "../llama/types.js";

/** A function that an answer may call, as it crosses the pipe. */
export interface ToolText {
  name: string;
  description: string;
  /** JSON schema of its arguments, as JSON: whatever a client nested in it, the pipe sees one text. */
  parameters: string;
}

export type Prompt =
  /**
   * `ending`: the prompt ends where an answer begins (default), in the last message, or after it. `tools`: functions
   * that the answer may call.
   */
  | {
      type: "chat";
      messages: ChatTurn[];
      ending?: ChatEnding;
      tools?: ToolText[];
      /** Whether, and how much, the models are to think; null or left out: as their templates have it. */
      isThinking?: boolean | null;
      effort?: string | null;
      /** JSON of what else the templates may ask for. */
      variables?: string;
    }
  | { type: "text"; text: string }
  | { type: "tokens"; tokens: number[] };

/** Text or tokens that are given instead of drawn. */
export type GivenText = { type: "text"; text: string } | { type: "tokens"; tokens: number[] };

export interface CallOpening {
  text: string;
  /** Calls may come after other text; else only an answer that begins with the opening has any. */
  mayFollowText: boolean;
}

export interface GenerationRequest {
  /** Unique among live requests. */
  requestId: string;
  /** Who asks: cached prefixes are never shared between owners. */
  owner: string;
  /** Places are shared evenly between parties: the owner or, where nobody shows a key, the client's address. */
  party: string;
  configId: string;
  prompt: Prompt;
  /** The beginning of the answer: taken as given, each token with its record, before the rest is drawn. */
  answerPrefix: GivenText | null;
  /** Teacher forcing: these tokens are taken instead of drawn ones, each with its record; then the request ends. */
  forced: GivenText | null;
  /** What the answer will be, as far as the client knows: a guess that changes nothing but how fast it comes. */
  prediction: GivenText | null;
  /** GBNF with a rule `root`, which the answer must match; null: any answer. */
  grammar: string | null;
  /** Most tokens that are drawn; null: until the end of sequence or a full context. */
  maxTokens: number | null;
  stop: string[];
  /** What calls of functions begin with: stop strings are looked for before it only. null: there are none. */
  callOpening: CallOpening | null;
  /** Tokens that end the answer, as an end-of-sequence token does. */
  stopTokens: number[];
  sampling: SamplingSettings;
  /** 32-bit; null: drawn at random. */
  seed: number | null;
  /** Added to the fused logits before the other samplers. */
  logitBias: { token: number; bias: number }[];
  /** How many alternatives to report per token; null: none and no logprobs. */
  topLogprobs: number | null;
  /** `processed`: after penalties, temperature and truncation. */
  logprobs: "fused" | "processed";
  /** Replaces the config's strategy for this request. Ids are checked against the config by the server. */
  strategy: StrategyConfig | null;
  /** Replaces the bounds of these experts, by id. */
  bounds: Record<string, [number, number]> | null;
  /** Changes the shares that a mixture begins with; null: the strategy's. */
  prior: PriorRequest | null;
  /** Bounds on how far the base is moved, at a token and in the whole answer; null: none but the config's. */
  budget: { tokenNats: number | null; replyNats: number | null } | null;
  /**
   * Whether tokens may be found before the base has been asked, where that changes none of them. rows: the base is asked
   * all the same, for every token's record.
   */
  speculation: "on" | "off";
  audit: "none" | "rows";
  /** Whether `done` is to bring the prompt's feature. */
  wantsFeature: boolean;
  trace: TraceLevel;
}

/** One of several answers to a prompt. */
export type Choice = Pick<GenerationRequest, "requestId" | "seed">;

/** What a request is when nothing special is asked of it. */
export const plainRequest: Omit<
  GenerationRequest,
  "requestId" | "owner" | "party" | "configId" | "prompt" | "sampling"
> = {
  answerPrefix: null,
  forced: null,
  prediction: null,
  grammar: null,
  maxTokens: null,
  stop: [],
  callOpening: null,
  stopTokens: [],
  seed: null,
  logitBias: [],
  topLogprobs: null,
  logprobs: "fused",
  strategy: null,
  bounds: null,
  prior: null,
  budget: null,
  speculation: "on",
  audit: "none",
  wantsFeature: false,
  trace: "off",
};

export type FinishReason = "stop" | "length";

export interface Usage {
  promptTokens: number;
  /** Tokens sampled, an end-of-sequence token included. */
  completionTokens: number;
  cachedTokens: number;
  /** Of the completion's: those of what was thought before the answer. */
  reasoningTokens: number;
  fusion: FusionUsage;
}

/** How far the experts moved an answer. */
export interface FusionUsage {
  /** Σ KL(P̃‖P) over the tokens of the answer, P̃ the fused law and P the base's over the whole vocabulary. */
  nats: number;
  /** Tokens at which the fused argmax was not the base's. */
  flipped: number;
  /** Tokens that were weighed: nats and flipped are over these. */
  tokens: number;
  /** Tokens that experts' rows alone settled. */
  certain: number;
  /** Decodes of the base after the prompt was read but for its last token. */
  basePasses: number;
  /** Guesses at tokens, from the client's prediction or the answer's own text, and those that were right. */
  drafted: number;
  accepted: number;
  /** Mean over all tokens of the share of a mixture's experts that did not run; 0 for other strategies. */
  skippedShare: number;
}

/** The usage of an answer that has not begun. */
export const noUsage: Usage = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  reasoningTokens: 0,
  fusion: {
    nats: 0,
    flipped: 0,
    tokens: 0,
    certain: 0,
    basePasses: 0,
    drafted: 0,
    accepted: 0,
    skippedShare: 0,
  },
};

/** One sampled token: its trace record, its exact bytes, and the alternatives that were asked for. */
export interface GeneratedToken {
  record: TokenRecord;
  bytes: Uint8Array;
  topLogprobs: (TokenCandidate & { bytes: Uint8Array })[];
}

export type GenerationEvent =
  /** The prompt is tokenized and fits; it waits for, or has, a sequence. */
  | { type: "accepted"; promptTokens: number }
  /** `reasoning`: what was thought, before the text. Text that is safe to show (whole characters, no part of a stop string) and the tokens it came from. */
  | { type: "delta"; reasoning?: string; text: string; tokens: GeneratedToken[] }
  /** The last event. `tokens`: sampled but never shown (the end-of-sequence token, tokens of a stop string). */
  | {
      type: "done";
      finishReason: FinishReason;
      stopString: string | null;
      tokens: GeneratedToken[];
      usage: Usage;
      /** How long the request waited for a sequence, ms. */
      queueMs: number;
      /**
       * What the reference's rows at the end of its prompt say about the prompt (calibration/feature.ts),
       * where it was wanted and the prompt has two tokens.
       */
      feature: number[] | null;
    };

export interface RequestEvent {
  requestId: string;
  event: GenerationEvent;
}

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
  fuseMs: number;
  sampleMs: number;
  rows: number;
  /** Share of the experts that were skipped, summed over the rows; 0 for strategies other than mixture. */
  skippedShare: number;
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

/** What a child answers that is only to plan. */
export type PlanOutcome =
  { type: "planned"; places: PlaceMemory[] } | Extract<FromEngine, { type: "loadFailed" }>;

/** Questions that need a model's vocabulary or template and no decoding. Long lists cross the pipe as bytes. */
export type EngineQuery =
  /**
   * `addSpecial`: begin with BOS where the vocabulary asks for it. `parseSpecial`: control tokens written out become
   * ids. `withPieces`: also each token's bytes.
   */
  | {
      type: "tokenize";
      configId: string;
      text: string;
      addSpecial: boolean;
      parseSpecial: boolean;
      withPieces?: boolean;
    }
  /** `withControl`: tokens that are no text are written by their names. */
  | { type: "detokenize"; configId: string; tokens: Int32Array; withControl?: boolean }
  | { type: "renderPrompt"; configId: string; prompt: Prompt };

export interface QueryResults {
  /** `pieces`: the tokens' bytes one after the other, and how many each has; none where they were not asked for. */
  tokenize: { ids: Int32Array; pieces: { bytes: Uint8Array; lengths: Int32Array } };
  detokenize: { bytes: Uint8Array };
  /** Per role (`base`, `reference`, expert ids): the prompt as each model gets it. */
  renderPrompt: { prompts: Record<string, { text: string; tokens: number[] }> };
}

export type QueryOutcome =
  { result: QueryResults[keyof QueryResults]; error: null } | { result: null; error: ErrorData };

/** Who asks a query. */
export interface Asker {
  party: string;
  signal: AbortSignal;
}

/** The server's view of an engine. The real one lives in a child process; tests have a scripted one. */
export interface Engine {
  /** Present once every model is loaded; null before, and while the child is down. */
  readonly description: EngineDescription | null;
  readonly stats: EngineStats;
  /**
   * Submits and yields the request's events; returns after `done`. Leaving the loop early, or aborting the
   * signal, cancels the request within one step. Requests of one turn of the event loop that differ in id and seed
   * alone, and whose prompt is the same object, cross the pipe and are read as one.
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
