import { z } from "zod";
import { samplingSchema } from "../../config/fusion-config.js";
import { recordOf } from "../../strategies/record-of.js";
import { fieldError } from "../../errors.js";
import { unsupportedUnless } from "../parse.js";
import { grammarSchema, responseFormatSchema } from "../completion/answer-grammar.js";
import { fusionSchema, givenTokens } from "../completion/fusion-fields.js";
import { isObject } from "../../grammar/json/json-schema.js";
import { tokenIds } from "../long-list.js";
import { isNothing, undoneFields } from "./other-fields.js";
import { toolCallSchema, toolChoiceSchema, toolsSchema } from "./tools.js";

/** Bodies of completion requests. null means the default everywhere; defaults are applied in plan.ts. */

const defaults = samplingSchema.shape;
const maxInt32 = 2 ** 31 - 1;

/** The range of a sampling setting; its default comes from the fusion config. */
const samplingField = <Inner extends z.ZodType>(setting: z.ZodDefault<Inner>, description: string) =>
  setting.unwrap().nullish().describe(`${description} Default: the fusion config's.`);

const stopString = z
  .string()
  .refine((text) => Buffer.byteLength(text) <= 256, "a stop string may have at most 256 bytes");
/** Evaluation harnesses and completions in editors send a dozen and more. */
const mostStops = 64;
export const stopStrings = z.array(stopString).max(mostStops);

/** llama.cpp's list of pairs, as OpenAI's object; `false` in it means never. */
function biasesOf(given: unknown): unknown {
  if (!Array.isArray(given)) return given;
  const biases = given.map((entry: unknown, index) => {
    const [token, bias] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (!Number.isInteger(token) || (typeof bias !== "number" && bias !== false))
      throw fieldError(`logit_bias.${index}`, "expected a token id and a bias");
    return [String(token), bias === false ? -100 : bias];
  });
  return Object.fromEntries(biases) as unknown;
}

/** Parts of one turn: real ones have a few. */
export const mostParts = 256;

const textPart = z.object({ type: z.literal("text"), text: z.string() });

const sharedFields = {
  model: z.string().min(1).describe("Id of a fusion config."),
  temperature: samplingField(defaults.temperature, "0: always the most probable token."),
  do_sample: z
    .boolean()
    .nullish()
    .describe("false: always the most probable token, whatever the temperature."),
  top_p: z.number().min(0).max(1).nullish().describe("Keep the smallest set with this probability."),
  top_k: z.int().min(-1).max(1_000_000).nullish().describe("Keep the k most probable tokens; 0 or -1: all."),
  min_p: samplingField(defaults.minP, "Drop tokens below this share of the best."),
  typical_p: samplingField(defaults.typicalP, "Locally typical sampling; 1: off."),
  repeat_penalty: samplingField(defaults.repeatPenalty, "Divides the logits of repeated tokens; 1: off."),
  presence_penalty: samplingField(defaults.presencePenalty, "Taken from the logits of tokens that occurred."),
  frequency_penalty: samplingField(defaults.frequencyPenalty, "Taken once for each time a token occurred."),
  seed: z
    .number()
    .min(-(2 ** 63))
    .max(2 ** 63)
    .refine(Number.isInteger, "expected an integer")
    .nullish()
    .describe("The same seed gives the same tokens; its low 32 bits count. Default, and -1: random."),
  stop: z
    .union([stopString, stopStrings])
    .nullish()
    .describe(
      `Up to ${mostStops} strings at which to stop; they are not part of the answer, nor looked for in calls.`,
    ),
  stop_token_ids: tokenIds({ least: 0, most: mostStops }).nullish().describe("Tokens that end the answer."),
  min_tokens: z
    .int()
    .min(0)
    .max(maxInt32)
    .nullish()
    .describe("Fewest tokens before an end token or one of stop_token_ids may come. A grammar goes before."),
  ignore_eos: z
    .boolean()
    .nullish()
    .describe(
      "true: no token ends the answer, but max_tokens, a stop string, a grammar's end or a full context.",
    ),
  logit_bias: z
    .preprocess(
      biasesOf,
      recordOf(
        z.string().regex(/^(0|[1-9]\d{0,8})$/, "expected a token id"),
        z.number().min(-100).max(100, "expected a bias from -100 to 100"),
        1024,
      ).nullish(),
    )
    .describe("Token id to what is added to its fused logit; or a list of pairs."),
  prediction: z
    .strictObject({
      type: z.literal("content"),
      content: z.union([z.string(), z.array(textPart).max(mostParts)]),
    })
    .nullish()
    .describe("What the answer will mostly be: changes nothing but how fast it comes."),
  stream: z.boolean().nullish().describe("Answer as server-sent events."),
  stream_options: z
    .object({
      include_usage: z.boolean().nullish().describe("End the stream with a chunk that holds the usage."),
    })
    .nullish(),
  n: z.int().min(1).max(16).nullish().describe("Answers to each prompt; their seeds are seed, seed + 1, …"),
  grammar: grammarSchema,
  response_format: responseFormatSchema,
  fusion: fusionSchema.nullish().describe("What is said to the fusion, and what to report of it."),
  // Clients send these; they ask for nothing that changes an answer here.
  user: z.string().nullish(),
  metadata: z.looseObject({}).nullish(),
  store: z.boolean().nullish(),
  service_tier: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
  prompt_cache_retention: z.string().nullish(),
  best_of: z.int().min(0).max(20).nullish(),
  ...undoneFields,
};

