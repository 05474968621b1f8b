import { z } from "zod";
import { chatLogprobsSchema, textLogprobsSchema } from "./logprobs.js";
import { countSchema } from "./numbers.js";
import { named } from "./registry.js";
import { ignoredSchema, choiceFusionSchema } from "./token-record.js";
import { usageSchema } from "./usage.js";

/** OpenAI's completions, whole and in chunks; what is ours is in `fusion`. */

/** `function_call`: a request had `functions`. */
export const finishReasonSchema = z.enum(["stop", "length", "tool_calls", "function_call"]);

export const toolCallSchema = named(
  "ToolCall",
  z.discriminatedUnion("type", [
    z.strictObject({
      id: z.string(),
      type: z.literal("function"),
      function: z.strictObject({ name: z.string(), arguments: z.string().describe("JSON.") }),
    }),
    z.strictObject({
      id: z.string(),
      type: z.literal("custom"),
      custom: z.strictObject({ name: z.string(), input: z.string() }),
    }),
  ]),
);

const callPlace = { index: countSchema, id: z.string().optional() };
const calledName = { name: z.string().optional() };

const toolCallDeltaSchema = z
  .union([
    z.strictObject({
      ...callPlace,
      type: z.literal("function").optional(),
      function: z.strictObject({ ...calledName, arguments: z.string() }),
    }),
    z.strictObject({
      ...callPlace,
      type: z.literal("custom").optional(),
      custom: z.strictObject({ ...calledName, input: z.string() }),
    }),
  ])
  .describe("A piece of a call: id and name come with its first.");

const choiceFields = {
  index: countSchema,
  finish_reason: finishReasonSchema.nullable(),
  fusion: choiceFusionSchema.optional(),
};

const chatChoiceSchema = z.strictObject({
  ...choiceFields,
  message: z.strictObject({
    role: z.literal("assistant"),
    content: z.string().nullable(),
    reasoning_content: z.string().optional().describe("What was thought before the answer."),
    refusal: z.null(),
    tool_calls: z.array(toolCallSchema).optional(),
    function_call: z
      .strictObject({ name: z.string(), arguments: z.string() })
      .optional()
      .describe("The call, where the request had functions in place of tools."),
  }),
  logprobs: chatLogprobsSchema.nullable(),
});

const chatChunkChoiceSchema = z.strictObject({
  ...choiceFields,
  delta: z.strictObject({
    role: z.literal("assistant").optional(),
    content: z.string().optional(),
    reasoning_content: z.string().optional().describe("What was thought before the answer."),
    tool_calls: z.array(toolCallDeltaSchema).optional(),
    function_call: z.strictObject({ name: z.string().optional(), arguments: z.string() }).optional(),
  }),
  logprobs: chatLogprobsSchema.nullable(),
});

const textChoiceSchema = z.strictObject({
  ...choiceFields,
  text: z.string(),
  logprobs: textLogprobsSchema.nullable(),
});

const envelope = {
  id: z.string().describe("Also the id of its trace."),
  created: countSchema.describe("Unix time, seconds."),
  model: z.string(),
  system_fingerprint: z.string(),
  fusion: ignoredSchema.optional().describe("In a stream the first chunk has it."),
};

const timings = z
  .strictObject({ draft_n: countSchema, draft_n_accepted: countSchema })
  .optional()
  .describe("Tokens that were guessed, and those of them that were right, as llama.cpp calls them.");

/** In chunks: only where the client asked for it, and null but for the last. */
const chunkUsage = { usage: usageSchema.nullable().optional(), timings };

export const chatCompletionSchema = named(
  "ChatCompletion",
  z.strictObject({
    ...envelope,
    object: z.literal("chat.completion"),
    choices: z.array(chatChoiceSchema),
    usage: usageSchema,
    timings,
  }),
);

export const chatChunkSchema = named(
  "ChatCompletionChunk",
  z.strictObject({
    ...envelope,
    object: z.literal("chat.completion.chunk"),
    choices: z.array(chatChunkChoiceSchema),
    ...chunkUsage,
  }),
);

export const textCompletionSchema = named(
  "TextCompletion",
  z.strictObject({
    ...envelope,
    object: z.literal("text_completion"),
    choices: z.array(textChoiceSchema),
    usage: usageSchema,
    timings,
  }),
);

export const textChunkSchema = named(
  "TextCompletionChunk",
  z.strictObject({
    ...envelope,
    object: z.literal("text_completion"),
    choices: z.array(textChoiceSchema),
    ...chunkUsage,
  }),
);

export type ToolCall = z.output<typeof toolCallSchema>;
export type ToolCallDelta = z.output<typeof toolCallDeltaSchema>;
export type ChoiceFinishReason = z.output<typeof finishReasonSchema>;
export type ChatChoice = z.output<typeof chatChoiceSchema>;
export type ChatChunkChoice = z.output<typeof chatChunkChoiceSchema>;
export type TextChoice = z.output<typeof textChoiceSchema>;
export type ChatCompletion = z.output<typeof chatCompletionSchema>;
export type ChatChunk = z.output<typeof chatChunkSchema>;
export type TextCompletion = z.output<typeof textCompletionSchema>;
export type TextChunk = z.output<typeof textChunkSchema>;
