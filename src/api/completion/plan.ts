import { randomUUID } from "node:crypto";
import type { SamplingSettings } from "../../config/fusion-config.js";
import { plainRequest } from "../../protocol/protocol.js";
import type {
  ConfigDescription,
  EngineDescription,
  GenerationRequest,
  GivenText,
  Prompt,
} from "../../protocol/protocol.js";
import { fieldError, withFieldNames } from "../../errors.js";
import type { PolicyDraw } from "../../feedback/feedback-log.js";
import { findConfig } from "../context.js";
import { grammarParamOf, type WriteGrammar } from "./answer-grammar.js";
import { toConversation } from "./conversation.js";
import { endingsOf } from "./endings.js";
import { fusionOf } from "./fusion-fields.js";
import { policyOf, type PolicyPlan } from "./policy.js";
import { ignoredWishes } from "./ignored-wishes.js";
import { systemFingerprint } from "./system-fingerprint.js";
import { chatSchema, mostChoices, textSchema, type ChatBody, type TextBody } from "../openai/schemas.js";
import { namesFunctions } from "../openai/old-functions.js";
import { readBody } from "../openai/read-body.js";
import { openingsOf, type CallForm } from "../openai/tool-calls.js";
import { callForm, formatPath, hostedTools, planTools } from "../openai/tools.js";
import { fullerOf, type TraceLevel } from "../../wire/token-record.js";

const maxInt32 = 2 ** 31 - 1;

export type CompletionKind = "chat" | "text";

/** Who asks. */
export interface Requester {
  /** Name of the key. */
  owner: string;
  /** With whom it shares what is given out evenly: the key or, without keys, the client's address. */
  party: string;
}

/** What all choices of a request ask the engine for. */
export type SharedRequest = Omit<GenerationRequest, "requestId" | "prompt" | "seed">;

/** A request that has been understood: what to ask the engine for, and how to answer. */
export interface RequestPlan {
  kind: CompletionKind;
  /** The completion's, and its first choice's. */
  id: string;
  /** Unix time, seconds. */
  created: number;
  model: string;
  systemFingerprint: string;
  isStream: boolean;
  includeUsage: boolean;
  /** Every prompt of the request; each is answered `numAnswers` times. */
  prompts: Prompt[];
  numAnswers: number;
  /** Seed of the first choice; null: each is random. */
  seed: number | null;
  /** The answer begins with its prompt. */
  isEchoed: boolean;
  /** What is thought is not shown. */
  hidesThought: boolean;
  /** Of which law the log-probabilities of a prompt are that is given back. */
  echoLogprobs: "fused" | "unrestricted";
  /** How calls stand in the answer; null: it may have none. */
  toolForm: CallForm | null;
  /** Its `trace` is the fuller of what is reported and what is kept. */
  request: SharedRequest;
  /** By which policy it is answered; null: by the strategy. */
  policy: PolicyPlan | null;
  /** The policy that was drawn; null: not yet, or there is none. */
  draw: PolicyDraw | null;
  /** How many answers are drawn to give the best of them, and by what; null: what is drawn is given. */
  pick: { of: number; by: "predicted" | "likelihood" } | null;
  /** What the answer says of each token. */
  reports: TraceLevel;
  /** What is kept of each token. */
  keeps: TraceLevel;
  /** Paths of what the request asked for and does not get, since the answer is an answer without it. */
  ignored: string[];
  /** What the client calls a field that the engine names. */
  fieldName: (param: string) => string;
}

/** One of a request's answers. */
export interface ChoicePlan {
  created: number;
  model: string;
  /** Its usage counts the prompt: of several answers to one prompt, only the first does. */
  countsPrompt: boolean;
  /** It is one of several of which the best will be given. */
  isCandidate: boolean;
  draw: PolicyDraw | null;
  request: GenerationRequest;
  keeps: TraceLevel;
  fieldName: RequestPlan["fieldName"];
}

/**
 * A plan of its own for each choice, those of one prompt together. Ids and seeds are distinct: choice i has seed
 * + i, and the completion's id with `-i` after it. Where the best is picked it is each candidate of the one choice; they
 * count from 1, since the answer's id will be the best one's.
 */
export function choicesOf(plan: RequestPlan): ChoicePlan[] {
  const { id, created, model, prompts, numAnswers, pick, draw, seed, request, keeps, fieldName } = plan;
  const isCandidate = pick !== null;
  return prompts.flatMap((prompt, p) =>
    Array.from({ length: pick?.of ?? numAnswers }, (_, answer): ChoicePlan => {
      const index = p * numAnswers + answer;
      const own = {
        requestId: isCandidate ? `${id}-${index + 1}` : index === 0 ? id : `${id}-${index}`,
        prompt,
        seed: seed === null ? null : (seed + index) >>> 0,
      };
      return {
        created,
        model,
        countsPrompt: answer === 0,
        isCandidate,
        draw,
        request: { ...request, ...own },
        keeps,
        fieldName,
      };
    }),
  );
}

