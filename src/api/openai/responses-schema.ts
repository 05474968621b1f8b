import { z } from "zod";
import { recordOf } from "../../strategies/record-of.js";
import { isObject } from "../../grammar/json/json-schema.js";
import { unsupportedUnless } from "../parse.js";
import { asText, chatSchema, mostMessages, mostParts } from "./schemas.js";

/** Bodies of `POST /v1/responses`. */

const isNothing = (value: unknown) => value == null || (Array.isArray(value) && value.length === 0);
/** A field that is known and not supported with any value. */
const refused = (hint = "leave it out") => unsupportedUnless(z.unknown(), isNothing, hint);

/** What is known, and is no text. */
const otherThan = <const Type extends string>(types: readonly [Type, ...Type[]], known: string) =>
  z.looseObject({ type: z.enum(types) }).refine(() => false, {
    params: { code: "unsupported_field" },
    error: `not supported; only ${known} are: ${asText}`,
  });

const textPart = z.object({
  type: z.enum(["input_text", "output_text", "summary_text", "reasoning_text", "text"]),
  text: z.string(),
});
const refusalPart = z.object({ type: z.literal("refusal"), refusal: z.string() });
const otherPart = otherThan(
  ["input_image", "input_file", "input_audio"],
  "parts of type input_text and output_text",
);
const parts = z.array(z.discriminatedUnion("type", [textPart, refusalPart, otherPart])).max(mostParts);

/** Entries of what a client notes down for itself. */
const mostMetadata = 64;

const id = z.string().max(200).nullish();
/** Programs send back what they got, whatever became of it. */
const own = { id, status: z.string().nullish() };

const message = z.object({
  ...own,
  type: z.literal("message").nullish(),
  role: z.enum(["user", "assistant", "system", "developer"]),
  content: z.union([z.string(), parts]),
});
const functionCall = z.object({
  ...own,
  type: z.literal("function_call"),
  call_id: z.string(),
  name: z.string(),
  arguments: z.string(),
});
const functionCallOutput = z.object({
  ...own,
  type: z.literal("function_call_output"),
  call_id: z.string(),
  output: z.union([z.string(), parts]),
});
const customCall = z.object({
  ...own,
  type: z.literal("custom_tool_call"),
  call_id: z.string(),
  name: z.string(),
  input: z.string(),
});
const customCallOutput = z.object({
  ...own,
  type: z.literal("custom_tool_call_output"),
  call_id: z.string(),
  output: z.union([z.string(), parts]),
});
const reasoning = z.object({
  ...own,
  type: z.literal("reasoning"),
  summary: parts.nullish(),
  content: parts.nullish(),
  encrypted_content: z.string().nullish().describe("As an answer had it."),
});
const itemReference = z.object({
  type: z.literal("item_reference"),
  id: z.string().describe("Of an item of a response that is kept."),
});
const otherItem = otherThan(
  [
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "computer_call",
    "computer_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
  ],
  "messages, calls of functions and custom tools, their outputs, reasoning and item references",
);

const inputItem = z.discriminatedUnion("type", [
  message,
  functionCall,
  functionCallOutput,
  customCall,
  customCallOutput,
  reasoning,
  itemReference,
  otherItem,
]);

export const inputItems = z.array(inputItem).min(1).max(mostMessages);
export const metadataSchema = recordOf(z.string(), z.string(), mostMetadata).nullish();

const functionTool = z.object({
  type: z.literal("function"),
  name: z.string(),
  description: z.string().nullish(),
  parameters: z.looseObject({}).nullish().describe("JSON schema of the arguments. Default: no arguments."),
  strict: z.boolean().nullish().describe("true: refuse a schema that arguments cannot be held to."),
});
const customTool = z.object({
  type: z.literal("custom"),
  name: z.string(),
  description: z.string().nullish(),
  format: z
    .looseObject({ type: z.string() })
    .nullish()
    .describe("What its input is: text, or of a grammar, with syntax (lark or regex) and definition."),
});
/** A tool that is the API's own, which nobody offers here: agents send them with their functions, and do without. */
const otherTool = z.looseObject({
  type: z
    .string()
    .refine((type) => !isClients({ type }), "such a tool has its name, a text, beside its type"),
});

/** A function as a chat completion has it. */
function unwrapped(tool: unknown): unknown {
  if (!isObject(tool) || tool["name"] !== undefined) return tool;
  const { type, function: inner } = tool;
  return type === "function" && isObject(inner) ? { type, ...inner } : tool;
}

const namedTool = z.object({ type: z.enum(["function", "custom"]), name: z.string() });

const { temperature, top_p, top_logprobs, user, store, service_tier, fusion } = chatSchema.shape;

