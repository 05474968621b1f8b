import { z } from "zod";
import { unsupportedUnless } from "../parse.js";
import { chatSchema, mostMessages, mostParts } from "./schemas.js";

/** Bodies of `POST /v1/responses`: what is text in and text out, or asks for nothing. */

const isNothing = (value: unknown) => value == null || (Array.isArray(value) && value.length === 0);
/** A field that is known and not supported with any value. */
const refused = (hint = "leave it out") => unsupportedUnless(z.unknown(), isNothing, hint);

const inputText = z.looseObject({ type: z.enum(["input_text", "output_text"]), text: z.string() });
const otherPart = z
  .looseObject({ type: z.enum(["input_image", "input_file", "input_audio", "refusal"]) })
  .refine(() => false, {
    params: { code: "unsupported_field" },
    error: "not supported; only parts of type input_text and output_text are",
  });

const message = z.strictObject({
  type: z.literal("message").nullish(),
  role: z.enum(["user", "assistant", "system", "developer"]),
  content: z.union([
    z.string(),
    z
      .array(z.discriminatedUnion("type", [inputText, otherPart]))
      .min(1)
      .max(mostParts),
  ]),
  id: z.string().nullish(),
  status: z.string().nullish(),
  phase: z.string().nullish(),
});

const { temperature, top_p, top_logprobs, user, metadata, store, service_tier, fusion } = chatSchema.shape;

export const responsesSchema = z.strictObject({
  model: chatSchema.shape.model,
  input: z
    .union([z.string(), z.array(message).min(1).max(mostMessages)], {
      error: "expected text or a list of messages",
    })
    .describe("Text of the user, or messages."),
  instructions: z.string().nullish().describe("A system message before the input."),
  max_output_tokens: z
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .nullish()
    .describe("Most tokens to generate."),
  temperature,
  top_p,
  top_logprobs: top_logprobs.describe("Alternatives to report; needs include: message.output_text.logprobs."),
  stream: z.boolean().nullish().describe("Answer as server-sent events."),
  stream_options: z
    .strictObject({
      include_obfuscation: unsupportedUnless(z.boolean(), (isWanted) => !isWanted, "leave it out"),
    })
    .nullish(),
  include: z
    .array(z.string())
    .max(16)
    .refine((list) => list.every((entry) => entry === "message.output_text.logprobs"), {
      params: { code: "unsupported_field" },
      error: 'not supported; only "message.output_text.logprobs" is',
    })
    .nullish(),
  text: z
    .strictObject({
      format: z
        .discriminatedUnion("type", [
          z.strictObject({ type: z.literal("text") }),
          z.strictObject({ type: z.literal("json_object") }),
          z.strictObject({
            type: z.literal("json_schema"),
            name: z.string(),
            description: z.string().nullish(),
            strict: z.boolean().nullish(),
            schema: z.looseObject({}),
          }),
        ])
        .nullish()
        .describe("As response_format of /v1/chat/completions."),
      verbosity: unsupportedUnless(z.string(), (verbosity) => verbosity === "medium", "leave it out"),
    })
    .nullish(),
  truncation: unsupportedUnless(z.string(), (value) => value === "disabled", 'only "disabled" is'),
  fusion,
  previous_response_id: refused("responses are not kept; send the whole conversation as input"),
  conversation: refused("responses are not kept; send the whole conversation as input"),
  background: unsupportedUnless(z.boolean(), (isWanted) => !isWanted, "leave it out"),
  tools: refused("leave it out; /v1/chat/completions has tools"),
  tool_choice: unsupportedUnless(z.unknown(), (it) => it === "none" || it === "auto", "leave it out"),
  max_tool_calls: refused(),
  prompt: refused(),
  reasoning: unsupportedUnless(
    z.looseObject({ effort: z.string().nullish() }),
    ({ effort }) => effort == null || effort === "none",
    "leave it out",
  ),
  context_management: refused(),
  // Clients send these; they ask for nothing that changes an answer here.
  parallel_tool_calls: z.boolean().nullish(),
  user,
  metadata,
  store,
  service_tier,
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
  prompt_cache_retention: z.string().nullish(),
});

export type ResponsesBody = z.output<typeof responsesSchema>;
