import { z } from "zod";
import { countSchema, logprobSchema, msSchema, natsSchema, shareSchema } from "./numbers.js";
import { named } from "./registry.js";

/** What a step leaves behind for one token: the same in answers, traces, explanations and frames. */

export const traceLevels = ["off", "weights", "full"] as const;
export type TraceLevel = (typeof traceLevels)[number];

/** The one that tells more. */
export const fullerOf = (a: TraceLevel, b: TraceLevel): TraceLevel =>
  traceLevels.indexOf(a) > traceLevels.indexOf(b) ? a : b;

const tokenTextSchema = z.strictObject({
  id: countSchema,
  text: z.string().describe("The token's own bytes as UTF-8; a part of a character shows as U+FFFD."),
});

export const candidateSchema = named(
  "TokenCandidate",
  z.strictObject({ ...tokenTextSchema.shape, logprob: logprobSchema }),
);

export const divergenceSchema = z
  .strictObject({
    forward: natsSchema,
    reverse: natsSchema,
    targets: z
      .record(z.string(), z.strictObject({ forward: z.number(), reverse: z.number() }))
      .describe("By expert id: KL(expert‖reference) and KL(reference‖expert)."),
  })
  .describe("KL(fused‖base) and KL(base‖fused), over the tokens that take part.");

const timingSchema = z
  .strictObject({
    decode_ms: z
      .record(z.string(), msSchema)
      .describe("Of each model in the step that produced this token, by base, reference and expert id."),
    fuse_ms: msSchema,
    sample_ms: msSchema,
  })
  .describe("Where the time went (full).");

const topSchema = z
  .strictObject({
    base: z.array(candidateSchema),
    reference: z.array(candidateSchema),
    experts: z.record(z.string(), z.array(candidateSchema)),
    fused: z.array(candidateSchema),
  })
  .describe("The top ten of every model that ran (full).");

const curveSchema = z.strictObject({
  alphas: z.array(z.number()).describe("Evenly spaced weights."),
  forward: z.array(z.number()).describe("KL(fused‖base) at each, nats."),
  reverse: z.array(z.number()),
  objective: z.array(z.number()).describe("J at each weight, nats²."),
});

export const decisions = ["weight", "plausible_set", "certain", "base", "grammar"] as const;
/** What made a token's row what it is; see the schema. */
export type Decision = (typeof decisions)[number];

const decisionSchema = z
  .enum(decisions)
  .describe(
    "grammar: it did not allow the most probable token; certain: one token alone was plausible; " +
      "base: its own best token stayed on top; plausible_set: that token was left out; weight: another rose above it.",
  );

const contestedSchema = z
  .strictObject({
    by: z.string().describe("Which: base, or the base with this expert alone."),
    token: candidateSchema.describe("What it says, with its log-probability there."),
    against: z.string().describe("Of the others the surest that says the fused token, or else the surest."),
  })
  .describe(
    "Where the surest of several models, by share and probability, says another token than all together.",
  );

export const vouchers = ["both", "expert", "base", "nobody"] as const;
export type Vouch = (typeof vouchers)[number];

export const tokenRecordSchema = named(
  "TokenRecord",
  z.strictObject({
    position: countSchema.describe("Index in the sequence as the base sees it, its prompt included."),
    token: z.strictObject({
      ...tokenTextSchema.shape,
      bytes: z.array(z.int().min(0).max(255)).optional().describe("Where it is not whole characters."),
    }),
    logprob: logprobSchema.describe("Of the fused distribution, before temperature and truncation, nats."),
    nats: natsSchema.describe(
      "KL(fused‖base) over the whole vocabulary: the answer's nats are their sum. null: the base was not asked.",
    ),
    log_ratio: natsSchema.describe(
      "ln of the token's fused probability over the base's. null: the base was not asked, or gives it none.",
    ),
    decided_by: decisionSchema,
    certain: z.literal(true).optional().describe("Experts settled it by themselves."),
    drafted: z
      .literal(true)
      .optional()
      .describe("It was guessed at: models read the guess together with what came before."),
    accepted: z.literal(true).optional().describe("The guess was right."),
    thought: z.literal(true).optional().describe("It is of what was thought before the answer."),
    weights: z
      .record(z.string(), z.number())
      .describe("By expert id, of the experts that ran; none where the base was not asked."),
    shares: z
      .record(z.string(), shareSchema)
      .optional()
      .describe("A mixture's before this token, by base and expert id; they add up to 1."),
    chosen: z
      .string()
      .nullable()
      .describe("The expert that moved the row most, in a mixture by share × KL; null: none did."),
    divergence: divergenceSchema,
    objective: z.number().nullable().describe("J at the weights, nats²; null: the base was not asked."),
    evaluations: countSchema.describe("Passes over the row that the solver made."),
    base_token: candidateSchema
      .nullable()
      .describe("The base's own best token; null: the base was not asked."),
    flipped: z
      .boolean()
      .nullable()
      .describe("Whether the fused best token is another than the base's; null: the base was not asked."),
    ran: z
      .array(z.string())
      .describe("Which models were asked about this token: base, reference, expert ids."),
    vouch: z
      .enum(vouchers)
      .describe("Whose own best token it is: the base's, that of an expert that ran, both, or nobody's."),
    contested: contestedSchema.optional(),
    unread: shareSchema
      .optional()
      .describe(
        "Of small models of another vocabulary: the largest share in one of them that counts for another token than it " +
          "may be, or for none, from 0.001 on. Their rows were too flat for each of their tokens to be read.",
      ),
    timing: timingSchema.optional(),
    top: topSchema.optional(),
    curves: z
      .record(z.string(), curveSchema)
      .optional()
      .describe("The axis of each expert, all other weights 0, by expert id (full)."),
  }),
);

export type TokenText = z.output<typeof tokenTextSchema>;
export type TokenCandidate = z.output<typeof candidateSchema>;
export type StepTiming = z.output<typeof timingSchema>;
export type TopRecord = z.output<typeof topSchema>;
export type CurveRecord = z.output<typeof curveSchema>;
export type TokenRecord = z.output<typeof tokenRecordSchema>;

/** A record without what only a full trace tells. */
export function withoutFull(record: TokenRecord): TokenRecord {
  const less = { ...record };
  delete less.timing;
  delete less.top;
  delete less.curves;
  return less;
}

/** What is said of an answer from what people said of earlier ones. */
export const outlookShape = {
  predicted: shareSchema
    .optional()
    .describe("The rating that it would probably get, where answers of the model were rated."),
  picked: z
    .strictObject({ of: countSchema, head: z.enum(["likelihood", "mean", "all"]) })
    .optional()
    .describe("Where fusion.pick drew several: how many, and by which head this one was best."),
  policy: z
    .strictObject({ id: z.string(), probability: shareSchema })
    .optional()
    .describe("The policy that it was drawn with, and how probable that was."),
};

/** What a choice has of us, where there is something. */
export const choiceFusionSchema = z.strictObject({
  tokens: z.array(tokenRecordSchema).optional().describe("Where fusion.trace asked for them."),
  ...outlookShape,
});

/** What an answer has of its tokens where the request asked for it. */
export const tokensSchema = z.strictObject({ tokens: z.array(tokenRecordSchema) });

const ignored = z.array(z.string()).describe("Fields of the request that were ignored, where any were.");

/** What an answer as a whole has of us. */
export const ignoredSchema = z.strictObject({ ignored });
export const answerFusionSchema = z.strictObject({
  ignored: ignored.optional(),
  tokens: z.array(tokenRecordSchema).optional().describe("Where fusion.trace asked for them."),
  ...outlookShape,
});
