import { z } from "zod";
import { finishReasonSchema } from "./completion.js";
import { countSchema } from "./numbers.js";
import { named } from "./registry.js";
import { tokenRecordSchema } from "./token-record.js";
import { usageSchema } from "./usage.js";

/** What is kept of a completion: a header, and the records of its tokens. */

const traceHeaderSchema = named(
  "TraceHeader",
  z.strictObject({
    id: z.string().describe("Id of the completion."),
    object: z.literal("fusion.trace"),
    model: z.string(),
    created: countSchema.describe("Unix time, seconds."),
    status: z
      .enum(["in_progress", "completed", "incomplete", "cancelled", "failed"])
      .describe("incomplete: ended by the token cap or a full context."),
    finish_reason: finishReasonSchema.nullable(),
    level: z.enum(["weights", "full"]).describe("What is kept of each token."),
    prompt_tokens: countSchema,
    usage: usageSchema.nullable().describe("null until the completion has ended."),
  }),
);

export const traceSchema = named("Trace", traceHeaderSchema.extend({ tokens: z.array(tokenRecordSchema) }));

export const traceListSchema = named(
  "TraceList",
  z.strictObject({
    object: z.literal("list"),
    data: z.array(traceHeaderSchema),
    has_more: z.boolean(),
  }),
);

export const traceEventSchema = named(
  "TraceEvent",
  z.discriminatedUnion("type", [
    z.strictObject({ type: z.literal("trace.started"), trace: traceHeaderSchema }),
    z.strictObject({ type: z.literal("trace.tokens"), tokens: z.array(tokenRecordSchema) }),
    z.strictObject({ type: z.literal("trace.ended"), trace: traceHeaderSchema }),
  ]),
);

export type TraceHeader = z.output<typeof traceHeaderSchema>;
export type TraceStatus = TraceHeader["status"];
export type Trace = z.output<typeof traceSchema>;
export type TraceList = z.output<typeof traceListSchema>;
export type TraceEvent = z.output<typeof traceEventSchema>;
