import type { RequestHandler } from "express";
import type { Prompt } from "../../protocol/protocol.js";
import type { CountedTokens, Message } from "../../wire/message.js";
import { planOptions } from "../completion/answering.js";
import { planCompletion, traceId, type PlanOptions, type RequestPlan } from "../completion/plan.js";
import { serveAnswer } from "../completion/serve-answer.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { readFields } from "../openai/read-body.js";
import { askEngine } from "../vocabulary.js";
import { MessageWriter } from "./message-writer.js";
import { countTokensSchema, messagesSchema, otherTools, type PromptBody } from "./messages-schema.js";
import { toChat, toChatPrompt, type ChatRequest } from "./to-chat.js";

/** `POST /v1/messages`: a chat completion in Anthropic's shape. */
export function messagesHandler(context: ApiContext): RequestHandler<object, Message> {
  return async (request, response) => {
    const { body, ignored } = readFields(messagesSchema, request.body);
    const plan = planMessage(toChat(body), planOptions(context, response));
    plan.ignored.unshift(...ignored, ...unheard(body));
    const { requestId } = localsOf(response);
    await serveAnswer({ context, response, plan }, new MessageWriter(plan, requestId));
  };
}

/** `POST /v1/messages/count_tokens`: of the prompt as the base gets it. */
export function countTokens(context: ApiContext): RequestHandler<object, CountedTokens> {
  return async (request, response) => {
    const { body } = readFields(countTokensSchema, request.body);
    const chat = toChatPrompt(body);
    const { model: configId, prompts } = planMessage(chat, planOptions(context, response));
    localsOf(response).model = configId;
    const [prompt] = prompts as [Prompt];
    const result = await askEngine(context, response, { type: "renderPrompt", configId, prompt });
    if (result !== null) response.json({ input_tokens: result.prompts["base"]?.tokens.length ?? 0 });
  };
}

function planMessage({ body, fieldName }: ChatRequest, options: PlanOptions): RequestPlan {
  return { ...planCompletion("chat", body, { ...options, fieldName }), id: traceId("msg_", options) };
}

/** What is known, and asks for what is not done; an answer is an answer without it. */
function unheard(body: PromptBody): string[] {
  const { thinking, output_config: output } = body;
  const given = (["container", "context_management", "inference_geo", "speed"] as const).filter(
    (field) => body[field] != null,
  );
  return [
    ...given,
    ...otherTools(body),
    ...(thinking?.budget_tokens == null ? [] : ["thinking.budget_tokens"]),
    ...(output?.effort == null || thinking != null ? [] : ["output_config.effort"]),
  ];
}
