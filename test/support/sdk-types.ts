import type Anthropic from "@anthropic-ai/sdk";
import type OpenAI from "openai";

/** What the official SDKs say that answers are; scripts/write-sdk-schemas.ts makes JSON schemas of them. */

export type OpenAiChatCompletion = OpenAI.ChatCompletion;
export type OpenAiChatCompletionChunk = OpenAI.ChatCompletionChunk;
export type OpenAiCompletion = OpenAI.Completion;
export type OpenAiResponse = OpenAI.Responses.Response;
export type OpenAiResponseEvent = OpenAI.Responses.ResponseStreamEvent;
export type OpenAiResponseItemList = OpenAI.Responses.ResponseItemList;
export type OpenAiModel = OpenAI.Model;
export type OpenAiError = OpenAI.ErrorObject;
export type AnthropicMessage = Anthropic.Message;
export type AnthropicMessageEvent = Anthropic.RawMessageStreamEvent;
export type AnthropicTokensCount = Anthropic.MessageTokensCount;
export type AnthropicError = Anthropic.ErrorResponse;