/** -1 sets no bound; nor does -2, which is Ollama's word for a full context. */
const maxTokens = (least: number) =>
  z
    .int()
    .refine((most) => most === -1 || most === -2 || most >= least, `expected -1, or at least ${least}`)
    .nullish();

/** What to do about a part that is none. */
export const asText = "send what it says as text";

// In messages, what clients add (`cache_control`, `index`, `parsed`, …) is left out: they send back what they got.
const otherPart = z
  .looseObject({
    type: z.enum([
      "image_url",
      "image",
      "input_image",
      "input_audio",
      "audio_url",
      "video_url",
      "file",
      "input_file",
    ]),
  })
  .refine(() => false, {
    params: { code: "unsupported_field" },
    error: `not supported; only parts of type text are: ${asText}`,
  });
/** Mistral's, in answers that are sent back. */
const thinkingPart = z.object({
  type: z.literal("thinking"),
  thinking: z.union([z.string(), z.array(textPart).max(mostParts)]),
});

/** A text alone, and texts as `/v1/responses` has them. */
function partOf(given: unknown): unknown {
  if (typeof given === "string") return { type: "text", text: given };
  if (!isObject(given)) return given;
  const { type, refusal, text, reasoning } = given;
  if (type === undefined && typeof text === "string") return { type: "text", text };
  // What other APIs call thinking; what only they can read of it says nothing here.
  if (type === "reasoning") return { type: "thinking", thinking: reasoning ?? text ?? "" };
  if (type === "redacted_thinking") return { type: "thinking", thinking: "" };
  if (type === "refusal") return { type: "text", text: refusal };
  return type === "input_text" || type === "output_text" ? { ...given, type: "text" } : given;
}

const messagePart = z.preprocess(partOf, z.discriminatedUnion("type", [textPart, thinkingPart, otherPart]));

const mostTemplateBytes = 256 * 1024;

/** Turns of a conversation, and parts of one: real ones have a few hundred. */
export const mostMessages = 4_096;
/** Most choices of one request: prompts times `n`. */
export const mostChoices = 128;

const isEmptyList = (value: unknown) => Array.isArray(value) && value.length === 0;

const messageSchema = z
  .object({
    role: z.enum(["system", "developer", "user", "assistant", "tool"]),
    content: z
      .union([z.string(), z.array(messagePart).max(mostParts)])
      .nullish()
      .describe("Text, or text parts, which are joined by line breaks."),
    prefix: z.boolean().nullish().describe("true, of the last message: the answer goes on with it."),
    partial: z.boolean().nullish().describe("As prefix."),
    refusal: z.string().nullish().describe("What an answer said instead of its content."),
    audio: unsupportedUnless(z.unknown(), (value) => value == null, "leave it out"),
    reasoning_content: z.string().nullish().describe("What was thought before an answer."),
    reasoning: z.unknown().optional().describe("The same, where it is text."),
    tool_calls: z.array(toolCallSchema).max(128).nullish().describe("Calls that an answer made."),
    function_call: unsupportedUnless(z.unknown(), (value) => value == null, "send it as tool_calls"),
    tool_call_id: z.string().nullish().describe("Which call a tool's message answers."),
  })
  .check((context) => {
    const { role, content, tool_calls, tool_call_id } = context.value;
    const problem = (field: string, message: string) =>
      context.issues.push({ code: "custom", input: context.value, path: [field], message });
    const hasCalls = (tool_calls?.length ?? 0) > 0;
    // An answer may have been nothing but thinking, which is not sent back.
    // A tool may have nothing to say.
    if (content == null && role !== "assistant" && role !== "tool")
      problem("content", "missing: expected text");
    if (hasCalls && role !== "assistant") problem("tool_calls", "only an assistant's message has calls");
    if (role === "tool" && tool_call_id == null) problem("tool_call_id", "a tool's message needs it");
  });

const streamOptionsNeedStream = (body: { stream?: unknown; stream_options?: unknown }) =>
  // null and {} ask for nothing.
  body.stream === true ||
  !(body.stream_options as { include_usage?: unknown } | null | undefined)?.include_usage;
const streamOptionsIssue = { path: ["stream_options"], error: "only allowed when stream is true" };

