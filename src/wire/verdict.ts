import { z } from "zod";
import { debateAnswerSchema } from "./debate.js";
import { countSchema, shareSchema } from "./numbers.js";
import { named } from "./registry.js";
import { ignoredSchema } from "./token-record.js";
import { usageSchema } from "./usage.js";

/** The answer of `/v1/fusion/judge`. */

const byLaw = <Value extends z.ZodType>(value: Value) => z.record(z.string(), value);

const judgedCandidateSchema = z.strictObject({
  text: z.string(),
  label: z.string().optional().describe("Where labels were asked about."),
  tokens: z.array(countSchema).describe("As they stand behind the prompt, with the end where that counts."),
  logprob: byLaw(z.number()).describe("Its score by law, nats: see normalise."),
  probability: byLaw(shareSchema).describe("By law: the softmax of the scores over the candidates."),
  verdict: shareSchema.describe("The first law's probability, after the rule of confidence."),
});

export const judgementSchema = z.strictObject({
  index: countSchema.describe("Of the prompt."),
  candidates: z.array(judgedCandidateSchema),
  best: byLaw(countSchema).describe("By law: index of its best candidate, the first of equals."),
  verdict: countSchema.describe("Index of the candidate with the largest verdict."),
  agreement: shareSchema.describe(
    "Sum over the candidates of the least probability that a law gives: 1: all laws say the same.",
  ),
  settled: z.boolean().describe("All laws have the same best."),
});

export const verdictSchema = named(
  "Verdict",
  z.strictObject({
    id: z.string(),
    object: z.literal("fusion.verdict"),
    created: countSchema,
    model: z.string(),
    system_fingerprint: z.string(),
    normalise: z.enum(["sum", "mean", "end"]),
    confidence: z.strictObject({ alpha: shareSchema, threshold: shareSchema }),
    verdicts: z.array(judgementSchema).describe("One for each prompt, in their order."),
    usage: usageSchema.describe("Of all that was read; each prompt counts once."),
    fusion: ignoredSchema.optional(),
  }),
);

/** What `/v1/fusion/judge` answers: a verdict, or what a debate came to. */
export const judgedSchema = z.union([verdictSchema, debateAnswerSchema]);

export type Judgement = z.output<typeof judgementSchema>;
export type VerdictAnswer = z.output<typeof verdictSchema>;
