import { z } from "zod";
import { countSchema, logprobSchema } from "./numbers.js";
import { named } from "./registry.js";

/** OpenAI's shapes of log-probabilities. */

const candidateSchema = z.strictObject({
  token: z.string(),
  logprob: logprobSchema,
  bytes: z
    .array(z.int().min(0).max(255))
    .nullable()
    .describe("The token's own, also where it is part of a character; null: a token that is no text."),
});

export const chatLogprobSchema = z.strictObject({
  ...candidateSchema.shape,
  top_logprobs: z.array(candidateSchema),
});

export const chatLogprobsSchema = named(
  "ChatLogprobs",
  z.strictObject({ content: z.array(chatLogprobSchema), refusal: z.null() }),
);

export const textLogprobsSchema = named(
  "TextLogprobs",
  z.strictObject({
    tokens: z.array(z.string()),
    token_logprobs: z
      .array(logprobSchema.nullable())
      .describe("null: the first token of an echoed prompt, which nothing comes before."),
    top_logprobs: z
      .array(z.record(z.string(), logprobSchema).nullable())
      .describe("Token to log-probability: the alternatives that were asked for, and the token itself."),
    text_offset: z.array(countSchema).describe("Where the token starts in the answer's text, in characters."),
  }),
);

export type ChatCandidate = z.output<typeof candidateSchema>;
export type ChatLogprobs = z.output<typeof chatLogprobsSchema>;
export type TextLogprobs = z.output<typeof textLogprobsSchema>;
