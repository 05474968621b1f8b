import { z } from "zod";
import { samplingFields } from "./sampling.js";
import { boundsSchema, componentSchema } from "../strategies/fields.js";
import { strategySchema } from "../strategies/registry.js";
import { controls } from "../strategies/strategy.js";
import { countSchema } from "./numbers.js";
import { named } from "./registry.js";

/** What clients are told of a fusion config. */

const modelFields = {
  id: z.string(),
  file: z.string().describe("Its name; where it lies is the business of the machine's owner."),
  name: z.string(),
  architecture: z.string(),
  quantization: z.string(),
  num_parameters: countSchema,
  size_bytes: countSchema,
  vocabulary_size: countSchema,
  context_train: countSchema.describe("Tokens that it was trained to hold."),
  gpu_layers: countSchema.describe("Layers on devices, the output counted as one."),
  devices: z.array(z.string()).describe("The devices that hold them."),
  memory_bytes: countSchema.describe("Of its sequence memory and compute buffers."),
  adapter: z
    .strictObject({
      scale: z.number().describe("How much of it counts, beside its own alpha and rank."),
      ranks: z.tuple([countSchema, countSchema]).describe("The smallest and the largest of its pairs."),
      alpha: z.number(),
    })
    .nullable()
    .describe("What makes it out of the reference, whose weights it shares; null: it is a model of its own."),
};

const modelSchema = named("Model", z.strictObject(modelFields));

const expertSchema = named(
  "Expert",
  z.strictObject({
    ...modelFields,
    bounds: boundsSchema.describe("Of a weight that is solved for."),
    component: componentSchema.describe("How it takes part in a mixture that says nothing of it."),
  }),
);

const choiceSchema = z.strictObject({
  label: z.string(),
  words: z.string().describe("What it does, in one sentence."),
  settings: strategySchema,
  controls: z.array(z.enum(controls)).describe("What a request may change about it."),
  solved_experts: z.array(z.string()).describe("Ids of the experts whose weights are solved for."),
});

const warningSchema = z.strictObject({
  code: z.string().describe("Stable: expert_is_reference."),
  message: z.string(),
  advice: z.string().describe("What to do."),
});

export const configSchema = named(
  "FusionConfig",
  z.strictObject({
    object: z.literal("fusion.config"),
    id: z.string(),
    description: z.string(),
    example: z.string().nullable().describe("A question to try."),
    base: modelSchema,
    reference: modelSchema.nullable(),
    experts: z.array(expertSchema),
    strategy: strategySchema,
    strategy_in_words: z.string(),
    policies: z
      .record(z.string(), strategySchema)
      .nullable()
      .describe("Strategies among which ratings choose; null: there is no choice."),
    warnings: z.array(warningSchema).describe("What is probably wrong with it though it loads."),
    strategy_choices: z.array(choiceSchema).describe("What a request may ask for instead."),
    vocabulary_size: countSchema.describe("Of the vocabulary that its models share."),
    context_tokens: countSchema,
    sequences: countSchema.describe("Answers that can run at a time."),
    sampling: z.strictObject(samplingFields).describe("What counts where a request says nothing."),
  }),
);

export const configListSchema = named(
  "FusionConfigList",
  z.strictObject({ object: z.literal("list"), data: z.array(configSchema) }),
);

export type ModelBody = z.output<typeof modelSchema>;
export type StrategyChoiceBody = z.output<typeof choiceSchema>;
export type ConfigBody = z.output<typeof configSchema>;
export type ConfigList = z.output<typeof configListSchema>;
