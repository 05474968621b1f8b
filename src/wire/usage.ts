import { z } from "zod";
import { countSchema, shareSchema } from "./numbers.js";
import { named } from "./registry.js";

export const fusionUsageSchema = named(
  "FusionUsage",
  z.strictObject({
    nats: z.number().describe("How far the answer was moved in all: the sum of KL(fused‖base)."),
    flipped: countSchema.describe("Tokens at which the base's own best was another."),
    tokens: countSchema.describe("Tokens for which the base was asked: nats and flipped are over these."),
    certain: countSchema.describe("Tokens that experts settled without the base."),
    contested: countSchema.describe(
      "Tokens at which the surest of several models alone would have said another.",
    ),
    unvouched: countSchema.describe("Tokens that were nobody's own best."),
    base_passes: countSchema.describe("Decodes of the base for the answer."),
    loss: shareSchema
      .optional()
      .describe(
        "Where fusion.loss allowed some: total variation of the answer's law spent on leaving the base's component out, the most of its choices.",
      ),
    skipped_share: shareSchema.describe("Mean share of a mixture's experts that were skipped."),
    exact: z
      .literal(false)
      .optional()
      .describe(
        "false: the base is on another server, which gave too little of some rows; left out: every token is what the whole rows give.",
      ),
    uncertified: countSchema.optional().describe("Where exact is false: tokens that might have been others."),
    bound: shareSchema
      .optional()
      .describe(
        "Where exact is false: total variation at most between such a token's law and that of the whole row, the most of them.",
      ),
  }),
);

export const usageSchema = named(
  "Usage",
  z.strictObject({
    prompt_tokens: countSchema,
    completion_tokens: countSchema,
    total_tokens: countSchema,
    prompt_tokens_details: z.strictObject({ cached_tokens: countSchema }),
    completion_tokens_details: z
      .strictObject({
        reasoning_tokens: countSchema
          .optional()
          .describe("Of what was thought before the answer, marks included, where something was."),
        accepted_prediction_tokens: countSchema,
        rejected_prediction_tokens: countSchema,
      })
      .describe(
        "Guesses at tokens, right and wrong: an expert's, the client's, and those from the answer's own text.",
      ),
    fusion: fusionUsageSchema,
  }),
);

/** OpenAI's `usage`, as answers, traces and frames carry it. */
export type UsageRecord = z.output<typeof usageSchema>;
