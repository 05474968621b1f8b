import { z } from "zod";
import { countSchema } from "./numbers.js";
import { named } from "./registry.js";

/** Answers about models, vocabularies, templates and the server itself. */

export const modelEntrySchema = named(
  "ModelEntry",
  z.strictObject({
    id: z.string(),
    object: z.literal("model"),
    created: countSchema,
    owned_by: z.literal("shoulders"),
    context_length: countSchema
      .optional()
      .describe("Most tokens of a prompt and its answer; once it is loaded."),
    max_model_len: countSchema.optional().describe("The same, as vLLM calls it."),
    capabilities: z
      .array(z.enum(["completion", "tools", "thinking"]))
      .optional()
      .describe("As Ollama calls them."),
    architecture: z
      .strictObject({
        input_modalities: z.array(z.literal("text")),
        output_modalities: z.array(z.literal("text")),
      })
      .describe("As OpenRouter and llama-server have it."),
    meta: z
      .strictObject({
        n_ctx: countSchema,
        n_ctx_train: countSchema,
        n_vocab: countSchema,
        n_params: countSchema,
        size: countSchema,
      })
      .optional()
      .describe("Of the base, as llama-server has it; once it is loaded."),
    status: z
      .strictObject({
        value: z.enum(["unloaded", "loading", "loaded"]),
        progress: z.number().min(0).max(1).optional().describe("While it loads."),
        failed: z.literal(true).optional().describe("Its last load failed."),
        pinned: z.literal(true).optional().describe("It is never unloaded for want of use or of memory."),
      })
      .describe("As llama-server's router has it."),
  }),
);

export const modelListSchema = named(
  "ModelList",
  z.strictObject({ object: z.literal("list"), data: z.array(modelEntrySchema) }),
);

export const successSchema = named("Success", z.strictObject({ success: z.literal(true) }));

export const reloadedSchema = named(
  "Reloaded",
  z.strictObject({
    success: z.boolean().describe("Nothing is wrong with any config."),
    problems: z.array(z.string()).describe("What is wrong; such configs stay as they were."),
  }),
);

const pieceSchema = z.strictObject({
  id: countSchema,
  piece: z
    .union([z.string(), z.array(z.int().min(0).max(255))])
    .describe("Its text, or its bytes where it is a part of a character."),
});

export const tokenizedSchema = named(
  "Tokenized",
  z.strictObject({
    tokens: z.union([z.array(countSchema), z.array(pieceSchema)]),
    count: countSchema,
    max_model_len: countSchema.describe("Most tokens of a context."),
  }),
);

export const detokenizedSchema = named(
  "Detokenized",
  z.strictObject({ content: z.string(), prompt: z.string().describe("The same, as vLLM calls it.") }),
);

export const tokenizerInfoSchema = named(
  "TokenizerInfo",
  z.strictObject({
    tokenizer_class: z.string(),
    chat_template: z.string().nullable(),
    bos_token: z.string().nullable(),
    eos_token: z.string().nullable(),
  }),
);

export const templatedSchema = named(
  "Templated",
  z.strictObject({
    prompt: z.string().describe("The base's."),
    fusion: z.strictObject({
      prompts: z
        .record(z.string(), z.strictObject({ text: z.string(), tokens: z.array(countSchema) }))
        .describe("What each model gets, by base, reference and expert id."),
    }),
  }),
);

export const aliveSchema = named("Alive", z.strictObject({ status: z.literal("ok") }));

export const readySchema = named(
  "Ready",
  z.strictObject({
    status: z.literal("ok"),
    version: z.string(),
    models: z.array(z.string()),
    trouble: z.string().optional().describe("Why some of them do not answer now."),
    feedback: z
      .strictObject({
        status: z.enum(["on", "off"]),
        reason: z.string().optional().describe("Why it is off."),
      })
      .describe("Whether answers can be rated now."),
  }),
);

export type ModelEntry = z.output<typeof modelEntrySchema>;
export type ModelList = z.output<typeof modelListSchema>;
export type Success = z.output<typeof successSchema>;
export type Reloaded = z.output<typeof reloadedSchema>;
export type Piece = z.output<typeof pieceSchema>;
export type Tokenized = z.output<typeof tokenizedSchema>;
export type TokenizerInfo = z.output<typeof tokenizerInfoSchema>;
export type Detokenized = z.output<typeof detokenizedSchema>;
export type Templated = z.output<typeof templatedSchema>;
export type Alive = z.output<typeof aliveSchema>;
export type Ready = z.output<typeof readySchema>;
