import { z } from "zod";
import { errorDetailSchema } from "./error.js";
import { countSchema, shareSchema } from "./numbers.js";
import { named } from "./registry.js";
import { ignoredSchema } from "./token-record.js";
import { usageSchema } from "./usage.js";

/** What `/v1/fusion/judge` answers to a debate, and what it tells while the debate goes on. */

const probabilities = z.array(shareSchema).describe("Of the candidates, in their order.");
const byMember = <Value extends z.ZodType>(value: Value) => z.record(z.string(), value);
const keptText = z.string().nullable().describe("null: texts are not kept.");

const argumentSchema = z.strictObject({
  transcript: countSchema.describe("Index of the transcript."),
  turn: countSchema.describe("From 1."),
  candidate: countSchema.describe("Index of the candidate that it is for."),
  text: keptText,
  heard: keptText.describe(
    "The same without quotes that could not be verified: what opponent and panel get. null: texts are not kept.",
  ),
  quotes: z.array(
    z.strictObject({
      text: keptText,
      verified: z.boolean().describe("false: it is not in the document, and was struck."),
    }),
  ),
  trace_id: z
    .string()
    .nullable()
    .describe(
      "Of the answer in which it was written, or its candidate was read after it; null: it is empty.",
    ),
});

const auditedTaskSchema = z.strictObject({
  items: countSchema,
  outcome: z.enum(["use", "no gain", "harms"]),
  accuracy: z
    .strictObject({
      judge: shareSchema.describe("The panel alone."),
      one_side: shareSchema.describe("One side argues, drawn by chance."),
      critique: shareSchema.describe("One argument, for what the advocate holds to be right."),
      debate: shareSchema,
      chance_quotes: shareSchema.nullable().describe("As many sentences drawn by chance; null: no quotes."),
      critic: shareSchema.describe("The advocate's own verdict, with the document."),
    })
    .describe("Share of right verdicts."),
  p: shareSchema.describe("McNemar's exact test, debate against the panel alone."),
});

export const auditedSchema = z.strictObject({
  outcome: z.enum(["use", "no gain", "harms"]).describe("The worst of its tasks."),
  date: z.string(),
  same_settings: z
    .boolean()
    .describe("The audited debates had this one's turns, advocate, panel, orders, arguments and quotes."),
  tasks: z.record(z.string(), auditedTaskSchema),
});

export const debateAnswerSchema = named(
  "Debate",
  z.strictObject({
    id: z.string(),
    object: z.literal("fusion.debate"),
    created: countSchema,
    model: z.string(),
    system_fingerprint: z.string(),
    normalise: z.enum(["sum", "mean", "end"]),
    settings: z.strictObject({
      turns: countSchema,
      seeds: countSchema,
      advocate: z.enum(["base", "fused"]),
      panel: z.array(z.string()),
      orders: z.enum(["both", "given"]),
      arguments: z.enum(["quotes", "text"]),
      quotes: z.enum(["verified", "off"]),
      margin: shareSchema,
    }),
    pair: z.array(countSchema).length(2).describe("Indices of the candidates that were argued for."),
    candidates: z.array(
      z.strictObject({
        text: keptText,
        label: z.string().optional().describe("Where labels were asked about."),
        probability: shareSchema.describe("Mean over members and transcripts."),
        members: byMember(
          z.strictObject({
            with: shareSchema.describe("With the transcripts, their mean."),
            without: shareSchema.describe("By the question alone."),
          }),
        ),
        order_effect: z
          .number()
          .nullable()
          .describe("Probability where its side began less that where it answered; null: not argued for."),
      }),
    ),
    arguments: z.array(argumentSchema),
    transcripts: z.array(
      z.strictObject({
        seed: countSchema,
        first: countSchema.describe("Index of the candidate whose side began."),
        members: byMember(probabilities),
      }),
    ),
    verdict: countSchema.describe("Index of the candidate with the largest mean probability."),
    margin: shareSchema.describe("Its probability less the next one's."),
    settled: z.boolean().describe("The margin is at least the one that was set."),
    agreement: shareSchema.describe("Sum over the candidates of the least probability that a member gives."),
    audited: auditedSchema
      .nullable()
      .describe("What shoulders debate audit found of this config's debates; null: nobody audited them."),
    usage: usageSchema.describe("Of all that was read and written; each prompt counts once."),
    fusion: ignoredSchema.optional(),
  }),
);

const deltaShape = {
  type: z.literal("debate.argument.delta"),
  transcript: countSchema,
  turn: countSchema,
  candidate: countSchema,
  delta: z.string().describe("As it is written: quotes are verified when the argument is done."),
};
const argumentShape = { type: z.literal("debate.argument.done"), argument: argumentSchema };
const verdictShape = {
  type: z.literal("debate.verdict.delta"),
  transcript: countSchema.nullable().describe("null: before any argument."),
  member: z.string(),
  probability: probabilities,
};

/** Over server-sent events. */
export const debateEventSchema = named(
  "DebateEvent",
  z.discriminatedUnion("type", [
    z.strictObject(deltaShape),
    z.strictObject(argumentShape),
    z.strictObject(verdictShape),
    z.strictObject({ type: z.literal("debate.done"), debate: debateAnswerSchema }),
  ]),
);

const place = { response_id: z.string() };

/** Over the WebSocket. */
export const debateFrames = [
  z.strictObject({ ...deltaShape, ...place }),
  z.strictObject({ ...argumentShape, ...place }),
  z.strictObject({ ...verdictShape, ...place }),
  z.strictObject({
    type: z.literal("debate.done"),
    ...place,
    status: z.enum(["completed", "cancelled", "failed"]),
    debate: debateAnswerSchema.optional(),
    error: errorDetailSchema.optional(),
  }),
] as const;

export const debateListSchema = z.strictObject({
  object: z.literal("list"),
  data: z.array(debateAnswerSchema).describe("Newest first."),
});

export type DebateAnswer = z.output<typeof debateAnswerSchema>;
export type DebateArgument = z.output<typeof argumentSchema>;
export type Audited = z.output<typeof auditedSchema>;
export type AuditedTask = z.output<typeof auditedTaskSchema>;
/** What is told before the end, without its place. */
export type DebateProgress =
  | { type: "debate.argument.delta"; transcript: number; turn: number; candidate: number; delta: string }
  | { type: "debate.argument.done"; argument: DebateArgument }
  | { type: "debate.verdict.delta"; transcript: number | null; member: string; probability: number[] };
