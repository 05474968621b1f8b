import { inOrder } from "../config/members.js";
import { createHash, randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import path from "node:path";
import { samplingSchema } from "../config/fusion-config.js";
import { takes, type StrategyConfig } from "../strategies/registry.js";
import { plainRequest } from "../protocol/protocol.js";
import type {
  Engine,
  FusionUsage,
  GeneratedToken,
  GenerationRequest,
  ResolvedFusionConfig,
} from "../protocol/protocol.js";
import { invariant } from "../errors.js";
import { spaced } from "../verdicts/answer-tokens.js";
import { judge, plainJudging } from "../verdicts/judge.js";
import { type Answer, type Answerer, stepOf, wholeAnswer } from "./answerer.js";
import type { Plan } from "./methods/method.js";
import { candidatesOf, likeliest } from "./scorers.js";
import type { Item } from "./tasks/task.js";

const greedy = samplingSchema.parse({ temperature: 0 });

/** A model file as one can tell it apart without reading it. */
function fingerprint(file: string): string {
  const { size, mtimeMs } = statSync(file);
  return `${path.basename(file)} ${size} ${Math.floor(mtimeMs)}`;
}

const rounded = (value: number): number => Math.round(value * 1e4) / 1e4;

/** Numbers by id at one token each, as numbers by id over the tokens. */
function overTokens(records: readonly Record<string, number>[]): Record<string, number[]> {
  const idToValues: Record<string, number[]> = {};
  for (const record of records)
    for (const [id, value] of Object.entries(record)) (idToValues[id] ??= []).push(rounded(value));
  return idToValues;
}

const untraced = { weights: null, shares: null, forward: null, flipped: null, skippedShare: null };

function traced(
  tokens: readonly GeneratedToken[],
  { nats, flipped, tokens: numTokens, skippedShare }: FusionUsage,
  { strategy, expertIds }: { strategy: StrategyConfig; expertIds: readonly string[] },
): Pick<Answer, keyof typeof untraced> {
  if (!takes(strategy, "budget") || numTokens === 0) return untraced;
  const records = tokens.map(({ record }) => record);
  const isMixed = takes(strategy, "shares");
  return {
    // An expert that was skipped moved nothing.
    weights: overTokens(
      records.map(({ weights }) => Object.fromEntries(expertIds.map((id) => [id, weights[id] ?? 0]))),
    ),
    shares: isMixed ? overTokens(records.map(({ shares }) => shares ?? {})) : null,
    forward: rounded(nats / numTokens),
    flipped: rounded(flipped / numTokens),
    skippedShare: isMixed ? rounded(skippedShare) : null,
  };
}

export class EngineAnswerer implements Answerer {
  readonly #engine: Engine;
  readonly #idToConfig: ReadonlyMap<string, ResolvedFusionConfig>;
  readonly #seed: number;
  readonly #keepsSteps: boolean;

  /** @param keepsSteps whether answers tell of every token who stands behind it. */
  constructor(
    engine: Engine,
    configs: readonly ResolvedFusionConfig[],
    seed: number,
    { keepsSteps = false }: { keepsSteps?: boolean } = {},
  ) {
    this.#engine = engine;
    this.#idToConfig = new Map(configs.map((resolved) => [resolved.config.id, resolved]));
    this.#seed = seed;
    this.#keepsSteps = keepsSteps;
  }

  async answer(plan: Plan, item: Item, signal: AbortSignal): Promise<Answer | null> {
    const startMs = performance.now();
    const tokens: GeneratedToken[] = [];
    let text = "";
    let firstTokenMs: number | null = null;
    for await (const event of this.#engine.generate(this.#requestFor(plan, item), signal)) {
      if (event.type === "accepted") continue;
      firstTokenMs ??= performance.now() - startMs;
      tokens.push(...event.tokens);
      if (event.type === "delta") {
        text += event.text;
        continue;
      }
      return {
        text,
        finishReason: event.finishReason,
        promptTokens: event.usage.promptTokens,
        numTokens: event.usage.completionTokens,
        ...traced(tokens, event.usage.fusion, {
          strategy: this.#strategyOf(plan),
          expertIds: this.#configOf(plan).config.experts.map(({ id }) => id),
        }),
        steps: this.#keepsSteps ? tokens.map(({ record }) => stepOf(record)) : null,
        trace: null,
        likelihoods: null,
        firstTokenMs,
        totalMs: performance.now() - startMs,
      };
    }
    return null;
  }

  async likelihoods(plan: Plan, item: Item, signal: AbortSignal): Promise<Answer | null> {
    const startMs = performance.now();
    const { prompt } = item;
    const candidates = candidatesOf(item);
    const judged = await judge({
      engine: this.#engine,
      generate: (request, either) => this.#engine.generate(request, either),
      request: { ...this.#requestFor(plan, item), topLogprobs: 0, logprobs: "unrestricted" },
      candidates: candidates.map((candidate) => spaced(prompt, candidate)),
      endToken: null,
      options: plainJudging,
      signal,
    }).catch((error: unknown) => {
      if (signal.aborted) return null;
      throw error;
    });
    if (judged === null) return null;
    const likelihoods = judged.tokens.map((tokens, index) => ({
      logprob: judged.scores["fused"]?.[index] ?? 0,
      numTokens: tokens.length,
    }));
    const promptTokens = judged.usages[0]?.promptTokens ?? 0;
    return {
      ...wholeAnswer(candidates[likeliest(likelihoods)] ?? "", likelihoods),
      promptTokens,
      totalMs: performance.now() - startMs,
    };
  }

  identityOf(plan: Plan): unknown {
    const { config, members, card } = this.#configOf(plan);
    const { experts, fewShot, context } = config;
    return {
      files: inOrder(members).map(({ path, adapterPath }) => fingerprint(adapterPath ?? path)),
      experts: experts.map(({ id, bounds, budget, scale }) => ({ id, bounds, budget, scale })),
      strategy: this.#strategyOf(plan),
      prior: plan.prior,
      card: card && createHash("sha256").update(JSON.stringify(card)).digest("hex").slice(0, 16),
      fewShot,
      contextTokens: context.tokens,
      ...(this.#keepsSteps && { steps: true }),
    };
  }

  #requestFor({ configId, strategy, prior }: Plan, item: Item): GenerationRequest {
    return {
      ...plainRequest,
      requestId: randomUUID(),
      owner: "eval",
      party: "eval",
      configId,
      prompt: item.prompt,
      maxTokens: item.maxTokens,
      stop: item.stop,
      sampling: greedy,
      seed: this.#seed,
      strategy,
      prior,
      trace: "weights",
      // Figures are over every token.
      audit: "rows",
    };
  }

  #configOf({ configId }: Plan): ResolvedFusionConfig {
    const resolved = this.#idToConfig.get(configId);
    invariant(resolved !== undefined, `a plan names the unknown config ${configId}`);
    return resolved;
  }

  #strategyOf(plan: Plan): StrategyConfig {
    return plan.strategy ?? this.#configOf(plan).config.strategy;
  }
}
