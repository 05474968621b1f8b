import { z } from "zod";

/** What a person writes in `fusion-configs/<id>.json`. Every field has its range, default and description here. */

const id = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,63}$/,
    "use 1 to 64 of a-z, 0-9, '.', '_', '-', starting with a letter or digit",
  );

const modelPath = z
  .string()
  .min(1)
  .describe(
    "GGUF file: a path relative to this config file, an absolute path, or an hf: URI (downloaded once).",
  );

export const modelSchema = z
  .union([
    modelPath,
    z.strictObject({
      model: modelPath,
      gpuLayers: z
        .union([z.literal("auto"), z.int().min(0).max(1024)])
        .default("auto")
        .describe("Layers to place on the GPU; auto: as many as fit."),
    }),
  ])
  .transform((value) => (typeof value === "string" ? { model: value, gpuLayers: "auto" as const } : value));

const weight = z.number().min(-8).max(8);

export const boundsSchema = z
  .tuple([weight, weight])
  .refine(([low, high]) => low <= high, "the first bound must not be above the second");

export const plausibilitySchema = z
  .strictObject({
    ratio: z.number().gt(0).lte(1).describe("Least probability of a token as a share of the best token's."),
    of: z
      .enum(["joint", "expert"])
      .describe("joint: plausible to base or expert; expert: to the expert alone."),
  })
  .describe(
    "Only plausible tokens take part, others get probability 0. null (default): all tokens, as in the paper.",
  );

export const strategySchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("base") }).describe("The base alone; experts are not used."),
  z
    .strictObject({
      type: z.literal("static"),
      weights: z
        .record(id, weight)
        .describe("Weight of each expert, by id; an expert left out has weight 0."),
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
        }),
      )
      .max(16)
      .default([])
      .describe("What each tuning changed is added to the base, by a weight."),
    strategy: strategySchema.optional().describe("Default: dynamic with experts, base without."),
    context: z
      .strictObject({
        tokens: z
          .int()
          .min(16)
          .max(1_048_576)
          .default(4096)
          .describe("Tokens a sequence may hold, prompt included."),
        sequences: z.int().min(1).max(256).default(8).describe("Sequences that may run at once."),
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
      if (ids.indexOf(expertId) !== index)
        problem(["experts", index, "id"], `expert id "${expertId}" is used twice`);
    });
    if (config.strategy?.type === "static")
      for (const expertId of Object.keys(config.strategy.weights))
        if (!ids.includes(expertId))
          problem(
            ["strategy", "weights", expertId],
            `no expert has this id; known: ${ids.join(", ") || "none"}`,
          );
    if (config.strategy && config.strategy.type !== "base" && ids.length === 0)
      problem(["strategy", "type"], `strategy "${config.strategy.type}" needs at least one expert`);
  });

/** A fusion config after parsing: defaults filled in, model paths still as written. */
export type FusionConfig = z.output<typeof fusionConfigSchema>;
export type StrategyConfig = z.output<typeof strategySchema>;
export type SamplingSettings = z.output<typeof samplingSchema>;
export type ModelSource = z.output<typeof modelSchema>;
