import { z } from "zod";
import { boundsSchema, idSchema, mostExperts } from "../strategies/fields.js";
import { strategyOf, strategySchema, type StrategyConfig } from "../strategies/registry.js";
import { policiesSchema } from "./policies.js";
import { modelPath } from "./model-path.js";
import { baseSchema, modelSchema, type ModelSource, ropeSchema } from "./model-source.js";
import { remoteBaseSchema } from "./remote-base.js";

/** What a person writes in `fusion-configs/<id>.json`. Every field has its range, default and description here. */

/** A bound on a divergence. */
const nats = z.number().min(0).max(1000);

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

/** What a config says of a field of sampling, if anything. */
function written<Field extends z.ZodType>(field: z.ZodDefault<Field>): z.ZodOptional<Field> {
  const usual = JSON.stringify(field.def.defaultValue);
  return field
    .unwrap()
    .optional()
    .describe(`${field.description} Default: what the base's file says, or ${usual}.`);
}

const fields = samplingSchema.shape;
const writtenSamplingSchema = z.strictObject({
  temperature: written(fields.temperature),
  topK: written(fields.topK),
  topP: written(fields.topP),
  minP: written(fields.minP),
  typicalP: written(fields.typicalP),
  repeatPenalty: written(fields.repeatPenalty),
  presencePenalty: written(fields.presencePenalty),
  frequencyPenalty: written(fields.frequencyPenalty),
});

export const fusionConfigSchema = z
  .strictObject({
    $schema: z.string().optional().describe("Lets an editor complete and check this file."),
    id: idSchema.describe("The model name that API clients ask for."),
    description: z.string().max(500).default("").describe("Shown to people who choose among the configs."),
    example: z
      .string()
      .min(1)
      .max(500)
      .optional()
      .describe("A question to try, shown when the server starts."),
    base: z
      .union([baseSchema, remoteBaseSchema])
      .describe("The large model that is never tuned: a file, or the address of a server that computes it."),
    reference: modelSchema.nullable().default(null).describe("The small untuned model; needed with experts."),
    experts: z
      .array(
        z.strictObject({
          id: idSchema,
          model: modelSchema.optional().describe("The same small model, tuned. Or else give `adapter`."),
          adapter: modelPath
            .optional()
            .describe("A LoRA adapter (GGUF) of the reference: what was tuned, without the model's weights."),
          scale: z
            .number()
            .min(-100)
            .max(100)
            .optional()
            .describe("How much of the adapter counts, beside its own alpha and rank. Default: 1."),
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
    vocabulary: z
      .enum(["shared", "own"])
      .optional()
      .describe(
        "own: reference and experts may have another vocabulary than the base; what they change is added up over " +
          "texts. Default: shared, all models have the same tokens.",
      ),
    sharedIds: z
      .array(z.union([z.int().min(0), z.string().min(1).max(200)]))
      .min(1)
      .max(64)
      .optional()
      .describe(
        "Control tokens that keep their shift although the base names them otherwise, and are written as the experts " +
          "name them: ids, or the experts' names.",
      ),
    strategy: strategySchema
      .optional()
      .describe("Default: mixture, which follows the calibration card; base without experts."),
    policies: policiesSchema.optional(),
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
    chatTemplate: z
      .string()
      .min(1)
      .optional()
      .describe(
        "Jinja template that writes this config's chats for every model: a path relative to this file, or the " +
          "template itself. Default: each file's own.",
      ),
    requestChatTemplate: z
      .boolean()
      .default(false)
      .describe("Whether a request may bring a template of its own, in chat_template."),
    sampling: writtenSamplingSchema.prefault({}).describe("Defaults where a request names none."),
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
    if (config.sharedIds !== undefined && config.experts.length === 0)
      problem(["sharedIds"], "without experts nothing is shared; remove it");
    const ids = config.experts.map((expert) => expert.id);
    config.experts.forEach(({ model, adapter, scale }, index) => {
      if ((model === undefined) === (adapter === undefined))
        problem(["experts", index], "an expert is either a `model` or an `adapter` of the reference");
      if (scale !== undefined && adapter === undefined)
        problem(
          ["experts", index, "scale"],
          "only an adapter has a scale; a model is weighed by the strategy",
        );
    });
    ids.forEach((expertId, index) => {
      if (expertId === "base" || expertId === "reference")
        problem(["experts", index, "id"], `"${expertId}" is the name of a role in traces; choose another id`);
      if (expertId in {})
        problem(["experts", index, "id"], `"${expertId}" means something else to JavaScript; use another`);
      if (ids.indexOf(expertId) !== index)
        problem(["experts", index, "id"], `expert id "${expertId}" is used twice`);
    });
    if (config.strategy)
      checkStrategy(config.strategy, ids, (path, text) => problem(["strategy", ...path], text));
    for (const [policy, arm] of Object.entries(config.policies?.arms ?? {}))
      checkStrategy(arm, ids, (path, text) => problem(["policies", "arms", policy, ...path], text));
  });

function checkStrategy(
  settings: StrategyConfig,
  ids: readonly string[],
  problem: (path: (string | number)[], message: string) => void,
): void {
  const strategy = strategyOf(settings);
  for (const { path, id } of strategy.namedExperts(settings))
    if (!ids.includes(id))
      problem([...path, id], `no expert has this id; known: ${ids.join(", ") || "none"}`);
  const found = strategy.problem(settings);
  if (found) problem([...found.path], found.reason);
  if (strategy.needsExperts && ids.length === 0)
    problem(["type"], `strategy "${settings.type}" needs at least one expert`);
}

/** A fusion config after parsing: defaults filled in, model paths still as written. */
export type FusionConfig = Omit<z.output<typeof fusionConfigSchema>, "base"> & { base: ModelSource };
export type SamplingSettings = z.output<typeof samplingSchema>;
export type { ModelSource } from "./model-source.js";
