import { z } from "zod";
import { countSchema, logprobSchema, natsSchema } from "./numbers.js";
import { named } from "./registry.js";
import { divergenceSchema, ignoredSchema, tokenRecordSchema } from "./token-record.js";
import { usageSchema } from "./usage.js";

/** Answers of `/v1/fusion/explain` and `/v1/fusion/solve`. */

export const explanationSchema = named(
  "Explanation",
  z.strictObject({
    id: z.string(),
    object: z.literal("fusion.explanation"),
    created: countSchema,
    model: z.string(),
    system_fingerprint: z.string(),
    logprob: z
      .strictObject({ sum: z.number(), mean: z.number() })
      .describe("Of the given answer in the fused distribution, nats."),
    tokens: z.array(tokenRecordSchema),
    usage: usageSchema,
    fusion: ignoredSchema.optional(),
  }),
);

export const solutionSchema = named(
  "Solution",
  z.strictObject({
    object: z.literal("fusion.solution"),
    weights: z.record(z.string(), z.number()),
    chosen: z.string().nullable(),
    nats: natsSchema.describe("KL(fused‖base) over the whole vocabulary."),
    divergence: divergenceSchema,
    objective: z.number(),
    evaluations: countSchema,
    fused: z.array(z.strictObject({ id: countSchema, logprob: logprobSchema })),
  }),
);

export type Explanation = z.output<typeof explanationSchema>;
export type Solution = z.output<typeof solutionSchema>;
