import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Engine, StepSample, Usage } from "../protocol/protocol.js";
import type { TokenRecord } from "../wire/token-record.js";
import type { CloseReason } from "./access/connections.js";

/** `client_error` and `server_error` by status; `aborted`: the client left before the end. */
export const outcomes = ["ok", "client_error", "server_error", "aborted"] as const;
export type Outcome = (typeof outcomes)[number];

export function outcomeOf(status: number): Outcome {
  if (status >= 500) return "server_error";
  return status >= 400 ? "client_error" : "ok";
}

export interface ServerFigures {
  connections: () => number;
  webSockets: () => number;
  droppedLogLines: () => number;
}

export interface RequestLabels {
  /** The route's pattern, never a client's path. */
  route: string;
  /** Id of a loaded config, or none. */
  model: string;
  /** Name of the API key. */
  owner: string;
  outcome: Outcome;
}

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80];
const stepBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
const weightBuckets = [-1, -0.5, 0, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 4];
const shareBuckets = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1];
const divergenceBuckets = [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
const evaluationBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Every metric of the server, in a registry of its own. */
export class Metrics {
  readonly registry = new Registry();
  readonly #registers = [this.registry];

  readonly #started = this.#counter("requests_started_total", "Requests begun; each ends in one outcome.");
  readonly #requests = this.#counter("requests_total", "Requests ended.", ["route", "model", "outcome"]);
  readonly #keyRequests = this.#counter("key_requests_total", "Requests ended, by API key.", [
    "key",
    "outcome",
  ]);
  readonly #keyTokens = this.#counter("key_generated_tokens_total", "Tokens generated, by API key.", ["key"]);
  readonly #closed = this.#counter(
    "connections_closed_total",
    "Connections that the server ended, or did not take, for what their peers did.",
    ["reason"],
  );
  readonly #queue = this.#histogram("queue_seconds", "Wait of a request for its sequence.");
  readonly #firstToken = this.#histogram("time_to_first_token_seconds", "From request to first token.");
  readonly #interToken = this.#histogram("inter_token_latency_seconds", "Between tokens of a request.");
  readonly #duration = this.#histogram("request_duration_seconds", "From request to its last token.");
  readonly #promptTokens = this.#counter("prompt_tokens_total", "Tokens of accepted prompts.");
  readonly #cachedTokens = this.#counter("cached_prompt_tokens_total", "Of those, found in the cache.");
  readonly #generatedTokens = this.#counter("generated_tokens_total", "Tokens generated.");
  readonly #basePasses = this.#counter("base_passes_total", "Decodes of a base for an answer.");
  readonly #certainTokens = this.#counter(
    "certain_tokens_total",
    "Tokens that experts settled without the base.",
  );
  readonly #drafts = this.#counter("spec_decode_num_drafts_total", "Blocks in which tokens were guessed.");
  readonly #draftTokens = this.#counter("spec_decode_num_draft_tokens_total", "Tokens that were guessed.");
  readonly #acceptedTokens = this.#counter(
    "spec_decode_num_accepted_tokens_total",
    "Guesses at tokens that were right.",
  );
  readonly #acceptedAt = this.#counter(
    "spec_decode_num_accepted_tokens_per_pos_total",
    "The same by their place among the guesses of their block.",
    ["position"],
  );
  readonly #decode = this.#histogram("decode_seconds", "A model's decode in a step.", ["model"], stepBuckets);
  readonly #solve = this.#histogram("solve_seconds", "Solve and fuse of a step's rows.", [], stepBuckets);
  readonly #evaluations = this.#histogram(
    "solve_evaluations",
    "Passes over a row that its solve took.",
    [],
    evaluationBuckets,
  );
  readonly #weight = this.#histogram(
    "fusion_weight",
    "Weight of an expert at a token.",
    ["config", "expert"],
    weightBuckets,
  );
  readonly #share = this.#histogram(
    "fusion_share",
    "Share of a mixture's component before a token: base, or an expert.",
    ["config", "component"],
    shareBuckets,
  );
  readonly #divergence = this.#histogram(
    "divergence_nats",
    "Divergence of the fused row from the base's over the tokens that take part: forward KL(fused||base), reverse.",
    ["config", "direction"],
    divergenceBuckets,
  );
  readonly #nats = this.#histogram(
    "moved_nats",
    "How far a token's row was moved: KL(fused||base) over the whole vocabulary.",
    ["config"],
    divergenceBuckets,
  );
  readonly #decided = this.#counter(
    "decided_tokens_total",
    "Tokens by what made them so: weight, plausible_set, certain, base or grammar.",
    ["config", "by"],
  );
  readonly #flipped = this.#counter(
    "flipped_tokens_total",
    "Tokens at which the fused row's best token is not the base's.",
    ["config"],
  );

  constructor(engine: Engine) {
    collectDefaultMetrics({ register: this.registry });
    this.#gauge("sequences_running", "Sequences that generate.", (gauge) => {
      gauge.set(engine.stats.running);
    });
    this.#gauge("requests_waiting", "Requests that wait for a sequence.", (gauge) => {
      gauge.set(engine.stats.waiting);
    });
    this.#gauge(
      "kv_cells_used_ratio",
      "Share of a model's sequence memory in use.",
      (gauge) => {
        for (const [model, { used, total }] of Object.entries(engine.stats.cells))
          gauge.set({ model }, total > 0 ? used / total : 0);
      },
      ["model"],
    );
    this.#gauge(
      "engine_resident_memory_bytes",
      "Resident memory of the engine process, which holds the models.",
      (gauge) => {
        gauge.set(engine.stats.residentBytes);
      },
    );
    this.#gauge("cached_sequences", "Finished sequences kept for prompts that begin like them.", (gauge) => {
      gauge.set(engine.stats.cached);
    });
    this.#gauge(
      "decode_threads",
      "Threads of a model's decode; mode: models of a step decode together or in turn.",
      (gauge) => {
        const { mode = "", threads = {} } = engine.description?.decoding ?? {};
        for (const [model, count] of Object.entries(threads)) gauge.set({ model, mode }, count);
      },
      ["model", "mode"],
    );
    this.#gauge(
      "batch_cost_ratio",
      "What a batch of so many tokens took a model when it was timed, by what one token took.",
      (gauge) => {
        for (const [model, points] of Object.entries(engine.description?.decoding.curves ?? {}))
          for (const { tokens, ms } of points) gauge.set({ model, tokens }, ms / (points[0]?.ms ?? ms));
      },
      ["model", "tokens"],
    );
    this.#showPlan(engine);
    this.#countRestarts(engine);
    engine.onStep((sample) => this.#step(sample));
  }

  #showPlan(engine: Engine): void {
    const places = () => engine.description?.memory ?? [];
    this.#gauge(
      "planned_memory_bytes",
      "What was planned for a device or main memory before models were loaded.",
      (gauge) => {
        for (const { name: device, buffers, programBytes } of places())
          for (const [kind, bytes] of Object.entries({ ...buffers, programs: programBytes }))
            gauge.set({ device, kind }, bytes);
      },
      ["device", "kind"],
    );
    this.#gauge(
      "free_memory_bytes",
      "What was free there then.",
      (gauge) => {
        for (const { name: device, freeBytes } of places()) gauge.set({ device }, freeBytes);
      },
      ["device"],
    );
  }

  #countRestarts(engine: Engine): void {
    let numCounted = 0;
    new Counter({
      name: "shoulders_engine_restarts_total",
      help: "Engine processes started after the first.",
      registers: this.#registers,
      collect() {
        this.inc(engine.numRestarts - numCounted);
        numCounted = engine.numRestarts;
      },
    });
  }

  /** What the server tells of itself. */
  observeServer(read: ServerFigures): void {
    this.#gauge("connections", "Open connections.", (gauge) => gauge.set(read.connections()));
    this.#gauge("websockets", "Open WebSockets.", (gauge) => gauge.set(read.webSockets()));
    this.#gauge("log_lines_dropped", "Log lines lost, because nobody took them.", (gauge) =>
      gauge.set(read.droppedLogLines()),
    );
  }

  /** The metrics, but for what is told of other keys. */
  async textFor(owner: string): Promise<string> {
    const lines = (await this.registry.metrics()).split("\n");
    const isOfAnother = (line: string) =>
      line.startsWith("shoulders_key_") && !line.includes(`{key="${owner}"`);
    return lines.filter((line) => !isOfAnother(line)).join("\n");
  }

  connectionClosed(reason: CloseReason): void {
    this.#closed.inc({ reason });
  }

  requestStarted(): void {
    this.#started.inc();
  }

  requestEnded(labels: RequestLabels): void {
    const { route, model, owner, outcome } = labels;
    this.#requests.inc({ route, model, outcome });
    this.#keyRequests.inc({ key: owner, outcome });
  }

  startCompletion(config: string, owner: string): CompletionTimer {
    const startedAt = performance.now();
    let lastAt: number | null = null;
    return {
      tokens: (records) => {
        if (records.length === 0) return;
        const now = performance.now();
        if (lastAt === null) this.#firstToken.observe((now - startedAt) / 1000);
        else {
          const gap = (now - lastAt) / 1000 / records.length;
          records.forEach(() => this.#interToken.observe(gap));
        }
        lastAt = now;
        for (const record of records) this.#token(config, record);
      },
      end: (usage, queueMs) => {
        if (queueMs !== null) this.#queue.observe(queueMs / 1000);
        this.#duration.observe((performance.now() - startedAt) / 1000);
        this.#promptTokens.inc(usage.promptTokens);
        this.#cachedTokens.inc(usage.cachedTokens);
        this.#generatedTokens.inc(usage.completionTokens);
        this.#basePasses.inc(usage.fusion.basePasses);
        this.#certainTokens.inc(usage.fusion.certain);
        this.#drafts.inc(usage.fusion.drafts);
        this.#draftTokens.inc(usage.fusion.drafted);
        this.#acceptedTokens.inc(usage.fusion.accepted);
        usage.fusion.acceptedAt.forEach((count, position) => this.#acceptedAt.inc({ position }, count));
        this.#keyTokens.inc({ key: owner }, usage.completionTokens);
      },
    };
  }

  #token(config: string, record: TokenRecord): void {
    const { weights, shares = {}, divergence, nats, decided_by, evaluations, flipped } = record;
    for (const [expert, weight] of Object.entries(weights)) this.#weight.observe({ config, expert }, weight);
    for (const [component, share] of Object.entries(shares))
      this.#share.observe({ config, component }, share);
    for (const direction of ["forward", "reverse"] as const)
      if (divergence[direction] !== null)
        this.#divergence.observe({ config, direction }, divergence[direction]);
    if (flipped !== null) this.#evaluations.observe(evaluations);
    if (nats !== null) this.#nats.observe({ config }, nats);
    this.#decided.inc({ config, by: decided_by });
    if (flipped) this.#flipped.inc({ config });
  }

  #step({ decodeMs, fuseMs, rows }: StepSample): void {
    for (const [model, ms] of Object.entries(decodeMs)) this.#decode.observe({ model }, ms / 1000);
    if (rows > 0) this.#solve.observe(fuseMs / 1000);
  }

  #counter<Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
  ): Counter<Label> {
    return new Counter({ name: `shoulders_${name}`, help, labelNames, registers: this.#registers });
  }

  #histogram<Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
    buckets: number[] = latencyBuckets,
  ): Histogram<Label> {
    return new Histogram({
      name: `shoulders_${name}`,
      help,
      labelNames,
      buckets,
      registers: this.#registers,
    });
  }

  #gauge(name: string, help: string, read: (gauge: Gauge) => void, labelNames: string[] = []): void {
    new Gauge({
      name: `shoulders_${name}`,
      help,
      labelNames,
      registers: this.#registers,
      collect() {
        this.reset();
        read(this);
      },
    });
  }
}

export interface CompletionTimer {
  tokens(records: readonly TokenRecord[]): void;
  /** @param queueMs how long it waited for a sequence, where the engine said it. */
  end(usage: Usage, queueMs: number | null): void;
}