export const chatSchema = z
  .object({
    ...sharedFields,
    messages: z
      .array(messageSchema)
      .min(1)
      .max(mostMessages)
      .describe("The conversation so far, oldest first."),
    max_tokens: maxTokens(1).describe("Most tokens to generate. Default: until the end or a full context."),
    max_completion_tokens: maxTokens(1).describe("As max_tokens, and wins over it."),
    logprobs: z.boolean().nullish().describe("Report the log-probability of each token."),
    top_logprobs: z.int().min(0).max(20).nullish().describe("Alternatives to report; needs logprobs: true."),
    tools: toolsSchema,
    tool_choice: toolChoiceSchema,
    parallel_tool_calls: z.boolean().nullish().describe("false: at most one call in an answer."),
    add_generation_prompt: z
      .boolean()
      .nullish()
      .describe("false: the prompt ends with the last message instead of the beginning of an answer."),
    continue_final_message: z
      .boolean()
      .nullish()
      .describe("The answer goes on after the last message, which must be the assistant's."),
    modalities: unsupportedUnless(
      z.array(z.string()).max(16),
      (list) => list.every((entry) => entry === "text"),
      "only text is",
    ),
    audio: unsupportedUnless(z.unknown(), () => false, "leave it out"),
    reasoning_effort: z
      .string()
      .nullish()
      .describe('How much is thought before the answer; "none": nothing. Default: the template\'s.'),
    enable_thinking: z.boolean().nullish().describe("Whether anything is thought before the answer."),
    think: z.union([z.boolean(), z.string()]).nullish().describe("As enable_thinking or reasoning_effort."),
    chat_template: z
      .string()
      .refine(
        (text) => Buffer.byteLength(text) <= mostTemplateBytes,
        `a chat template may have at most ${mostTemplateBytes} bytes`,
      )
      .nullish()
      .describe("Jinja template in place of the models' own; only where the config allows it."),
    chat_template_kwargs: z
      .looseObject({})
      .nullish()
      .describe("What else the chat templates may ask for, by name."),
    include_reasoning: z.boolean().nullish().describe("false: what was thought is counted and not shown."),
    verbosity: z.string().nullish(),
    web_search_options: unsupportedUnless(z.unknown(), () => false, "leave it out"),
    echo: unsupportedUnless(z.boolean(), (isWanted) => !isWanted, "ask /v1/completions"),
    prompt: unsupportedUnless(z.unknown(), (prompt) => prompt === "", "ask /v1/completions"),
  })
  .refine((body) => !body.top_logprobs || body.logprobs === true, {
    path: ["top_logprobs"],
    error: "needs logprobs: true",
  })
  .refine(streamOptionsNeedStream, streamOptionsIssue);

function promptProblem(input: unknown): string {
  if (Array.isArray(input) && typeof input[0] !== "number" && input.length > mostChoices)
    return `expected at most ${mostChoices} prompts`;
  return `${input === undefined ? "missing: " : ""}expected text or token ids`;
}

export const textSchema = z
  .object({
    ...sharedFields,
    prompt: z
      .union(
        [
          z.string(),
          z.array(z.string()).min(1).max(mostChoices),
          givenTokens,
          z.array(givenTokens).min(1).max(mostChoices),
        ],
        { error: ({ input }) => promptProblem(input) },
      )
      .describe("Text or token ids, or a list of either, as it is: no chat template is applied."),
    max_tokens: maxTokens(0).describe("Most tokens to generate. Default: 16."),
    max_completion_tokens: maxTokens(0).describe("As max_tokens, and wins over it."),
    top_logprobs: z
      .int()
      .min(0)
      .max(20)
      .nullish()
      .describe("Alternatives, where logprobs does not count them."),
    logprobs: z
      .preprocess(
        (given) => (given === false ? null : given === true ? 0 : given),
        z.int().min(0).max(20).nullish(),
      )
      .describe("Report log-probabilities and this many alternatives."),
    echo: z.boolean().nullish().describe("Begin the answer with the prompt, with logprobs where asked for."),
    add_special_tokens: z.boolean().nullish(),
    // No template is put around a prompt here.
    raw: z.unknown().optional(),
    messages: unsupportedUnless(z.unknown(), isEmptyList, "ask /v1/chat/completions"),
    chat_template: unsupportedUnless(z.unknown(), isNothing, "ask /v1/chat/completions"),
    suffix: z
      .string()
      .nullish()
      .describe(
        "The answer is what stands between prompt and suffix, where the models were trained for that.",
      ),
  })
  .refine((body) => !body.suffix || body.echo !== true, { path: ["echo"], error: "leave it out, or suffix" })
  .refine(streamOptionsNeedStream, streamOptionsIssue);

export type ChatBody = z.output<typeof chatSchema>;
export type TextBody = z.output<typeof textSchema>;
