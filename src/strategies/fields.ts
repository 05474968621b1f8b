import { z } from "zod";
import type { Plausibility } from "../fusion/types.js";

/** What settings of several strategies share: each field with its range, default and description. */

export const idSchema = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,63}$/,
    "use 1 to 64 of a-z, 0-9, '.', '_', '-', starting with a letter or digit",
  );

export const mostExperts = 16;
/** Entries of a record by expert id: more than there can be experts, so that a stranger is told by its name. */
export const mostNamed = 4 * mostExperts;

export const weightSchema = z.number().min(-8).max(8);

/** Smallest and largest weight that a solver may choose. */
export const boundsSchema = z
  .tuple([weightSchema, weightSchema])
  .refine(([low, high]) => low <= high, "the first bound must not be above the second");

export const plausibilitySchema = z
  .strictObject({
    ratio: z.number().gt(0).lte(1).describe("Least probability of a token as a share of the best token's."),
    of: z
      .enum(["joint", "expert", "gated"])
      .describe(
        "joint: plausible to base or expert; expert: to the expert alone; " +
          "gated: to the expert alone where it is sure (0.95 for its best token), else joint.",
      ),
  })
  .describe(
    "Only plausible tokens take part, others get probability 0. null (default): all tokens, as in the paper.",
  );

/** How an expert takes part in a mixture: the base with its shift, or the expert by itself. */
export const componentSchema = z.strictObject({
  kind: z
    .enum(["fused", "alone"])
    .default("fused")
    .describe("fused: the base with the expert's shift; alone: the expert by itself."),
  weight: z
    .union([weightSchema, z.literal("solved")])
    .default(1)
    .describe("Weight of the shift (fused); solved: at each token, for this expert's own targets."),
  plausibility: plausibilitySchema
    .nullable()
    .default({ ratio: 0.1, of: "gated" })
    .describe("Which tokens take part in this component; null: all."),
});

export type ComponentConfig = z.output<typeof componentSchema>;

const plausibleTo = {
  joint: "plausible to base or expert",
  expert: "plausible to the expert",
  gated: "plausible to the expert where it is sure, elsewhere to base or expert",
} satisfies Record<Plausibility["of"], string>;

/** What an expert makes of the base, within a sentence. */
export function componentInWords(id: string, { kind, weight, plausibility }: ComponentConfig): string {
  if (kind === "alone") return `${id} alone`;
  if (weight === 0) return "the base alone";
  const how = weight === "solved" ? "its weight solved at each token" : `weight ${weight}`;
  return `the base with ${id}, ${how}, ${tokensInWords(plausibility)}`;
}

/** The end of a sentence about a strategy: over which tokens it weighs. */
export function tokensInWords(plausibility: Plausibility | null): string {
  return plausibility === null ? "over all tokens" : `over tokens ${plausibleTo[plausibility.of]}`;
}
