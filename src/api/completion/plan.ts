import { createHash, randomUUID } from "node:crypto";
import type { SamplingSettings } from "../../config/fusion-config.js";
import { plainRequest } from "../../protocol/protocol.js";
import type {
  ConfigDescription,
  EngineDescription,
  GenerationRequest,
  GivenText,
  Prompt,
  ToolForm,
} from "../../protocol/protocol.js";
import { ShouldersError } from "../../errors.js";
import { findConfig } from "../context.js";
import { parseRequest } from "../parse.js";
import { answerGrammar, grammarParamOf } from "./answer-grammar.js";
import { toConversation } from "./conversation.js";
import { fusionOf } from "./fusion-fields.js";
import { chatSchema, mostChoices, textSchema, type ChatBody, type TextBody } from "../openai/schemas.js";
import { planTools } from "../openai/tools.js";

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
  /** Every prompt of the request; each is answered `numAnswers` times. */
  prompts: Prompt[];
  numAnswers: number;
  /** The answer begins with its prompt. */
  isEchoed: boolean;
  /** How calls stand in the answer; null: it may have none. */
  toolForm: ToolForm | null;
  /** The field that an answer is held to a grammar by, for the engine's complaints. */
  grammarParam: string;
  /** Its usage counts the prompt: of several answers to one prompt, only the first does. */
  countsPrompt: boolean;
  /** The first choice; `requestId` is the completion's id. */
  request: GenerationRequest;
}

/**
 * A plan of its own for each choice, those of one prompt together. Ids and seeds are distinct: choice i has seed
 * + i, and the completion's id with `-i` after it.
 */
export function choicesOf(plan: CompletionPlan): CompletionPlan[] {
  const { prompts, numAnswers, request } = plan;
  return prompts.flatMap((prompt, p) =>
    Array.from({ length: numAnswers }, (_, answer): CompletionPlan => {
      const index = p * numAnswers + answer;
      const requestId = index === 0 ? request.requestId : `${request.requestId}-${index}`;
      const seed = request.seed === null ? null : (request.seed + index) >>> 0;
      return { ...plan, countsPrompt: answer === 0, request: { ...request, prompt, seed, requestId } };
    }),
  );
}

/** @throws ShouldersError that names the field at fault. */
export function planCompletion(
  kind: CompletionKind,
  body: unknown,
  description: EngineDescription,
): CompletionPlan {
  if (kind === "chat") {
    const chat = parseRequest(chatSchema, body);
    const { toolForm } = findConfig(description, chat.model);
    const tools = planTools(chat, toolForm);
    return plan(kind, chat, description, {
      prompts: [toConversation(chat, tools)],
      isEchoed: false,
      toolForm: tools && toolForm,
      grammarParam: grammarParamOf(chat, tools !== null),
      grammar: answerGrammar(chat, tools),
      maxTokens: chat.max_completion_tokens ?? chat.max_tokens ?? null,
      topLogprobs: chat.logprobs === true ? (chat.top_logprobs ?? 0) : null,
    });
  }
  const text = parseRequest(textSchema, body);
  return plan(kind, text, description, {
    prompts: toPrompts(text.prompt),
    isEchoed: text.echo ?? false,
    toolForm: null,
    grammarParam: grammarParamOf(text, false),
    grammar: answerGrammar(text, null),
    maxTokens: text.max_tokens ?? 16,
    topLogprobs: text.logprobs ?? null,
  });
}

type OwnParts = Pick<CompletionPlan, "prompts" | "isEchoed" | "toolForm" | "grammarParam"> &
  Pick<GenerationRequest, "maxTokens" | "topLogprobs" | "grammar">;

function plan(
  kind: CompletionKind,
  body: ChatBody | TextBody,
  description: EngineDescription,
  { prompts, isEchoed, toolForm, grammarParam, ...own }: OwnParts,
): CompletionPlan {
  const config = findConfig(description, body.model);
  const answerPrefix = toGiven(body.fusion?.continue);
  if (answerPrefix?.type === "tokens") checkTokens(answerPrefix.tokens, config, "fusion.continue");
  const numAnswers = body.n ?? 1;
  if (prompts.length * numAnswers > mostChoices)
    throw invalid("prompt", `${prompts.length} prompts times n = ${numAnswers} are more than ${mostChoices}`);
  for (const prompt of prompts) if (prompt.type === "tokens") checkTokens(prompt.tokens, config, "prompt");
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
    prompts,
    numAnswers,
    isEchoed,
    toolForm,
    grammarParam,
    countsPrompt: true,
    request: {
      ...plainRequest,
      ...own,
      prompt: prompts[0] as Prompt,
      answerPrefix,
      // Nobody shows a key yet: all are one.
      owner: "anonymous",
      party: "anonymous",
      requestId: `${kind === "chat" ? "chatcmpl" : "cmpl"}-${randomUUID().replaceAll("-", "")}`,
      configId: config.id,
      stop: typeof body.stop === "string" ? [body.stop] : (body.stop ?? []),
      sampling: samplingOf(body, config.sampling),
      // Any integer, by its low 32 bits.
      seed: body.seed == null ? null : body.seed >>> 0,
      logitBias,
      logprobs: body.fusion?.logprobs ?? "fused",
      ...fusionOf(body.fusion, config),
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

function checkTokens(tokens: readonly number[], config: ConfigDescription, param: string): void {
  const stranger = tokens.find((token) => token >= config.vocabularySize);
  if (stranger === undefined) return;
  throw invalid(param, `token id ${stranger} is outside the vocabulary of ${config.vocabularySize} tokens`);
}

function invalid(param: string, message: string): ShouldersError {
  return new ShouldersError("invalid_request", `Invalid '${param}': ${message}.`, { param });
}

/** One prompt, or several: a list of ids is one. */
function toPrompts(prompt: TextBody["prompt"]): Prompt[] {
  if (typeof prompt === "string") return [{ type: "text", text: prompt }];
  if (typeof prompt[0] === "number") return [{ type: "tokens", tokens: prompt as number[] }];
  return (prompt as string[] | number[][]).map((one) =>
    typeof one === "string" ? { type: "text", text: one } : { type: "tokens", tokens: one },
  );
}

function toGiven(beginning: string | number[] | null | undefined): GivenText | null {
  if (beginning == null) return null;
  return typeof beginning === "string"
    ? { type: "text", text: beginning }
    : { type: "tokens", tokens: beginning };
}

/** Changes with everything that can change an answer: the config, the library and its backend, the kernel. */
function systemFingerprint({ library, kernel }: EngineDescription, { digest }: ConfigDescription): string {
  const hash = createHash("sha256").update(JSON.stringify([digest, library, kernel]));
  return `fp_${hash.digest("hex").slice(0, 12)}`;
}
