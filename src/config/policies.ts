import { z } from "zod";
import { idSchema } from "../strategies/fields.js";
import { strategySchema } from "../strategies/registry.js";

/** Several ways to answer, among which ratings choose. */
export const policiesSchema = z
  .strictObject({
    arms: z
      .record(idSchema, strategySchema)
      .refine((arms) => Object.keys(arms).length >= 1 && Object.keys(arms).length <= 16, {
        error: "expected 1 to 16 policies",
      })
      .describe("Strategies by the id of the policy."),
    choose: z
      .enum(["tsallis-inf", "exp3-ix", "best", "first"])
      .default("tsallis-inf")
      .describe("How the next answer's policy is drawn; best: the best mean so far; first: no choice."),
    explore: z
      .number()
      .min(0)
      .max(1)
      .default(0.02)
      .describe("Share of answers that all policies draw evenly, whatever ratings say."),
    halfLife: z
      .number()
      .min(1)
      .max(1_000_000)
      .nullable()
      .default(200)
      .describe("Ratings after which a rating counts half; null: none is forgotten."),
  })
  .describe("Policies among which ratings choose, for each key. Left out: the strategy answers.");

export type PoliciesConfig = z.output<typeof policiesSchema>;
