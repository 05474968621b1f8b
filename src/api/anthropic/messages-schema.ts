import { z } from "zod";
import { asText, chatSchema, mostMessages, mostParts, stopStrings } from "../openai/schemas.js";
import { unsupportedUnless } from "../parse.js";

/** Bodies of `POST /v1/messages` and `POST /v1/messages/count_tokens`. */

const isNothing = (value: unknown) => value == null || (Array.isArray(value) && value.length === 0);

/** What is known, and is not done. */
const otherThan = <const Type extends string>(types: readonly [Type, ...Type[]], known: string) =>
  z.looseObject({ type: z.enum(types) }).refine(() => false, {
    params: { code: "unsupported_field" },
    error: `not supported; only ${known} are: ${asText}`,
  });

// In blocks, what clients add (`cache_control`, `citations`, …) is left out.
const textBlock = z.object({ type: z.literal("text"), text: z.string() });
const otherBlock = otherThan(
  [
    "container_upload",
    "document",
    "image",
    "search_result",
    "server_tool_use",
    "web_fetch_tool_result",
    "web_search_tool_result",
  ],
  "text, tool use, tool results and thinking",
);

const texts = z.array(z.discriminatedUnion("type", [textBlock, otherBlock])).max(mostParts);

const block = z.discriminatedUnion("type", [
  textBlock,
  z.object({ type: z.literal("thinking"), thinking: z.string() }),
  z.object({ type: z.literal("redacted_thinking") }),
  z.object({
    type: z.literal("tool_use"),
    id: z.string(),
    name: z.string(),
    input: z.looseObject({}),
  }),
  z.object({
    type: z.literal("tool_result"),
    tool_use_id: z.string(),
    content: z.union([z.string(), texts]).nullish(),
    is_error: z.boolean().nullish(),
  }),
  otherBlock,
]);

const message = z
  .object({
    role: z.enum(["user", "assistant", "system"]),
    content: z.union([z.string(), z.array(block).max(mostParts)]),
  })
  .check((context) => {
    const { role, content } = context.value;
    if (typeof content === "string") return;
    for (const [index, { type }] of content.entries()) {
      const isAnswer = type === "tool_use" || type === "thinking" || type === "redacted_thinking";
      const belongs = type === "tool_result" ? role === "user" : !isAnswer || role === "assistant";
      if (belongs) continue;
      const error = `a block of type ${type} is no part of a message of the ${role}`;
      context.issues.push({
        code: "custom",
        input: context.value,
        path: ["content", index, "type"],
        message: error,
      });
    }
  });

const tool = z.looseObject({
  type: z.literal("custom").nullish(),
  name: z.string(),
  description: z.string().nullish(),
  input_schema: z.looseObject({}).describe("JSON schema of the input."),
  strict: z.boolean().nullish().describe("true: refuse a schema that inputs cannot be held to."),
});

/** A tool that is the API's own, which nobody offers here: agents send them with theirs, and do without. */
const otherTool = z.looseObject({ type: z.string().refine((type) => type !== "custom") });

const isParallel = {
  disable_parallel_tool_use: z.boolean().nullish().describe("true: at most one call in an answer."),
};
const toolChoice = z.discriminatedUnion("type", [
  z.object({ type: z.literal("auto"), ...isParallel }),
  z.object({ type: z.literal("any"), ...isParallel }),
  z.object({ type: z.literal("tool"), name: z.string(), ...isParallel }),
  z.object({ type: z.literal("none") }),
]);

const outputFormat = z.object({ type: z.literal("json_schema"), schema: z.looseObject({}) }).nullish();

const { model, temperature, top_p, top_k, fusion } = chatSchema.shape;

/** What counting tokens takes, too. */
const promptFields = {
  model,
  messages: z.array(message).min(1).max(mostMessages).describe("The conversation so far, oldest first."),
  system: z.union([z.string(), texts]).nullish().describe("What comes before the conversation."),
  tools: z
    .array(z.union([tool, otherTool]))
    .max(128)
    .nullish()
    .describe("Tools that the answer may use; those without a schema of their own are left out, and named."),
  tool_choice: toolChoice.nullish(),
  thinking: z
    .object({
      type: z.enum(["enabled", "disabled", "adaptive"]),
      budget_tokens: z.int().nullish(),
      display: z.string().nullish(),
    })
    .nullish()
    .describe("Whether anything is thought before the answer. Default: nothing."),
  output_config: z
    .object({ effort: z.string().nullish(), format: outputFormat })
    .nullish()
    .describe("format: JSON that matches its schema."),
  output_format: outputFormat.describe("As output_config.format."),
  mcp_servers: unsupportedUnless(z.unknown(), isNothing, "leave it out"),
  // What asks for nothing that changes an answer here.
  cache_control: z.unknown().optional(),
  metadata: z.looseObject({}).nullish(),
  container: z.unknown().optional(),
  context_management: z.unknown().optional(),
  diagnostics: z.unknown().optional(),
  inference_geo: z.string().nullish(),
  service_tier: z.string().nullish(),
  speed: z.string().nullish(),
  user_profile_id: z.string().nullish(),
  workspace_id: z.string().nullish(),
};

export const countTokensSchema = z.object(promptFields);

export const messagesSchema = z.object({
  ...promptFields,
  max_tokens: z
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .describe("Most tokens to generate."),
  stop_sequences: stopStrings
    .nullish()
    .describe("Strings at which to stop; they are not part of the answer, nor looked for in calls."),
  temperature,
  top_p,
  top_k,
  stream: z.boolean().nullish().describe("Answer as server-sent events."),
  fusion,
});

export type PromptBody = z.output<typeof countTokensSchema>;
export type MessagesBody = z.output<typeof messagesSchema>;

type OwnTool = z.output<typeof tool>;

const isOwn = (given: { type?: string | null | undefined }): given is OwnTool =>
  given.type == null || given.type === "custom";

/** The tools that an answer may use, and what the client calls them. */
export function ownTools({ tools }: PromptBody): { tool: OwnTool; name: string }[] {
  return (tools ?? []).flatMap((given, index) =>
    isOwn(given) ? [{ tool: given, name: `tools.${index}` }] : [],
  );
}

/** What the client calls the tools that are left out. */
export function otherTools({ tools }: PromptBody): string[] {
  return (tools ?? []).flatMap((given, index) => (isOwn(given) ? [] : [`tools.${index}`]));
}
