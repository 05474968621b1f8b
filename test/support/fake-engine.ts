import { EventEmitter } from "node:events";
import { samplingSchema } from "../../src/config/fusion-config.js";
import { componentSchema } from "../../src/strategies/fields.js";
import { choicesFor, strategyOf } from "../../src/strategies/registry.js";
import type {
  ConfigDescription,
  Engine,
  EngineDescription,
  EngineStats,
  GeneratedToken,
  GenerationEvent,
  GenerationRequest,
  ModelDescription,
  StepSample,
  EngineQuery,
  QueryResults,
} from "../../src/protocol/protocol.js";
import { plainToolForm } from "../../src/engine/tool-prompts.js";
import { ShouldersError } from "../../src/errors.js";
import type { TokenRecord } from "../../src/wire/token-record.js";

/** A door that a test opens when it is time: scripts wait at it, whenever they arrive. */
export class Gate {
  readonly opened: Promise<void>;
  #open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }
}

/** What a scripted request does, in order: give an event, wait at a gate, or fail. */
export type ScriptStep = GenerationEvent | Gate | ShouldersError;

export type Script = (request: GenerationRequest) => Iterable<ScriptStep>;

/** An `Engine` whose requests follow a script; it remembers what was submitted and cancelled. */
export class FakeEngine implements Engine {
  description: EngineDescription | null = describeEngine();
  trouble: string | null = null;
  stats: EngineStats = {
    steps: 0,
    running: 0,
    waiting: 0,
    cached: 0,
    residentBytes: 123_000_000,
    cells: { giant: { used: 25, total: 100 } },
  };
  /** Replace it before a request to change what the request does. */
  script: Script = () => answering("Hello", " world");
  readonly submitted: GenerationRequest[] = [];
  /** Ids of requests that were given up before their end. */
  readonly cancelled: string[] = [];
  /** Events that were taken from the engine. */
  numYielded = 0;
  readonly #happened = new EventEmitter();
  readonly #stepListeners: ((sample: StepSample) => void)[] = [];
  #death = new Gate();

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent, void> {
    this.submitted.push(request);
    this.#happened.emit("submit", request);
    this.stats.running++;
    const death = this.#death;
    let isOver = false;
    try {
      for (const step of this.script(request)) {
        if (step instanceof Gate) await Promise.race([step.opened, death.opened, aborted(signal)]);
        if (this.#death !== death)
          throw new ShouldersError("engine_died", "The engine ended; send the request again.");
        if (signal.aborted) return;
        if (step instanceof ShouldersError) throw step;
        if (step instanceof Gate) continue;
        this.numYielded++;
        isOver = step.type === "done";
        yield structuredClone(step);
      }
    } catch (error) {
      isOver = true;
      throw error;
    } finally {
      this.stats.running--;
      if (!isOver) {
        this.cancelled.push(request.requestId);
        this.#happened.emit("cancel", request.requestId);
      }
    }
  }

  numRestarts = 0;

  /** Scripted answers to queries, by type. */
  readonly answers: Partial<QueryResults> = {};

  query<Q extends EngineQuery>(query: Q): Promise<QueryResults[Q["type"]]> {
    const answer = this.answers[query.type as Q["type"]];
    if (!answer) throw new Error(`no answer is scripted for ${query.type}`);
    return Promise.resolve(answer);
  }

  onStep(listener: (sample: StepSample) => void): void {
    this.#stepListeners.push(listener);
  }

  step(sample: StepSample): void {
    for (const listener of this.#stepListeners) listener(sample);
  }

  /** Every running request fails, and no new one is taken. */
  die(): void {
    this.description = null;
    const death = this.#death;
    this.#death = new Gate();
    death.open();
  }

  /** Resolves once so many requests were submitted in all. */
  async untilSubmitted(count: number): Promise<void> {
    while (this.submitted.length < count) await this.#next("submit");
  }

  async untilCancelled(count: number): Promise<void> {
    while (this.cancelled.length < count) await this.#next("cancel");
  }

  close(): Promise<void> {
    this.description = null;
    return Promise.resolve();
  }

  #next(event: "submit" | "cancel"): Promise<void> {
    return new Promise((resolve) => this.#happened.once(event, () => resolve()));
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

export const accepted: GenerationEvent = { type: "accepted", promptTokens: 7 };

/** Events of an answer whose tokens are these texts, and which ends with a hidden end-of-sequence token. */
export function answering(...texts: string[]): GenerationEvent[] {
  return [accepted, ...texts.map((text, index) => deltaOf(text, index)), doneAfter(texts.length)];
}

export function deltaOf(text: string, index = 0): GenerationEvent {
  return { type: "delta", text, tokens: [tokenOf(text, index)] };
}

export function doneAfter(numTokens: number, finishReason: "stop" | "length" = "stop"): GenerationEvent {
  const tokens = finishReason === "stop" ? [tokenOf("<eos>", numTokens)] : [];
  return {
    type: "done",
    finishReason,
    stopString: null,
    tokens,
    usage: {
      promptTokens: 7,
      completionTokens: numTokens + tokens.length,
      reasoningTokens: 0,
      cachedTokens: 3,
      fusion: {
        nats: 0.5,
        flipped: 1,
        contested: 0,
        unvouched: 0,
        tokens: numTokens + tokens.length,
        certain: 0,
        basePasses: numTokens + tokens.length,
        drafts: 0,
        drafted: 0,
        accepted: 0,
        acceptedAt: [],
        lost: 0,
        uncertified: 0,
        unknown: 0,
        skippedShare: 0.25,
      },
    },
    queueMs: 2,
    feature: null,
  };
}

/** A token with these bytes at this place of the answer; alternatives as many as a request may ask for. */
export function tokenOf(
  content: string | Uint8Array,
  index = 0,
  record: Partial<TokenRecord> = {},
): GeneratedToken {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const text = new TextDecoder().decode(bytes);
  return {
    record: {
      position: 7 + index,
      token: { id: 100 + index, text },
      logprob: -0.25,
      nats: 0.4,
      log_ratio: 1.25,
      decided_by: index % 2 === 0 ? "weight" : "base",
      weights: { trivia: 0.5, sums: 0 },
      chosen: "trivia",
      divergence: {
        forward: 0.4,
        reverse: 0.3,
        targets: { trivia: { forward: 0.44, reverse: 0.35 }, sums: { forward: 0.1, reverse: 0.2 } },
      },
      objective: 0.001,
      evaluations: 5,
      base_token: { id: 17, text: " The", logprob: -1.5 },
      flipped: index % 2 === 0,
      ran: ["base", "reference", "trivia", "sums"],
      vouch: "expert",
      timing: { decode_ms: { base: 9, reference: 1, trivia: 1, sums: 1 }, fuse_ms: 0.3, sample_ms: 0.1 },
      ...record,
    },
    bytes,
    topLogprobs: [
      { id: 100 + index, text, logprob: -0.25, bytes },
      { id: 17, text: " The", logprob: -1.5, bytes: new TextEncoder().encode(" The") },
    ],
  };
}

function modelOf(id: string): ModelDescription {
  return {
    id,
    path: `/somewhere/private/${id}.gguf`,
    name: id,
    architecture: "llama",
    quantization: "Q8_0",
    numParameters: 1000,
    sizeBytes: 2000,
    vocabularySize: 980,
    contextTrain: 512,
    gpuLayers: 0,
    devices: [],
    memoryBytes: 4000,
    adapter: null,
  };
}

/** A description with what its strategy says of itself. */
function withWords(
  config: Omit<ConfigDescription, "strategyInWords" | "strategyChoices">,
): ConfigDescription {
  const strategy = strategyOf(config.strategy);
  const calibrated = { experts: config.experts };
  return {
    ...config,
    strategyInWords: strategy.words(config.strategy, calibrated),
    strategyChoices: choicesFor(calibrated, strategy.plausibilityOf(config.strategy)),
  };
}

/** Two configs: `both` with experts `trivia` and `sums`, and `giant`, the base alone. */
export function describeEngine(): EngineDescription {
  const shared = {
    base: modelOf("giant"),
    vocabularySize: 980,
    vocabularyNotes: [],
    contextTokens: 512,
    sequences: 4,
    sampling: samplingSchema.parse({ temperature: 0.7, topK: 40 }),
    toolForm: plainToolForm,
    thinking: null,
    takesTemplates: false,
    endToken: 1,
    policies: null,
    confidence: null,
    debateAudit: null,
    warnings: [],
  };
  const both = withWords({
    ...shared,
    id: "both",
    digest: "b0",
    description: "two experts",
    example: null,
    reference: modelOf("dwarf"),
    experts: [
      { ...modelOf("dwarf-trivia"), id: "trivia", bounds: [0, 2], component: componentSchema.parse({}) },
      {
        ...modelOf("dwarf-sums"),
        id: "sums",
        bounds: [0, 2],
        component: componentSchema.parse({ weight: "solved" }),
      },
    ],
    strategy: { type: "dynamic", solver: "exact", plausibility: { ratio: 0.1, of: "joint" } },
  });
  const giant = withWords({
    ...shared,
    id: "giant",
    warnings: [],
    digest: "91",
    description: "the base alone",
    example: null,
    reference: null,
    experts: [],
    strategy: { type: "base" },
  });
  return {
    pid: 1,
    library: { llama: "b1", nodeLlamaCpp: "3", backend: "cpu", devices: [] },
    kernel: "simd",
    stepTimeoutMs: 10_000,
    decoding: {
      mode: "together",
      threads: { giant: 2 },
      stepMs: 1,
      batch: { mode: "together", threads: { giant: 2 }, stepMs: 2 },
      promptTokenMs: 1,
      source: "measured",
      areThreadsSet: true,
      curves: {
        giant: [
          { tokens: 1, rows: 1, ms: 10 },
          { tokens: 2, rows: 2, ms: 15 },
          { tokens: 2, rows: 1, ms: 12 },
        ],
      },
    },
    memory: [
      {
        name: "main memory",
        description: "",
        freeBytes: 1e9,
        totalBytes: 2e9,
        isUnified: true,
        buffers: { weights: 1e6, cells: 1e6, compute: 1e6, rows: 1e6 },
        programBytes: 1e6,
      },
    ],
    configs: [both, giant],
  };
}