const { seed, stop, top_k, min_p, typical_p, repeat_penalty, presence_penalty, frequency_penalty } =
  chatSchema.shape;
const { logit_bias, min_tokens, ignore_eos, enable_thinking, chat_template_kwargs } = chatSchema.shape;
/** Fields of a chat completion that OpenAI has not here, and other servers have. */
export const chatFields = {
  ...{ seed, stop, top_k, min_p, typical_p, repeat_penalty, presence_penalty, frequency_penalty },
  ...{ logit_bias, min_tokens, ignore_eos, enable_thinking, chat_template_kwargs },
};

const format = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("text") }),
    z.object({ type: z.literal("json_object") }),
    z.object({
      type: z.literal("json_schema"),
      name: z.string(),
      description: z.string().nullish(),
      strict: z.boolean().nullish(),
      schema: z.looseObject({}),
    }),
  ])
  .nullish()
  .describe("As response_format of /v1/chat/completions.");

export const responsesSchema = z.object({
  model: chatSchema.shape.model,
  input: z
    .union([z.string(), inputItems], {
      error: ({ input }) => (Array.isArray(input) ? undefined : "expected text or a list of items"),
    })
    .describe("Text of the user, or messages, calls, their outputs, reasoning and item references."),
  instructions: z.string().nullish().describe("A system message before the input, for this answer only."),
  previous_response_id: z.string().nullish().describe("A response that is kept: the conversation goes on."),
  store: store.describe("false: the response is not kept. Default: true."),
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
  stream_options: z.object({ include_obfuscation: z.boolean().nullish() }).nullish(),
  include: z
    .array(z.string())
    .max(16)
    .nullish()
    .describe("message.output_text.logprobs, reasoning.encrypted_content; others find nothing to include."),
  text: z.object({ format, verbosity: z.string().nullish() }).nullish(),
  tools: z
    .array(z.preprocess(unwrapped, z.union([functionTool, customTool, otherTool])))
    .max(128)
    .nullish()
    .describe("Functions and custom tools that the answer may call; others are left out, and named."),
  tool_choice: z
    .union(
      [
        z.enum(["none", "auto", "required"]),
        namedTool,
        z.object({
          type: z.literal("allowed_tools"),
          mode: z.enum(["auto", "required"]),
          tools: z.array(namedTool).min(1).max(128),
        }),
      ],
      { error: 'expected "none", "auto", "required", a function, a custom tool or allowed_tools' },
    )
    .nullish(),
  parallel_tool_calls: z.boolean().nullish().describe("false: at most one call in an answer."),
  reasoning: z
    .object({
      effort: z.string().nullish().describe('"none": nothing is thought. Default: the template\'s.'),
      summary: z.string().nullish().describe("Where given, what was thought is shown as the summary."),
      generate_summary: z.string().nullish(),
    })
    .nullish(),
  fusion,
  ...chatFields,
  conversation: z
    .union([z.string(), z.object({ id: z.string() })])
    .nullish()
    .describe("Its items come before the input; input and answer are added to it."),
  background: z
    .boolean()
    .nullish()
    .describe("true: it is answered at once, and runs on; GET tells what became of it. Needs store."),
  prompt: refused(),
  // What asks for nothing that changes an answer here.
  truncation: z.enum(["auto", "disabled"]).nullish(),
  max_tool_calls: z.int().nullish(),
  context_management: z.unknown().optional(),
  user,
  metadata: metadataSchema.describe("Given back in the answer."),
  service_tier,
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
  prompt_cache_retention: z.string().nullish(),
  prompt_cache_options: z.unknown().optional(),
  moderation: z.unknown().optional(),
});

export type ResponsesBody = z.output<typeof responsesSchema>;

/** The tools that an answer may call. */
export function toolsOf({ tools }: ResponsesBody): ClientsTool[] {
  return (tools ?? []).filter(isClients);
}

/** What the client calls its tools: those that may be called, and those that are left out. */
export function toolNamesOf({ tools }: ResponsesBody): { known: string[]; others: string[] } {
  const names = (tools ?? []).map((tool, index) => ({ name: `tools.${index}`, isOne: isClients(tool) }));
  const namesOf = (isOne: boolean) => names.filter((tool) => tool.isOne === isOne).map(({ name }) => name);
  return { known: namesOf(true), others: namesOf(false) };
}

type ClientsTool = z.output<typeof functionTool> | z.output<typeof customTool>;

/** Whether the client runs it. */
function isClients(tool: { type: string }): tool is ClientsTool {
  return tool.type === "function" || tool.type === "custom";
}
export type InputItem = z.output<typeof inputItem>;
