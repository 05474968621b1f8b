import { z } from "zod";
import { modelSchema, ropeSchema } from "./model-source.js";
import { recordOf } from "./record-of.js";

/** What a person writes in `fusion-configs/<id>.json`. Every field has its range, default and description here. */

const id = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,63}$/,
    "use 1 to 64 of a-z, 0-9, '.', '_', '-', starting with a letter or digit",
  );

export const mostExperts = 16;
/** Entries of a record by expert id: more than there can be experts, so that a stranger is told by its name. */
export const mostNamed = 4 * mostExperts;

const weight = z.number().min(-8).max(8);

/** A bound on a divergence. */
const nats = z.number().min(0).max(1000);

export const boundsSchema = z
  .tuple([weight, weight])
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
    .union([weight, z.literal("solved")])
    .default(1)
    .describe("Weight of the shift (fused); solved: at each token, for this expert's own targets."),
  plausibility: plausibilitySchema
    .nullable()
    .default({ ratio: 0.1, of: "gated" })
    .describe("Which tokens take part in this component; null: all."),
});

export const defaultFloor = 0.01;

export const strategySchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("base") }).describe("The base alone; experts are not used."),
  z
    .strictObject({
      type: z.literal("static"),
      weights: recordOf(id, weight, mostNamed).describe(
        "Weight of each expert, by id; an expert left out has weight 0.",
      ),
      plausibility: plausibilitySchema.nullable().default(null),
    })
    .describe("Fixed weights; one expert at weight 1 is proxy-tuning (arXiv 2401.08565)."),
  z
    .strictObject({
      type: z.literal("dynamic"),
      solver: z
        .enum(["exact", "grid"])
        .default("exact")
        .describe("exact: all minima; grid: the paper's, step 0.1."),
      plausibility: plausibilitySchema.nullable().default(null),
    })
    .describe(
      "Weights solved at each token (arXiv 2406.15480); several experts: the paper's one-at-a-time rule.",
    ),
  z
    .strictObject({
      type: z.literal("mixture"),
      prior: z
        .union([z.enum(["card", "uniform"]), recordOf(id, z.number().min(0).max(1), mostNamed)])
        .default("card")
        .describe(
          "Shares at the start of an answer: from the calibration card (uniform where there is none), " +
            "uniform, or given by expert id and base, in proportion.",
        ),
      components: recordOf(id, componentSchema, mostNamed)
        .default({})
        .describe("By expert id; for one left out the card's, or the default."),
      floor: z
        .number()
        .min(0)
        .max(1)
        .default(defaultFloor)
        .describe("An expert whose share is below this is not run; 0: all run."),
    })
    .describe(
      "A mixture of complete models, the base and each expert on it, whose shares follow the answer.",
    ),
]);

export const samplingSchema = z.strictObject({
  temperature: z.number().min(0).max(2).default(1).describe("0: always the most probable token."),
  topK: z.int().min(0).max(1_000_000).default(0).describe("Keep the k most probable tokens; 0: all."),
  topP: z.number().gt(0).max(1).default(1).describe("Keep the smallest set with this probability; 1: all."),
  minP: z.number().min(0).max(1).default(0).describe("Drop tokens below this share of the best; 0: none."),
  typicalP: z.number().gt(0).max(1).default(1).describe("Locally typical sampling; 1: off."),
  repeatPenalty: z
    .number()
    .gt(0)
    .max(10)
    .default(1)
    .describe("Divides the logits of repeated tokens; 1: off."),
  presencePenalty: z
    .number()
    .min(-2)
    .max(2)
    .default(0)
    .describe("Taken once from the logit of every token that occurred; 0: off."),
  frequencyPenalty: z
    .number()
    .min(-2)
    .max(2)
    .default(0)
    .describe("Taken from a token's logit for each time it occurred; 0: off."),
});

