import { createHash, randomUUID } from "node:crypto";
import type { SamplingSettings, StrategyConfig } from "../../config/fusion-config.js";
import { plainRequest } from "../../engine/protocol.js";
import type {
  ChatMessage,
  ConfigDescription,
  EngineDescription,
  GenerationRequest,
  GivenText,
  Prompt,
} from "../../engine/protocol.js";
import { ShouldersError } from "../../errors.js";
import { findConfig } from "../context.js";
import { parseRequest } from "../parse.js";
import { chatSchema, textSchema, type ChatBody, type TextBody } from "./schemas.js";

export type CompletionKind = "chat" | "text";

/** A request that has been understood: what to ask the engine for, and how to answer. */
export interface CompletionPlan {
  kind: CompletionKind;
  /** Unix time, seconds. */
  created: number;
  model: string;
  systemFingerprint: string;
  isStream: boolean;
  includeUsage: boolean;
  /** `requestId` is the completion's id. */
  request: GenerationRequest;
}

/** @throws ShouldersError that names the field at fault. */
export function planCompletion(
  kind: CompletionKind,
  body: unknown,
  description: EngineDescription,
): CompletionPlan {
  if (kind === "chat") {
    const chat = parseRequest(chatSchema, body);
    return plan(kind, chat, description, {
      prompt: { type: "chat", messages: chat.messages.map(toMessage) },
      maxTokens: chat.max_completion_tokens ?? chat.max_tokens ?? null,
      topLogprobs: chat.logprobs === true ? (chat.top_logprobs ?? 0) : null,
    });
  }
  const text = parseRequest(textSchema, body);
  return plan(kind, text, description, {
    prompt: toPrompt(text.prompt),
    maxTokens: text.max_tokens ?? 16,
    topLogprobs: text.logprobs ?? null,
  });
}

function plan(
  kind: CompletionKind,
  body: ChatBody | TextBody,
  description: EngineDescription,
  own: Pick<GenerationRequest, "prompt" | "maxTokens" | "topLogprobs">,
): CompletionPlan {
  const config = findConfig(description, body.model);
  const answerPrefix = toGiven(body.fusion?.continue);
  if (answerPrefix?.type === "tokens") checkTokens(answerPrefix.tokens, config, "fusion.continue");
  if (own.prompt.type === "tokens") checkTokens(own.prompt.tokens, config, "prompt");
  const logitBias = Object.entries(body.logit_bias ?? {}).map(([token, bias]) => ({
    token: Number(token),
    bias,
  }));
  checkTokens(
    logitBias.map(({ token }) => token),
    config,
    "logit_bias",
  );
  return {
    kind,
    created: Math.floor(Date.now() / 1000),
    model: config.id,
    systemFingerprint: systemFingerprint(description, config),
    isStream: body.stream ?? false,
    includeUsage: body.stream_options?.include_usage ?? false,
    request: {
      ...plainRequest,
      ...own,
      answerPrefix,
      // Nobody shows a key yet: all are one.
      owner: "anonymous",
      requestId: `${kind === "chat" ? "chatcmpl" : "cmpl"}-${randomUUID().replaceAll("-", "")}`,
      configId: config.id,
      stop: typeof body.stop === "string" ? [body.stop] : (body.stop ?? []),
      sampling: samplingOf(body, config.sampling),
      // Any integer, by its low 32 bits.
      seed: body.seed == null ? null : body.seed >>> 0,
      logitBias,
      logprobs: body.fusion?.logprobs ?? "fused",
      ...fusionOf(body, config),
      trace: body.fusion?.trace ?? "weights",
    },
  };
}

function samplingOf(body: ChatBody | TextBody, defaults: SamplingSettings): SamplingSettings {
  return {
    temperature: body.temperature ?? defaults.temperature,
    topK: body.top_k == null ? defaults.topK : Math.max(0, body.top_k),
    // OpenAI's range has 0, which keeps the best token alone, as this does with any vocabulary.
    topP: body.top_p == null ? defaults.topP : Math.max(1e-7, body.top_p),
    minP: body.min_p ?? defaults.minP,
    typicalP: body.typical_p ?? defaults.typicalP,
    repeatPenalty: body.repeat_penalty ?? defaults.repeatPenalty,
    presencePenalty: body.presence_penalty ?? defaults.presencePenalty,
    frequencyPenalty: body.frequency_penalty ?? defaults.frequencyPenalty,
  };
}

