import { z } from "zod";
import { samplingFields } from "./sampling.js";
import { countSchema, logprobSchema } from "./numbers.js";
import { named } from "./registry.js";
import { answerFusionSchema } from "./token-record.js";

/** Answers of llama.cpp's own routes, as far as its front ends read them. */

const candidateSchema = z.strictObject({
  id: countSchema,
  token: z.string(),
  bytes: z.array(z.int().min(0).max(255)),
  logprob: logprobSchema,
});

const probabilitySchema = z.strictObject({
  ...candidateSchema.shape,
  top_logprobs: z.array(candidateSchema),
});

const rateSchema = z.number().nonnegative();

const timingsSchema = z
  .strictObject({
    cache_n: countSchema.describe("Tokens of the prompt that were read before."),
    prompt_n: countSchema.describe("Tokens of the prompt that had to be read."),
    prompt_ms: rateSchema.describe("To the first token, waiting included."),
    prompt_per_token_ms: rateSchema,
    prompt_per_second: rateSchema,
    predicted_n: countSchema,
    predicted_ms: rateSchema.describe("From the first token to the last."),
    predicted_per_token_ms: rateSchema,
    predicted_per_second: rateSchema,
  })
  .describe("Milliseconds as the server saw them.");

const progress = {
  index: z.literal(0),
  content: z.string(),
  tokens: z.array(countSchema).describe("Ids of the content's tokens, where return_tokens asked for them."),
  id_slot: z.literal(-1).describe("Slots have no numbers here."),
  tokens_predicted: countSchema,
  tokens_evaluated: countSchema.describe("Tokens of the prompt."),
  completion_probabilities: z.array(probabilitySchema).optional().describe("Where n_probs asked for them."),
  fusion: answerFusionSchema.optional(),
};

const settingsSchema = z.strictObject({
  n_predict: z.int().describe("-1: to the end, or a full context."),
  seed: z.int().describe("-1: random."),
  ...samplingFields,
  stop: z.array(z.string()),
  stream: z.boolean(),
});

export const llamaCompletionSchema = named(
  "LlamaCompletion",
  z.strictObject({
    ...progress,
    stop: z.literal(true),
    model: z.string(),
    generation_settings: settingsSchema,
    prompt: z.union([z.string(), z.array(countSchema)]),
    has_new_line: z.boolean(),
    truncated: z.literal(false),
    stop_type: z.enum(["eos", "limit", "word"]),
    stopping_word: z.string().describe("Empty but where the stop type is word."),
    tokens_cached: countSchema,
    timings: timingsSchema,
  }),
);

export const llamaEventSchema = named(
  "LlamaCompletionEvent",
  z.discriminatedUnion("stop", [
    z.strictObject({ ...progress, stop: z.literal(false) }),
    llamaCompletionSchema,
  ]),
);

export const propsSchema = named(
  "Props",
  z.strictObject({
    default_generation_settings: z.strictObject({ n_ctx: countSchema, params: settingsSchema }),
    total_slots: countSchema,
    model_alias: z.string(),
    model_path: z.string().describe("The base's name; where it lies is nobody's concern."),
    chat_template: z.string().describe("The base's; empty: it has none."),
    bos_token: z.string(),
    eos_token: z.string(),
    modalities: z.strictObject({ vision: z.literal(false), audio: z.literal(false) }),
    build_info: z.string(),
  }),
);

export const slotsSchema = named(
  "Slots",
  z.array(
    z.strictObject({
      id: countSchema,
      n_ctx: countSchema,
      speculative: z.literal(false),
      is_processing: z.boolean().describe("As many are true as answers run, the first ones."),
    }),
  ),
);

export type LlamaSettings = z.output<typeof settingsSchema>;
export type LlamaTimings = z.output<typeof timingsSchema>;
export type LlamaProbability = z.output<typeof probabilitySchema>;
export type LlamaCompletion = z.output<typeof llamaCompletionSchema>;
export type LlamaEvent = z.output<typeof llamaEventSchema>;
export type Props = z.output<typeof propsSchema>;
export type Slots = z.output<typeof slotsSchema>;