export const fusionConfigSchema = z
  .strictObject({
    $schema: z.string().optional().describe("Lets an editor complete and check this file."),
    id: id.describe("The model name that API clients ask for."),
    description: z.string().max(500).default("").describe("Shown to people who choose among the configs."),
    example: z
      .string()
      .min(1)
      .max(500)
      .optional()
      .describe("A question to try, shown when the server starts."),
    base: modelSchema.describe("The large model that is never tuned."),
    reference: modelSchema.nullable().default(null).describe("The small untuned model; needed with experts."),
    experts: z
      .array(
        z.strictObject({
          id,
          model: modelSchema.describe("The same small model, tuned."),
          bounds: boundsSchema
            .default([0, 2])
            .describe("Smallest and largest weight that a solver may choose."),
          budget: nats
            .optional()
            .describe(
              "How far this expert may move the base at a token: KL(fused || base) in nats. Default: any.",
            ),
        }),
      )
      .max(mostExperts)
      .default([])
      .describe("What each tuning changed is added to the base, by a weight."),
    strategy: strategySchema
      .optional()
      .describe("Default: mixture with several experts, dynamic with one, base without."),
    context: z
      .strictObject({
        tokens: z
          .int()
          .min(16)
          .max(1_048_576)
          .default(4096)
          .describe("Tokens a sequence may hold, prompt included."),
        sequences: z.int().min(1).max(256).default(8).describe("Sequences that may run at once."),
        microBatch: z
          .int()
          .min(1)
          .max(65_536)
          .optional()
          .describe("Most tokens computed at once: compute buffers grow with it. Default: 512."),
        rope: ropeSchema.optional(),
      })
      .prefault({})
      .describe("Room for the prompts and answers of this config, the same in every model."),
    sampling: samplingSchema.prefault({}).describe("Defaults where a request names none."),
    fewShot: z
      .array(z.strictObject({ user: z.string().min(1), assistant: z.string().min(1) }))
      .max(64)
      .default([])
      .describe("Examples put before the conversation in the base's prompt only."),
  })
  .check((context) => {
    const config = context.value;
    const problem = (path: (string | number)[], message: string) =>
      context.issues.push({ code: "custom", input: config, path, message });
    if (config.experts.length > 0 && config.reference === null)
      problem(["reference"], "a config with experts needs the reference, the untuned small model");
    const ids = config.experts.map((expert) => expert.id);
    ids.forEach((expertId, index) => {
      if (expertId === "base" || expertId === "reference")
        problem(["experts", index, "id"], `"${expertId}" is the name of a role in traces; choose another id`);
      if (expertId in {})
        problem(["experts", index, "id"], `"${expertId}" means something else to JavaScript; use another`);
      if (ids.indexOf(expertId) !== index)
        problem(["experts", index, "id"], `expert id "${expertId}" is used twice`);
    });
    for (const { path, id: named } of namedExperts(config.strategy))
      if (!ids.includes(named))
        problem(["strategy", ...path, named], `no expert has this id; known: ${ids.join(", ") || "none"}`);
    if (config.strategy?.type === "mixture" && isAllZero(config.strategy.prior))
      problem(["strategy", "prior"], "one share at least must be above 0");
    if (config.strategy && config.strategy.type !== "base" && ids.length === 0)
      problem(["strategy", "type"], `strategy "${config.strategy.type}" needs at least one expert`);
  });

/** Experts that a strategy names, each with the path of the record that names it. */
function namedExperts(strategy: StrategyConfig | undefined): { path: string[]; id: string }[] {
  const named = (path: string, record: object) => Object.keys(record).map((id) => ({ path: [path], id }));
  if (strategy?.type === "static") return named("weights", strategy.weights);
  if (strategy?.type !== "mixture") return [];
  const shares = typeof strategy.prior === "string" ? [] : named("prior", strategy.prior);
  return [...named("components", strategy.components), ...shares.filter(({ id }) => id !== "base")];
}

function isAllZero(prior: "card" | "uniform" | Record<string, number>): boolean {
  return typeof prior !== "string" && Object.values(prior).every((share) => share === 0);
}

/** A fusion config after parsing: defaults filled in, model paths still as written. */
export type FusionConfig = z.output<typeof fusionConfigSchema>;
export type StrategyConfig = z.output<typeof strategySchema>;
export type ComponentConfig = z.output<typeof componentSchema>;
export type SamplingSettings = z.output<typeof samplingSchema>;
export type { ModelSource } from "./model-source.js";
