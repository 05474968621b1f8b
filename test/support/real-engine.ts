import { located } from "./members.js";
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Card } from "../../src/routing/card.js";
import { fusionConfigSchema, type FusionConfig } from "../../src/config/fusion-config.js";
import type { StrategyConfig } from "../../src/strategies/registry.js";
import { startEngine } from "../../src/engine/client.js";
import { plainRequest } from "../../src/protocol/protocol.js";
import type {
  Engine,
  EngineSettings,
  GeneratedToken,
  GenerationEvent,
  GenerationRequest,
  ResolvedFusionConfig,
} from "../../src/protocol/protocol.js";
import { greedy } from "./fake-models.js";
import { silentLogger } from "./silent-logger.js";

export const root = path.resolve(import.meta.dirname, "../..");
export const modelPath = (name: string) => path.join(root, "test/data/starter", `${name}.gguf`);

/** A model of the shipped family; takes the place of a starter model's name in `resolvedConfig`. */
export const familyPath = (name: string) => `../../../models/family/${name}`;

/** The compiled child: `npm test` builds before it runs. */
export const engineEntry = new URL("../../dist/engine/child.js", import.meta.url);

export const defaultSettings: EngineSettings = {
  backend: "cpu",
  threads: 1,
  batchTokens: 512,
  kernel: "simd",
  speculation: "on",
  maxWaiting: 512,
  maxWaitingTokens: 1_000_000,
  queueTimeoutMs: 600_000,
  cacheSequences: 0,
  logLevel: "info",
};

export interface ConfigParts {
  id: string;
  base: string;
  reference?: string;
  /** Expert id to model name. */
  experts?: Record<string, string>;
  strategy?: StrategyConfig;
  card?: Card;
  config?: Partial<FusionConfig>;
}

/** A config over models in `test/data/starter/`, named without directory and ending. */
export function resolvedConfig({
  id,
  base,
  reference,
  experts = {},
  ...rest
}: ConfigParts): ResolvedFusionConfig {
  const parsed = fusionConfigSchema.parse({
    id,
    base: modelPath(base),
    reference: reference === undefined ? null : modelPath(reference),
    experts: Object.entries(experts).map(([expertId, name]) => ({ id: expertId, model: modelPath(name) })),
    context: { tokens: 512, sequences: 8 },
    ...rest.config,
  });
  const fallback: StrategyConfig =
    parsed.experts.length > 0 ? { type: "dynamic", solver: "exact", plausibility: null } : { type: "base" };
  return {
    config: { ...parsed, strategy: rest.strategy ?? fallback },
    members: located(parsed),
    card: rest.card ?? null,
  };
}

/** As the engine's own child, with faults on demand: see faulty-child.mjs. */
export const faultyEntry = new URL("./faulty-child.mjs", import.meta.url);

export function startRealEngine(
  configs: ResolvedFusionConfig[],
  settings: Partial<EngineSettings> = {},
  entry = engineEntry,
): Promise<Engine> {
  return startEngine({
    configs,
    settings: { ...defaultSettings, ...settings },
    log: silentLogger,
    onProgress: () => undefined,
    entry,
  });
}

let numRequests = 0;

/** A greedy request for a text prompt. */
export function textRequest(
  configId: string,
  text: string,
  options: Partial<GenerationRequest> = {},
): GenerationRequest {
  return {
    ...plainRequest,
    requestId: `test-${++numRequests}`,
    owner: "tester",
    party: "tester",
    configId,
    prompt: { type: "text", text },
    maxTokens: 40,
    sampling: greedy,
    seed: 1,
    trace: "weights",
    ...options,
  };
}

export interface Answer {
  text: string;
  /** Every token that was drawn, those that are not shown included. */
  tokens: GeneratedToken[];
  ids: number[];
  done: Extract<GenerationEvent, { type: "done" }>;
}

export async function answer(engine: Engine, request: GenerationRequest): Promise<Answer> {
  let text = "";
  const tokens: GeneratedToken[] = [];
  for await (const event of engine.generate(request, new AbortController().signal)) {
    if (event.type === "accepted") continue;
    tokens.push(...event.tokens);
    if (event.type === "delta") text += event.text;
    else return { text, tokens, ids: tokens.map(({ record }) => record.token.id), done: event };
  }
  throw new Error("the engine ended the request without `done`");
}

export interface Question {
  prompt: string;
  answer: string;
}

export function questions(name: "recall" | "sums"): Question[] {
  const lines = readFileSync(path.join(root, "test/data/starter", `${name}.jsonl`), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => JSON.parse(line) as Question);
}