export interface PlanOptions {
  requester: Requester;
  description: EngineDescription;
  /** What is kept of each token where the request does not say. */
  keptTrace: TraceLevel;
  /** Name of this server among others; empty: it has none. */
  replica: string;
  writeGrammar: WriteGrammar;
  /** What the client calls a field of a completion's body, where it sent another one. */
  fieldName?: (param: string) => string;
}

/** @throws ShouldersError that names the field at fault, as the client calls it. */
export function planCompletion(kind: CompletionKind, body: unknown, options: PlanOptions): RequestPlan {
  const { fieldName = (param: string) => param } = options;
  return withFieldNames(fieldName, () => {
    const read = kind === "chat" ? readBody(chatSchema, body) : readBody(textSchema, body);
    return withFieldNames(read.fieldName, () => {
      const { paramOf, ...plan } =
        kind === "chat"
          ? planChat(read.body as ChatBody, body, options)
          : planText(read.body as TextBody, options);
      return {
        ...plan,
        ignored: [...read.ignored, ...plan.ignored].map(fieldName),
        fieldName: (param) => fieldName(read.fieldName(paramOf[param] ?? param)),
      };
    });
  });
}

/** `paramOf`: which of a body's fields has given what the engine names, where there are several. */
type NamelessPlan = Omit<RequestPlan, "fieldName"> & { paramOf: Record<string, string> };

function planChat(chat: ChatBody, sent: unknown, options: PlanOptions): NamelessPlan {
  const { writeGrammar } = options;
  const hasFunctions = namesFunctions(sent);
  const { toolForm, takesTemplates } = findConfig(options.description, chat.model);
  if (chat.chat_template != null && chat.chat_template !== "" && !takesTemplates)
    throw fieldError(
      "chat_template",
      'leave it out: this model writes chats by its own template (unless its config says "requestChatTemplate": true)',
    );
  const tools = planTools(hasFunctions ? { ...chat, parallel_tool_calls: false } : chat, toolForm);
  const { kinds, ...held } = withFieldNames(formatPath, () => writeGrammar(chat, tools));
  return planParsed("chat", chat, options, {
    prompts: [toConversation(chat, tools)],
    isEchoed: false,
    hidesThought: chat.include_reasoning === false,
    toolForm: tools && callForm(tools, kinds, hasFunctions),
    paramOf: {
      grammar: grammarParamOf(chat, tools !== null),
      ...capNameOf(chat),
    },
    ...held,
    ignored: [...hostedTools(chat), ...(tools?.ignored ?? []), ...held.ignored.map(formatPath)],
    maxTokens: boundOf(chat.max_completion_tokens ?? chat.max_tokens ?? -1),
    topLogprobs: chat.logprobs === true ? (chat.top_logprobs ?? 0) : null,
  });
}

const capNameOf = ({ max_completion_tokens: most }: ChatBody | TextBody) => ({
  max_tokens: most == null ? "max_tokens" : "max_completion_tokens",
});

function planText(text: TextBody, options: PlanOptions): NamelessPlan {
  const { writeGrammar } = options;
  return planParsed("text", text, options, {
    prompts: toPrompts(text.prompt, text.suffix ?? ""),
    isEchoed: text.echo ?? false,
    hidesThought: false,
    toolForm: null,
    paramOf: { grammar: grammarParamOf(text, false), ...capNameOf(text) },
    ...writeGrammar(text, null),
    maxTokens: boundOf(text.max_completion_tokens ?? text.max_tokens ?? 16),
    topLogprobs: text.logprobs == null ? null : Math.max(text.logprobs, text.top_logprobs ?? 0),
  });
}

type OwnParts = Pick<
  NamelessPlan,
  "prompts" | "isEchoed" | "hidesThought" | "toolForm" | "paramOf" | "ignored"
> &
  Pick<SharedRequest, "maxTokens" | "topLogprobs" | "grammar">;

