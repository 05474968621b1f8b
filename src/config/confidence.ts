import { z } from "zod";

/**
 * How far a verdict leans on the base's own, as the auxiliary confidence loss of Weak-to-Strong Generalization
 * (arXiv 2312.09390) has it for labels: (1 − alpha) · verdict + alpha · the base's best, where that is sure enough.
 */
export const confidenceSchema = z.strictObject({
  alpha: z.number().min(0).max(1).describe("Share of the base's best candidate; 0: none."),
  threshold: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe("The base's best counts only where the base gives it this probability."),
});

export type Confidence = z.output<typeof confidenceSchema>;
