import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import path from "node:path";
import { type StrategyConfig, samplingSchema } from "../config/fusion-config.js";
import { plainRequest } from "../engine/protocol.js";
import type { Engine, GeneratedToken, GenerationRequest, ResolvedFusionConfig } from "../engine/protocol.js";
import { invariant } from "../errors.js";
import type { Answer, Answerer } from "./answerer.js";
import type { Plan } from "./methods.js";
import { mean } from "./statistics.js";
import type { Item } from "./tasks/task.js";

const greedy = samplingSchema.parse({ temperature: 0 });

/** A model file as one can tell it apart without reading it. */
function fingerprint(file: string): string {
  const { size, mtimeMs } = statSync(file);
  return `${path.basename(file)} ${size} ${Math.floor(mtimeMs)}`;
}

const rounded = (value: number): number => Math.round(value * 1e4) / 1e4;

function traced(
  tokens: readonly GeneratedToken[],
  strategy: StrategyConfig,
): Pick<Answer, "weights" | "forward" | "flipped"> {
  if (strategy.type === "base" || tokens.length === 0) return { weights: null, forward: null, flipped: null };
  const records = tokens.map(({ record }) => record);
  const weights: Record<string, number[]> = {};
  for (const record of records)
    for (const [expert, weight] of Object.entries(record.weights))
      (weights[expert] ??= []).push(rounded(weight));
  return {
    weights,
    forward: rounded(mean(records.map(({ divergence }) => divergence.forward))),
    flipped: rounded(records.filter(({ flipped }) => flipped).length / records.length),
  };
}

export class EngineAnswerer implements Answerer {
  readonly #engine: Engine;
  readonly #idToConfig: ReadonlyMap<string, ResolvedFusionConfig>;
  readonly #seed: number;

  constructor(engine: Engine, configs: readonly ResolvedFusionConfig[], seed: number) {
    this.#engine = engine;
    this.#idToConfig = new Map(configs.map((resolved) => [resolved.config.id, resolved]));
    this.#seed = seed;
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
        ...traced(tokens, this.#strategyOf(plan)),
        firstTokenMs,
        totalMs: performance.now() - startMs,
      };
    }
    return null;
  }

  identityOf(plan: Plan): unknown {
    const { config, basePath, referencePath, expertPaths } = this.#configOf(plan);
    const files = [basePath, ...(referencePath === null ? [] : [referencePath]), ...expertPaths];
    const { experts, fewShot, context } = config;
    return {
      files: files.map(fingerprint),
      experts: experts.map(({ id, bounds }) => ({ id, bounds })),
      strategy: this.#strategyOf(plan),
      fewShot,
      contextTokens: context.tokens,
    };
  }

  #requestFor({ configId, strategy }: Plan, item: Item): GenerationRequest {
    return {
      ...plainRequest,
      requestId: randomUUID(),
      owner: "eval",
      configId,
      prompt: item.prompt,
      maxTokens: item.maxTokens,
      stop: item.stop,
      sampling: greedy,
      seed: this.#seed,
      strategy,
      trace: "weights",
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
