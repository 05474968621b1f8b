import type { RequestHandler } from "express";
import { ShouldersError } from "../errors.js";
import {
  chatChunkSchema,
  chatCompletionSchema,
  textChunkSchema,
  textCompletionSchema,
} from "../wire/completion.js";
import { serverFrameSchema } from "../wire/frames.js";
import {
  countedTokensSchema,
  messageErrorSchema,
  messageEventSchema,
  messageSchema,
} from "../wire/message.js";
import {
  deletedResponseSchema,
  inputTokensSchema,
  responseEventSchema,
  responseSchema,
} from "../wire/response.js";
import { itemListSchema } from "../wire/response-item.js";
import { countTokens, messagesHandler } from "./anthropic/messages.js";
import { countTokensSchema, messagesSchema } from "./anthropic/messages-schema.js";
import type { ApiContext } from "./context.js";
import { completionHandler } from "./openai/completions.js";
import {
  cancelResponse,
  deleteResponse,
  getResponse,
  keptQuerySchema,
  listInputItems,
} from "./openai/kept-responses.js";
import { itemsQuerySchema } from "./openai/item-page.js";
import { countInputTokens, responsesHandler } from "./openai/responses.js";
import { responsesSchema } from "./openai/responses-schema.js";
import { chatSchema, textSchema } from "./openai/schemas.js";
import { jsonRoute, type Route } from "./route.js";

/** Every route that answers a prompt. */
export function answerRoutes(context: ApiContext): Route[] {
  return [...completionRoutes(context), ...keptResponseRoutes(context), ...messageRoutes(context)];
}

function completionRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "POST",
      path: "/v1/chat/completions",
      holdsModel: true,
      operation: "createChatCompletion",
      summary: "Answer a conversation.",
      body: chatSchema,
      json: chatCompletionSchema,
      event: chatChunkSchema,
      handler: completionHandler(context, "chat"),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/completions",
      holdsModel: true,
      operation: "createCompletion",
      summary: "Go on with a text, or with token ids.",
      body: textSchema,
      json: textCompletionSchema,
      event: textChunkSchema,
      handler: completionHandler(context, "text"),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/responses",
      holdsModel: true,
      operation: "createResponse",
      summary: "Answer a conversation, in OpenAI's newer shape.",
      body: responsesSchema,
      json: responseSchema,
      event: responseEventSchema,
      handler: responsesHandler(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/responses/input_tokens",
      holdsModel: true,
      operation: "countInputTokens",
      summary: "Tokens of a response's prompt as the base gets it.",
      body: responsesSchema,
      json: inputTokensSchema,
      handler: countInputTokens(context),
    }),
    {
      method: "GET",
      path: "/v1/stream",
      operation: "openStream",
      summary: "WebSocket: many responses on one socket, JSON text frames.",
      frame: serverFrameSchema,
      handler: upgradeRequired,
    },
  ];
}

/** What became of responses that are kept. */
function keptResponseRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "GET",
      path: "/v1/responses/:id",
      operation: "getResponse",
      summary: "A response that is kept.",
      query: keptQuerySchema,
      json: responseSchema,
      event: responseEventSchema,
      handler: getResponse(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/responses/:id/cancel",
      operation: "cancelResponse",
      summary: "End a response that runs in the background.",
      json: responseSchema,
      handler: cancelResponse(context),
    }),
    jsonRoute({
      method: "DELETE",
      path: "/v1/responses/:id",
      operation: "deleteResponse",
      summary: "Keep a response no longer.",
      json: deletedResponseSchema,
      handler: deleteResponse(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/responses/:id/input_items",
      operation: "listInputItems",
      summary: "What a response was an answer to.",
      query: itemsQuerySchema,
      json: itemListSchema,
      handler: listInputItems(context),
    }),
  ];
}

/** Anthropic's API. */
function messageRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "POST",
      path: "/v1/messages",
      holdsModel: true,
      operation: "createMessage",
      summary: "Answer a conversation, in Anthropic's shape.",
      body: messagesSchema,
      json: messageSchema,
      event: messageEventSchema,
      error: messageErrorSchema,
      handler: messagesHandler(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/messages/count_tokens",
      holdsModel: true,
      operation: "countMessageTokens",
      summary: "Tokens of a conversation as the base gets it.",
      body: countTokensSchema,
      json: countedTokensSchema,
      error: messageErrorSchema,
      handler: countTokens(context),
    }),
  ];
}

const upgradeRequired: RequestHandler = (_request, response) => {
  response.set({ Upgrade: "websocket", Connection: "Upgrade" });
  throw new ShouldersError("upgrade_required", "This route is a WebSocket: connect with ws:// or wss://.");
};
