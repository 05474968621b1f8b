import { z } from "zod";
import { countSchema, shareSchema } from "./numbers.js";
import { named } from "./registry.js";

/** What people say of answers, and what is learned from it. */

const spanSchema = z
  .strictObject({
    from: countSchema.describe("Its first token, counted from 0 at the answer's beginning."),
    to: countSchema.describe("The token after its last one."),
    score: shareSchema,
  })
  .refine(({ from, to }) => from < to, { path: ["to"], error: "must be larger than from" });

export const givenFeedbackShape = {
  trace: z.string().min(1).max(128).describe("Id of the answer, as X-Shoulders-Trace and its id say it."),
  score: shareSchema.nullish().describe("0: useless; 1: as it should be."),
  rating: z.enum(["up", "down"]).nullish().describe("up: score 1; down: score 0."),
  spans: z.array(spanSchema).max(64).nullish().describe("Scores of parts of the answer."),
  note: z.string().max(4000).nullish().describe("Kept where the server keeps texts, else ignored."),
};

/** A rating says how good an answer is, in one of two ways. */
export const hasOneScore = {
  check: ({ score, rating }: { score?: unknown; rating?: unknown }): boolean =>
    (score == null) !== (rating == null),
  told: { path: ["score"], error: "give either score or rating" },
};

export const feedbackBodySchema = z
  .strictObject(givenFeedbackShape)
  .refine(hasOneScore.check, hasOneScore.told);

/** The policy that an answer was drawn with. */
export const policySchema = named(
  "Policy",
  z.strictObject({
    id: z.string(),
    probability: shareSchema.describe("With which it was drawn; 1: it was asked for, or pinned."),
  }),
);

export const feedbackSchema = named(
  "Feedback",
  z.strictObject({
    object: z.literal("fusion.feedback"),
    trace: z.string(),
    model: z.string(),
    created: countSchema.describe("Unix time, seconds."),
    score: shareSchema,
    spans: z.array(spanSchema),
    note: z.string().nullable(),
    policy: policySchema.nullable(),
    fusion: z.strictObject({ ignored: z.array(z.string()) }).optional(),
  }),
);

export const feedbackListSchema = named(
  "FeedbackList",
  z.strictObject({
    object: z.literal("list"),
    data: z.array(feedbackSchema).describe("Newest first."),
    has_more: z.boolean(),
    summary: z
      .record(z.string(), z.strictObject({ ratings: countSchema, mean: shareSchema }))
      .describe("Of all ratings of the key, by model."),
  }),
);

export const feedbackDeletedSchema = named(
  "FeedbackDeleted",
  z.strictObject({ object: z.literal("fusion.feedback"), trace: z.string(), deleted: z.literal(true) }),
);

export const feedbackForgottenSchema = named(
  "FeedbackForgotten",
  z.strictObject({
    object: z.literal("fusion.feedback"),
    forgotten: countSchema.describe("Ratings, and what was kept of answers, that are gone."),
  }),
);

export const creditBodySchema = z.strictObject({
  trace: z.string().min(1).max(128).describe("Id of an answer of the key's."),
});

export const creditSchema = named(
  "Credit",
  z.strictObject({
    object: z.literal("fusion.credit"),
    trace: z.string(),
    model: z.string(),
    head: z
      .enum(["likelihood", "mean", "all"])
      .describe(
        "likelihood: the answer's probability, nothing is learned; mean: each token has its part in the rating; all: one mistake spoils the answer.",
      ),
    ratings: countSchema.describe("Rated answers that it was chosen and fitted by."),
    concordance: shareSchema
      .nullable()
      .describe(
        "Share of pairs of rated answers that it orders as rated, unseen; null: there is no such pair.",
      ),
    predicted: shareSchema.describe("The rating that the answer would probably get."),
    tokens: z
      .array(z.strictObject({ index: countSchema, credit: z.number() }))
      .describe("What each adds. likelihood, all: they sum to ln of predicted; mean: to 0."),
    weights: z
      .record(z.string(), z.number())
      .nullable()
      .describe(
        "Of each number of a token, in its deviations: above 0 raises the rating. null: none is learned.",
      ),
  }),
);

export type Credit = z.output<typeof creditSchema>;
export const pinBodySchema = z.strictObject({
  pin: z
    .string()
    .max(64)
    .nullable()
    .describe("Id of the policy that answers from now on; null: ratings choose."),
});

const armSchema = z.strictObject({
  id: z.string(),
  probability: shareSchema.describe("With which it draws the next answer."),
  ratings: countSchema,
  mean: shareSchema
    .nullable()
    .describe("Of its ratings; policies are drawn unequally. null: there are none."),
  low: shareSchema.nullable().describe("95 % interval of the mean."),
  high: shareSchema.nullable(),
});

export const policiesSchema = named(
  "Policies",
  z.strictObject({
    object: z.literal("fusion.policies"),
    model: z.string(),
    choose: z.enum(["tsallis-inf", "exp3-ix", "best", "first"]),
    explore: shareSchema,
    half_life: z
      .number()
      .nullable()
      .describe("Ratings after which one counts half; null: none is forgotten."),
    pinned: z.string().nullable(),
    ratings: countSchema.describe("Of answers that chance drew: those that weigh."),
    regret_bound: z
      .number()
      .nullable()
      .describe(
        "What regret against the best fixed policy is below, with 95 %; null: with a half-life there is none.",
      ),
    policies: z.array(armSchema),
    history: z
      .array(z.strictObject({ ratings: countSchema, probabilities: z.record(z.string(), shareSchema) }))
      .describe("Probabilities after so many ratings, at most 50 points."),
  }),
);

export type Policies = z.output<typeof policiesSchema>;
export type GivenFeedback = z.output<typeof feedbackBodySchema>;
export type FeedbackSpan = z.output<typeof spanSchema>;
export type Policy = z.output<typeof policySchema>;
export type Feedback = z.output<typeof feedbackSchema>;
export type FeedbackList = z.output<typeof feedbackListSchema>;
export type FeedbackDeleted = z.output<typeof feedbackDeletedSchema>;
export type FeedbackForgotten = z.output<typeof feedbackForgottenSchema>;