/** @throws ShouldersError for an unknown expert, or settings that could have no effect. */
function fusionOf(
  { fusion }: ChatBody | TextBody,
  config: ConfigDescription,
): Pick<GenerationRequest, "strategy" | "bounds"> {
  const strategy = fusion?.weights == null ? (fusion?.strategy ?? null) : staticOf(fusion.weights, config);
  const bounds = fusion?.bounds ?? null;
  const weightsParam = fusion?.weights == null ? "fusion.strategy.weights" : "fusion.weights";
  if (strategy?.type === "static") checkExperts(Object.keys(strategy.weights), config, weightsParam);
  if (strategy?.type === "dynamic" && config.experts.length === 0)
    throw invalid("fusion.strategy", "this model has no experts; leave it out");
  if (bounds !== null && (strategy ?? config.strategy).type !== "dynamic")
    throw invalid("fusion.bounds", "bounds need a dynamic strategy; leave them out");
  return { strategy, bounds };
}

function staticOf(weights: Record<string, number>, { strategy }: ConfigDescription): StrategyConfig {
  return {
    type: "static",
    weights,
    plausibility: strategy.type === "base" ? null : strategy.plausibility,
  };
}

function checkExperts(ids: readonly string[], config: ConfigDescription, param: string): void {
  const known = config.experts.map(({ id }) => id);
  const stranger = ids.find((id) => !known.includes(id));
  if (stranger === undefined) return;
  throw invalid(param, `no expert "${stranger.slice(0, 64)}"; known: ${known.join(", ") || "none"}`);
}

function checkTokens(tokens: readonly number[], config: ConfigDescription, param: string): void {
  const stranger = tokens.find((token) => token >= config.vocabularySize);
  if (stranger === undefined) return;
  throw invalid(param, `token id ${stranger} is outside the vocabulary of ${config.vocabularySize} tokens`);
}

function invalid(param: string, message: string): ShouldersError {
  return new ShouldersError("invalid_request", `Invalid '${param}': ${message}.`, { param });
}

function toMessage({ role, content }: ChatBody["messages"][number]): ChatMessage {
  return {
    role: role === "user" || role === "assistant" ? role : "system",
    content:
      typeof content === "string"
        ? content
        : content.map((part) => (part.type === "text" ? part.text : "")).join("\n"),
  };
}

/** A list of one prompt is that prompt; the schema refuses longer ones. */
function toPrompt(prompt: TextBody["prompt"]): Prompt {
  if (typeof prompt === "string") return { type: "text", text: prompt };
  const [first] = prompt;
  if (typeof first === "string") return { type: "text", text: first };
  return { type: "tokens", tokens: Array.isArray(first) ? first : (prompt as number[]) };
}

function toGiven(beginning: string | number[] | null | undefined): GivenText | null {
  if (beginning == null) return null;
  return typeof beginning === "string"
    ? { type: "text", text: beginning }
    : { type: "tokens", tokens: beginning };
}

const fingerprints = new WeakMap<ConfigDescription, string>();

/** Changes when what could change an answer does: the models, the fusion, the library and its backend. */
function systemFingerprint(description: EngineDescription, config: ConfigDescription): string {
  const known = fingerprints.get(config);
  if (known !== undefined) return known;
  const { base, reference, experts, strategy, sampling } = config;
  const models = [base, reference, ...experts].map(
    (model) => model && [model.name, model.quantization, model.sizeBytes, model.vocabularySize],
  );
  const facts = [models, experts.map(({ id, bounds }) => [id, bounds]), strategy, sampling];
  const hash = createHash("sha256")
    .update(JSON.stringify([...facts, description.library, description.kernel]))
    .digest("hex");
  const fingerprint = `fp_${hash.slice(0, 12)}`;
  fingerprints.set(config, fingerprint);
  return fingerprint;
}
