import { setImmediate } from "node:timers/promises";
import { FusionEngine, type EngineLimits } from "../../src/engine/engine.js";
import type {
  EngineStats,
  FromEngine,
  GenerationEvent,
  GenerationRequest,
  StepSample,
} from "../../src/protocol/protocol.js";
import { ShouldersError } from "../../src/errors.js";
import { createKernel } from "../../src/fusion/kernel/kernel.js";
import { drawByGumbel } from "../../src/llama/gumbel.js";
import type { SampledToken, SampleRequest, SamplerChain, SamplerOptions } from "../../src/llama/types.js";
import type { TokenRecord } from "../../src/wire/token-record.js";
import { fakeModels, type FakeModelsOptions } from "./fake-models.js";

export interface Outcome {
  events: GenerationEvent[];
  error: ShouldersError | null;
  text: string;
}

/** Bias, presence penalty, temperature and the draw, as libllama's chain has them. */
class ScriptedChain implements SamplerChain {
  readonly #options: SamplerOptions;
  readonly #seen = new Set<number>();

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  sample(row: Float32Array, { position }: SampleRequest): SampledToken {
    const { logitBias, presencePenalty, temperature, seed } = this.#options;
    const logits = row.slice();
    for (const { token, bias } of logitBias) logits[token]! += bias;
    for (const token of this.#seen) logits[token]! -= presencePenalty;
    if (temperature === 0) return { token: logits.indexOf(Math.max(...logits)), processed: null };
    const scaled = logits.map((logit) => logit / temperature);
    const candidates = { ids: null, logits: scaled, stride: 1, offset: 0, count: scaled.length };
    return { token: drawByGumbel(candidates, { seed, position }), processed: null };
  }

  accept(token: number): void {
    this.#seen.add(token);
  }

  [Symbol.dispose](): void {
    this.#seen.clear();
  }
}

/** An engine over scripted models; `run` resolves when the request's last event, or its failure, is there. */
export function start(options: FakeModelsOptions & { limits?: Partial<EngineLimits> }) {
  const models = fakeModels(options);
  const outcomes = new Map<string, Outcome>();
  const waiters = new Map<string, (outcome: Outcome) => void>();
  const idle: (() => void)[] = [];
  let stats: EngineStats | null = null;
  const steps: StepSample[] = [];
  const settle = (requestId: string) => waiters.get(requestId)?.(outcomes.get(requestId)!);
  const emit = (message: FromEngine) => {
    if (message.type === "events") {
      stats = message.stats;
      if (message.step) steps.push(message.step);
      for (const { requestId, event } of message.events) {
        const outcome = outcomes.get(requestId) ?? { events: [], error: null, text: "" };
        outcomes.set(requestId, outcome);
        outcome.events.push(event);
        if (event.type === "delta") outcome.text += event.text;
        if (event.type === "done") settle(requestId);
      }
      if (stats.running + stats.waiting === 0) idle.splice(0).forEach((resolve) => resolve());
    } else if (message.type === "failed") {
      const outcome = outcomes.get(message.requestId) ?? { events: [], error: null, text: "" };
      outcomes.set(message.requestId, { ...outcome, error: ShouldersError.fromData(message.error) });
      settle(message.requestId);
    }
  };
  const engine = new FusionEngine({
    models,
    kernel: createKernel("reference", { vocabularySize: 257, numExperts: 4 }),
    createSamplerChain: (options) => new ScriptedChain(options),
    together: { single: true, batch: true },
    curves: {},
    untilFree: () => null,
    limits: {
      maxWaiting: 10,
      maxWaitingTokens: 10_000,
      queueTimeoutMs: 60_000,
      cacheSequences: 0,
      speculation: "on",
      ...options.limits,
    },
    emit,
    onBroken: () => {
      throw new Error("these models do not break for good");
    },
    log: { error: (entry: unknown) => console.error(entry) },
  });
  const run = (request: GenerationRequest) =>
    new Promise<Outcome>((resolve) => {
      waiters.set(request.requestId, resolve);
      engine.submit(request);
    });
  const untilIdle = () => new Promise<void>((resolve) => idle.push(resolve));
  return { engine, models, run, outcomes, untilIdle, steps };
}

/** Resolves when what was submitted has been read: up to ten requests, with others let in between any two. */
export async function entered(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await setImmediate();
}

export const doneOf = (outcome: Outcome) => outcome.events.find((event) => event.type === "done")!;
/** Every token that was drawn, those that are not shown included. */
export const recordsOf = (outcome: Outcome): TokenRecord[] =>
  outcome.events.flatMap((event) =>
    event.type === "accepted" ? [] : event.tokens.map((token) => token.record),
  );
export const tokensOf = (outcome: Outcome) => recordsOf(outcome).map(({ token }) => token.id);
