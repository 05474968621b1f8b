import { z } from "zod";
import { countSchema } from "./numbers.js";
import { named } from "./registry.js";
import { answerFusionSchema, outlookShape, tokensSchema } from "./token-record.js";
import { fusionUsageSchema } from "./usage.js";

/** Answers of `/v1/messages`: Anthropic's shape, whole and as events; what is ours is in `fusion`. */

const textBlockSchema = z.strictObject({ type: z.literal("text"), text: z.string() });

const thinkingBlockSchema = z.strictObject({
  type: z.literal("thinking"),
  thinking: z.string(),
  signature: z.literal("").describe("Nothing is signed: thinking is taken back as it is sent."),
});

const toolUseBlockSchema = z.strictObject({
  type: z.literal("tool_use"),
  id: z.string(),
  name: z.string(),
  input: z.looseObject({}),
  caller: z.strictObject({ type: z.literal("direct") }),
});

const blockSchema = z.discriminatedUnion("type", [textBlockSchema, thinkingBlockSchema, toolUseBlockSchema]);

const stopReasonSchema = z.enum(["end_turn", "max_tokens", "stop_sequence", "tool_use"]);

const deltaUsageSchema = z.strictObject({
  input_tokens: countSchema.describe("Tokens of the prompt that had to be read."),
  cache_creation_input_tokens: z.literal(0),
  cache_read_input_tokens: countSchema.describe("Tokens of the prompt that were read before."),
  output_tokens: countSchema,
  output_tokens_details: z
    .strictObject({ thinking_tokens: countSchema })
    .nullable()
    .describe("null: nothing was thought."),
  server_tool_use: z.null(),
  fusion: fusionUsageSchema.optional().describe("At the end of the answer."),
});

const usageSchema = z.strictObject({
  ...deltaUsageSchema.shape,
  cache_creation: z.null(),
  inference_geo: z.null(),
  service_tier: z.literal("standard"),
  speed: z.null(),
});

export const messageSchema = named(
  "Message",
  z.strictObject({
    id: z.string().describe("Also the id of its trace."),
    type: z.literal("message"),
    role: z.literal("assistant"),
    model: z.string(),
    content: z.array(blockSchema),
    stop_reason: stopReasonSchema.nullable(),
    stop_sequence: z.string().nullable(),
    stop_details: z.null(),
    container: z.null(),
    diagnostics: z.null(),
    usage: usageSchema,
    fusion: answerFusionSchema.optional(),
  }),
);

const blockDeltaSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text_delta"), text: z.string() }),
  z.strictObject({ type: z.literal("thinking_delta"), thinking: z.string() }),
  z.strictObject({ type: z.literal("signature_delta"), signature: z.literal("") }),
  z.strictObject({ type: z.literal("input_json_delta"), partial_json: z.string() }),
]);

const messageErrorTypes = [
  "invalid_request_error",
  "authentication_error",
  "permission_error",
  "not_found_error",
  "timeout_error",
  "rate_limit_error",
  "api_error",
  "overloaded_error",
] as const;

export const messageErrorSchema = named(
  "MessageError",
  z.strictObject({
    type: z.literal("error"),
    error: z.strictObject({
      type: z.enum(messageErrorTypes),
      message: z.string().describe("What is wrong, and what to do."),
    }),
    request_id: z.string(),
  }),
);

const block = { index: countSchema };

export const messageEventSchema = named(
  "MessageEvent",
  z.discriminatedUnion("type", [
    z.strictObject({ type: z.literal("message_start"), message: messageSchema }),
    z.strictObject({ type: z.literal("content_block_start"), ...block, content_block: blockSchema }),
    z.strictObject({
      type: z.literal("content_block_delta"),
      ...block,
      delta: blockDeltaSchema,
      fusion: tokensSchema.optional(),
    }),
    z.strictObject({ type: z.literal("content_block_stop"), ...block }),
    z.strictObject({
      type: z.literal("message_delta"),
      delta: z.strictObject({
        stop_reason: stopReasonSchema,
        stop_sequence: z.string().nullable(),
        stop_details: z.null(),
        container: z.null(),
      }),
      usage: deltaUsageSchema,
      fusion: z.strictObject(outlookShape).optional(),
    }),
    z.strictObject({ type: z.literal("message_stop") }),
    messageErrorSchema,
  ]),
);

export const countedTokensSchema = named("CountedTokens", z.strictObject({ input_tokens: countSchema }));

export type MessageBlock = z.output<typeof blockSchema>;
export type StopReason = z.output<typeof stopReasonSchema>;
export type Message = z.output<typeof messageSchema>;
export type MessageEvent = z.output<typeof messageEventSchema>;
export type MessageErrorType = (typeof messageErrorTypes)[number];
export type MessageError = z.output<typeof messageErrorSchema>;
export type CountedTokens = z.output<typeof countedTokensSchema>;
