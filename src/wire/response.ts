import { z } from "zod";
import { errorDetailSchema } from "./error.js";
import { chatLogprobSchema } from "./logprobs.js";
import { countSchema } from "./numbers.js";
import { named } from "./registry.js";
import { answerFusionSchema, tokensSchema } from "./token-record.js";
import { fusionUsageSchema } from "./usage.js";

/** Answers of `/v1/responses`: OpenAI's newer shape, whole and as events. */

const statusSchema = z.enum(["in_progress", "completed", "incomplete", "failed"]);

const partSchema = z.strictObject({
  type: z.literal("output_text"),
  text: z.string(),
  annotations: z.array(z.never()),
  logprobs: z.array(chatLogprobSchema),
});

const itemSchema = z.strictObject({
  id: z.string(),
  type: z.literal("message"),
  status: statusSchema,
  role: z.literal("assistant"),
  content: z.array(partSchema),
});

const usageSchema = z.strictObject({
  input_tokens: countSchema,
  input_tokens_details: z.strictObject({ cached_tokens: countSchema }),
  output_tokens: countSchema,
  output_tokens_details: z.strictObject({ reasoning_tokens: countSchema }),
  total_tokens: countSchema,
  fusion: fusionUsageSchema,
});

export const responseSchema = named(
  "Response",
  z.strictObject({
    id: z.string(),
    object: z.literal("response"),
    created_at: countSchema,
    status: statusSchema,
    background: z.literal(false),
    error: errorDetailSchema.pick({ code: true, message: true }).nullable(),
    incomplete_details: z.strictObject({ reason: z.literal("max_output_tokens") }).nullable(),
    instructions: z.string().nullable(),
    max_output_tokens: z.int().nullable(),
    metadata: z.looseObject({}),
    model: z.string(),
    output: z.array(itemSchema),
    parallel_tool_calls: z.boolean(),
    previous_response_id: z.null(),
    reasoning: z.strictObject({ effort: z.null(), summary: z.null() }),
    store: z.literal(false),
    temperature: z.number(),
    text: z.strictObject({ format: z.looseObject({ type: z.string() }) }),
    tool_choice: z.literal("auto"),
    tools: z.array(z.never()),
    top_logprobs: countSchema,
    top_p: z.number(),
    truncation: z.literal("disabled"),
    usage: usageSchema.nullable(),
    user: z.string().nullable(),
    fusion: answerFusionSchema.optional(),
  }),
);

const sequenceNumber = { sequence_number: countSchema };
const itemPlace = { output_index: z.literal(0) };
const partPlace = { item_id: z.string(), ...itemPlace, content_index: z.literal(0) };

const event = <Type extends string, Fields extends z.core.$ZodLooseShape>(type: Type, fields: Fields) =>
  z.strictObject({ type: z.literal(type), ...sequenceNumber, ...fields });

const text = { logprobs: z.array(chatLogprobSchema) };

export const responseEventSchema = named(
  "ResponseEvent",
  z.discriminatedUnion("type", [
    event("response.created", { response: responseSchema }),
    event("response.in_progress", { response: responseSchema }),
    event("response.output_item.added", { ...itemPlace, item: itemSchema }),
    event("response.content_part.added", { ...partPlace, part: partSchema }),
    event("response.output_text.delta", {
      ...partPlace,
      ...text,
      delta: z.string(),
      fusion: tokensSchema.optional(),
    }),
    event("response.output_text.done", { ...partPlace, ...text, text: z.string() }),
    event("response.content_part.done", { ...partPlace, part: partSchema }),
    event("response.output_item.done", { ...itemPlace, item: itemSchema }),
    event("response.completed", { response: responseSchema }),
    event("response.incomplete", { response: responseSchema }),
    event("response.failed", { response: responseSchema }),
  ]),
);

export type ResponseStatus = z.output<typeof statusSchema>;
export type ResponsePart = z.output<typeof partSchema>;
export type ResponseItem = z.output<typeof itemSchema>;
export type ResponseBody = z.output<typeof responseSchema>;
export type ResponseEvent = z.output<typeof responseEventSchema>;
