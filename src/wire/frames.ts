import { z } from "zod";
import { finishReasonSchema, toolCallSchema } from "./completion.js";
import { debateFrames } from "./debate.js";
import { errorDetailSchema } from "./error.js";
import {
  feedbackDeletedSchema,
  feedbackListSchema,
  feedbackSchema,
  givenFeedbackShape,
  hasOneScore,
} from "./feedback.js";
import { chatLogprobsSchema, textLogprobsSchema } from "./logprobs.js";
import { countSchema } from "./numbers.js";
import { named } from "./registry.js";
import { ignoredSchema, outlookShape, tokenRecordSchema } from "./token-record.js";
import { usageSchema } from "./usage.js";
import { verdictSchema } from "./verdict.js";

/** The frames of the WebSocket: JSON text, named after OpenAI's Realtime events. */

const id = z.string().regex(/^[\w.-]{1,64}$/, "expected 1 to 64 letters, digits, '_', '.' or '-'");
const eventId = z.string().max(128).nullish().describe("Repeated in the error that this frame causes.");

export const clientFrameSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("response.create"),
    event_id: eventId,
    response: z
      .looseObject({ id: id.nullish().describe("Default: the completion's id.") })
      .describe("A body of /v1/chat/completions (with messages) or /v1/completions (with prompt)."),
  }),
  z.strictObject({
    type: z.literal("verdict.create"),
    event_id: eventId,
    verdict: z
      .looseObject({ id: id.nullish().describe("Default: the verdict's id.") })
      .describe("A body of /v1/fusion/judge; a debate is streamed."),
  }),
  z.strictObject({ type: z.literal("response.cancel"), event_id: eventId, response_id: z.string() }),
  z
    .strictObject({ type: z.literal("feedback.create"), event_id: eventId, ...givenFeedbackShape })
    .refine(hasOneScore.check, hasOneScore.told),
  z.strictObject({ type: z.literal("feedback.delete"), event_id: eventId, trace: z.string() }),
  z.strictObject({
    type: z.literal("feedback.list"),
    event_id: eventId,
    model: z.string().nullish(),
    limit: z.int().min(1).max(1000).nullish(),
    after: z.string().nullish(),
  }),
  z.strictObject({ type: z.literal("ping"), event_id: eventId }),
]);

/** Of the frame that asked. */
const answersFrame = { event_id: z.string().optional() };

const endedStatusSchema = z.enum(["completed", "cancelled", "incomplete", "failed"]);

const endedChoiceSchema = z.strictObject({
  index: countSchema,
  output_text: z.string(),
  tool_calls: z.array(toolCallSchema).optional().describe("As a message of the next turn takes them."),
  finish_reason: finishReasonSchema.nullable().describe("null: it did not come to its end."),
  fusion: z.strictObject(outlookShape).optional(),
});

const endedResponseSchema = z.strictObject({
  id: z.string(),
  status: endedStatusSchema,
  output_text: z.string().describe("Text of the first choice."),
  choices: z.array(endedChoiceSchema),
  usage: usageSchema.describe("Of all choices together."),
  finish_reason: finishReasonSchema.nullable().describe("How the first choice ended."),
  error: errorDetailSchema.optional(),
});

/** Whose frame it is; prompt p of a list has the choices p·n … p·n + n − 1. */
const place = { response_id: z.string(), choice_index: countSchema };
const call = { call_id: z.string(), name: z.string() };

const choiceFrames = [
  z.strictObject({
    type: z.literal("response.output_text.delta"),
    ...place,
    delta: z.string(),
    tokens: z.array(tokenRecordSchema).describe("Where fusion.trace asked for them."),
    logprobs: z
      .union([chatLogprobsSchema, textLogprobsSchema])
      .optional()
      .describe("Where the request asked for log-probabilities; in the shape of its endpoint."),
  }),
  z.strictObject({
    type: z.literal("response.function_call_arguments.delta"),
    ...place,
    ...call,
    delta: z.string(),
  }),
  z.strictObject({
    type: z.literal("response.function_call_arguments.done"),
    ...place,
    ...call,
    arguments: z.string(),
  }),
  z.strictObject({ type: z.literal("response.output_text.done"), ...place, text: z.string() }),
] as const;

export const serverFrameSchema = named(
  "ServerFrame",
  z.discriminatedUnion("type", [
    z.strictObject({
      type: z.literal("session.created"),
      session: z.strictObject({
        id: z.string(),
        models: z.array(z.string()),
        limits: z.strictObject({ responses: countSchema, frame_bytes: countSchema }),
      }),
    }),
    z.strictObject({
      type: z.literal("response.created"),
      response: z.strictObject({
        id: z.string(),
        status: z.literal("in_progress"),
        model: z.string(),
        trace_id: z.string(),
        fusion: ignoredSchema.optional(),
      }),
    }),
    z.strictObject({
      type: z.literal("model.loading"),
      response_id: z.string().optional().describe("Where the client has given one."),
      model: z.string(),
      progress: z.number().min(0).max(1),
    }),
    ...choiceFrames,
    z.strictObject({ type: z.literal("response.done"), response: endedResponseSchema }),
    z.strictObject({
      type: z.literal("verdict.done"),
      response_id: z.string(),
      status: z.enum(["completed", "cancelled", "failed"]),
      verdict: verdictSchema.optional(),
      error: errorDetailSchema.optional(),
    }),
    ...debateFrames,
    z.strictObject({
      type: z.literal("error"),
      error: errorDetailSchema.extend({ event_id: z.string().optional() }),
    }),
    z.strictObject({ type: z.literal("feedback.created"), ...answersFrame, feedback: feedbackSchema }),
    z.strictObject({ type: z.literal("feedback.deleted"), ...answersFrame, feedback: feedbackDeletedSchema }),
    z.strictObject({ type: z.literal("feedback.listed"), ...answersFrame, feedback: feedbackListSchema }),
    z.strictObject({ type: z.literal("pong"), event_id: z.string().optional() }),
  ]),
);

export type ClientFrame = z.output<typeof clientFrameSchema>;
export type EndedStatus = z.output<typeof endedStatusSchema>;
export type EndedChoice = z.output<typeof endedChoiceSchema>;
export type EndedResponse = z.output<typeof endedResponseSchema>;
export type ChoiceFrame = z.output<(typeof choiceFrames)[number]>;
export type ChoicePlace = Pick<ChoiceFrame, "response_id" | "choice_index">;
export type ServerFrame = z.output<typeof serverFrameSchema>;
