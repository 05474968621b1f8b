import type { RequestHandler } from "express";
import type { CountedTokens, Message } from "../../wire/message.js";
import { planAnswer, planOptions } from "../completion/answering.js";
import { planCompletion, traceId, type PlanOptions, type RequestPlan } from "../completion/plan.js";
import { serveAnswer } from "../completion/serve-answer.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { readFields } from "../openai/read-body.js";
import { countPrompt } from "../vocabulary.js";
import { MessageWriter } from "./message-writer.js";
import { countTokensSchema, messagesSchema, otherTools, type PromptBody } from "./messages-schema.js";
import { toChat, toChatPrompt, type ChatRequest } from "./to-chat.js";

/** `POST /v1/messages`: a chat completion in Anthropic's shape. */
export function messagesHandler(context: ApiContext): RequestHandler<object, Message> {
  return async (request, response) => {
    const { body, ignored } = readFields(messagesSchema, request.body);
    const chat = toChat(body);
    const plan = await planAnswer(context, response, (options) => planMessage(chat, options));
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
    const plan = planMessage(chat, planOptions(context, response));
    const count = await countPrompt(context, response, plan);
    if (count !== null) response.json({ input_tokens: count });
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
