import { z } from "zod";
import { chatLogprobSchema } from "./logprobs.js";
import { countSchema } from "./numbers.js";
import { named } from "./registry.js";
import {
  outputItemSchema,
  outputTextSchema,
  reasoningTextSchema,
  summaryTextSchema,
} from "./response-item.js";
import { answerFusionSchema, tokensSchema } from "./token-record.js";
import { fusionUsageSchema } from "./usage.js";

/** Answers of `/v1/responses`: OpenAI's newer shape, whole and as events. */

const usageSchema = z.strictObject({
  input_tokens: countSchema,
  input_tokens_details: z.strictObject({ cached_tokens: countSchema, cache_write_tokens: z.literal(0) }),
  output_tokens: countSchema,
  output_tokens_details: z.strictObject({ reasoning_tokens: countSchema }),
  total_tokens: countSchema,
  fusion: fusionUsageSchema,
});

const toolSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("function"),
    name: z.string(),
    description: z.string().nullable(),
    parameters: z.looseObject({}).nullable(),
    strict: z.boolean().nullable(),
  }),
  z.strictObject({
    type: z.literal("custom"),
    name: z.string(),
    description: z.string().optional(),
    format: z.looseObject({ type: z.string() }),
  }),
]);

export const responseSchema = named(
  "Response",
  z.strictObject({
    id: z.string(),
    object: z.literal("response"),
    created_at: countSchema,
    status: z.enum(["queued", "in_progress", "completed", "incomplete", "cancelled", "failed"]),
    background: z.boolean(),
    conversation: z.strictObject({ id: z.string() }).optional(),
    error: z
      .strictObject({ code: z.enum(["server_error", "rate_limit_exceeded"]), message: z.string() })
      .nullable(),
    incomplete_details: z.strictObject({ reason: z.literal("max_output_tokens") }).nullable(),
    instructions: z.string().nullable(),
    max_output_tokens: z.int().nullable(),
    metadata: z.record(z.string(), z.string()),
    model: z.string(),
    output: z.array(outputItemSchema),
    parallel_tool_calls: z.boolean(),
    previous_response_id: z.string().nullable(),
    reasoning: z.strictObject({ effort: z.string().nullable(), summary: z.string().nullable() }),
    store: z.boolean().describe("Whether it is kept, and may be the next one's previous_response_id."),
    temperature: z.number(),
    text: z.strictObject({ format: z.looseObject({ type: z.string() }) }),
    tool_choice: z.union([z.enum(["none", "auto", "required"]), z.looseObject({ type: z.string() })]),
    tools: z.array(toolSchema),
    top_logprobs: countSchema,
    top_p: z.number(),
    truncation: z.literal("disabled"),
    usage: usageSchema.optional().describe("When it is over."),
    user: z.string().optional(),
    fusion: answerFusionSchema.optional(),
  }),
);

export const deletedResponseSchema = named(
  "DeletedResponse",
  z.strictObject({ id: z.string(), object: z.literal("response"), deleted: z.literal(true) }),
);

export const inputTokensSchema = named(
  "InputTokens",
  z.strictObject({ object: z.literal("response.input_tokens"), input_tokens: countSchema }),
);

const sequenceNumber = { sequence_number: countSchema };
const itemPlace = { output_index: countSchema };
const idPlace = { item_id: z.string(), ...itemPlace };
const partPlace = { ...idPlace, content_index: z.literal(0) };
const summaryPlace = { ...idPlace, summary_index: z.literal(0) };

const event = <Type extends string, Fields extends z.core.$ZodLooseShape>(type: Type, fields: Fields) =>
  z.strictObject({ type: z.literal(type), ...sequenceNumber, ...fields });

const text = { logprobs: z.array(chatLogprobSchema) };
const delta = { delta: z.string(), fusion: tokensSchema.optional() };
const contentPart = { part: z.discriminatedUnion("type", [outputTextSchema, reasoningTextSchema]) };
const summaryPart = { part: summaryTextSchema };

export const responseEventSchema = named(
  "ResponseEvent",
  z.discriminatedUnion("type", [
    event("response.created", { response: responseSchema }),
    event("response.queued", { response: responseSchema }),
    event("response.in_progress", { response: responseSchema }),
    event("response.output_item.added", { ...itemPlace, item: outputItemSchema }),
    event("response.content_part.added", { ...partPlace, ...contentPart }),
    event("response.output_text.delta", { ...partPlace, ...text, ...delta }),
    event("response.output_text.done", { ...partPlace, ...text, text: z.string() }),
    event("response.reasoning_text.delta", { ...partPlace, ...delta }),
    event("response.reasoning_text.done", { ...partPlace, text: z.string() }),
    event("response.content_part.done", { ...partPlace, ...contentPart }),
    event("response.reasoning_summary_part.added", { ...summaryPlace, ...summaryPart }),
    event("response.reasoning_summary_text.delta", { ...summaryPlace, ...delta }),
    event("response.reasoning_summary_text.done", { ...summaryPlace, text: z.string() }),
    event("response.reasoning_summary_part.done", { ...summaryPlace, ...summaryPart }),
    event("response.function_call_arguments.delta", { ...idPlace, ...delta }),
    event("response.function_call_arguments.done", { ...idPlace, name: z.string(), arguments: z.string() }),
    event("response.custom_tool_call_input.delta", { ...idPlace, ...delta }),
    event("response.custom_tool_call_input.done", { ...idPlace, input: z.string() }),
    event("response.output_item.done", { ...itemPlace, item: outputItemSchema }),
    event("response.completed", { response: responseSchema }),
    event("response.incomplete", { response: responseSchema }),
    event("response.failed", { response: responseSchema }),
  ]),
);

export type ResponseBody = z.output<typeof responseSchema>;
export type InputTokens = z.output<typeof inputTokensSchema>;
export type DeletedResponse = z.output<typeof deletedResponseSchema>;
export type ResponseEvent = z.output<typeof responseEventSchema>;