function planParsed(
  kind: CompletionKind,
  body: ChatBody | TextBody,
  options: PlanOptions,
  { prompts, isEchoed, hidesThought, toolForm, paramOf, ignored, ...own }: OwnParts,
): NamelessPlan {
  const { requester, description, keptTrace } = options;
  const config = findConfig(description, body.model);
  const answerPrefix = toGiven(body.fusion?.continue);
  if (answerPrefix?.type === "tokens") checkTokens(answerPrefix.tokens, config, "fusion.continue");
  const traced = tracedOf(body, keptTrace);
  const numAnswers = body.n ?? 1;
  const pick = pickOf(body, prompts.length * numAnswers);
  const sampling = samplingOf(body, config.sampling);
  if (prompts.length * numAnswers > mostChoices)
    throw fieldError(
      "prompt",
      `${prompts.length} prompts times n = ${numAnswers} are more than ${mostChoices}`,
    );
  for (const prompt of prompts) if (prompt.type === "tokens") checkTokens(prompt.tokens, config, "prompt");
  checkTokens(body.stop_token_ids ?? [], config, "stop_token_ids");
  return {
    kind,
    id: traceId(kind === "chat" ? "chatcmpl-" : "cmpl-", options),
    created: Math.floor(Date.now() / 1000),
    model: config.id,
    systemFingerprint: systemFingerprint(description, config),
    isStream: body.stream ?? false,
    includeUsage: body.stream_options?.include_usage ?? false,
    prompts,
    numAnswers,
    policy: policyOf(body, config),
    draw: null,
    // Without chance all would be the same.
    pick: sampling.temperature === 0 ? null : pick,
    // Any integer but -1, by its low 32 bits.
    seed: body.seed == null || body.seed === -1 ? null : body.seed >>> 0,
    ...{ isEchoed, hidesThought },
    // Harnesses add up what candidate answers get: under a plausible set most of them would get nothing.
    echoLogprobs: body.fusion?.logprobs === "fused" ? "fused" : "unrestricted",
    toolForm,
    paramOf,
    ignored: [...ignored, ...ignoredWishes(body)],
    request: {
      ...plainRequest,
      ...own,
      owner: requester.owner,
      party: requester.party,
      answerPrefix,
      prediction: predictionOf(body.prediction),
      configId: config.id,
      callOpening: toolForm && openingsOf(toolForm),
      ...endingsOf(body, own.maxTokens),
      sampling,
      logitBias: logitBiasOf(body, config),
      logprobs: body.fusion?.logprobs ?? "fused",
      ...fusionOf(body.fusion, config),
      trace: fullerOf(traced.reports, traced.keeps),
    },
    ...traced,
  };
}

/** @throws ShouldersError for an id that the vocabulary does not have */
function logitBiasOf({ logit_bias: given }: ChatBody | TextBody, config: ReturnType<typeof findConfig>) {
  const logitBias = Object.entries(given ?? {}).map(([token, bias]) => ({ token: Number(token), bias }));
  checkTokens(
    logitBias.map(({ token }) => token),
    config,
    "logit_bias",
  );
  return logitBias;
}

/** @throws ShouldersError for several answers, of which none would be the best */
function pickOf(
  { fusion, best_of: bestOf, n }: ChatBody | TextBody,
  numChoices: number,
): RequestPlan["pick"] {
  const drawn = bestOf != null && bestOf > 1 && bestOf !== n ? bestOf : 1;
  const { of, by } = fusion?.pick ?? { of: drawn, by: "likelihood" };
  if (of === 1) return null;
  if (numChoices > 1)
    throw fieldError(
      fusion?.pick ? "fusion.pick" : "best_of",
      "one answer to one prompt is picked; leave n out",
    );
  return { of, by };
}

/** What is told, and what is kept, of each token. */
function tracedOf({ fusion }: ChatBody | TextBody, kept: TraceLevel): Pick<RequestPlan, "reports" | "keeps"> {
  const reports = fusion?.trace ?? "off";
  return { reports, keeps: fusion?.keep_trace ?? fullerOf(reports, kept) };
}

/** An id that nothing else has, and that says which replica has the trace. */
export function traceId(prefix: string, { replica }: Pick<PlanOptions, "replica">): string {
  return newId(replica === "" ? prefix : `${prefix}${replica}.`);
}

/** The replica that an id says; null: it says none. */
export const replicaOf = (id: string): string | null => /^[a-z]+[-_](.+)\.[0-9a-f]{32}/.exec(id)?.[1] ?? null;

/** An id that nothing else has. */
export function newId(prefix: string): string {
  return prefix + randomUUID().replaceAll("-", "");
}

/** None where it is negative; more than any context has is as good. */
const boundOf = (most: number): number | null => (most < 0 ? null : Math.min(most, maxInt32));

function samplingOf(body: ChatBody | TextBody, defaults: SamplingSettings): SamplingSettings {
  return {
    temperature: body.do_sample === false ? 0 : (body.temperature ?? defaults.temperature),
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
  throw fieldError(
    param,
    `token id ${stranger} is outside the vocabulary of ${config.vocabularySize} tokens`,
  );
}

/** One prompt, or several: a list of ids is one. */
function toPrompts(given: TextBody["prompt"], suffix: string): Prompt[] {
  const isOne = typeof given === "string" || typeof given[0] === "number";
  return (isOne ? [given as string | number[]] : (given as string[] | number[][])).map((prompt) => {
    if (typeof prompt === "string") return { type: "text", text: prompt, ...(suffix !== "" && { suffix }) };
    if (suffix !== "") throw fieldError("suffix", "it goes with a prompt that is text");
    return { type: "tokens", tokens: prompt };
  });
}

/** What the client expects to be answered. */
function predictionOf(prediction: ChatBody["prediction"]): GivenText | null {
  const { content = "" } = prediction ?? {};
  const text = typeof content === "string" ? content : content.map(({ text: part }) => part).join("\n");
  // A file that is edited may be empty yet.
  return text === "" ? null : { type: "text", text };
}

function toGiven(beginning: string | number[] | null | undefined): GivenText | null {
  if (beginning == null) return null;
  return typeof beginning === "string"
    ? { type: "text", text: beginning }
    : { type: "tokens", tokens: beginning };
}
