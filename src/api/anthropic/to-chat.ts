import { ownTools, type MessagesBody, type PromptBody } from "./messages-schema.js";
import { renamed } from "../openai/read-body.js";

/** A request of Anthropic's API as the body of a chat completion. */

type BodyMessage = PromptBody["messages"][number];
type Block = Exclude<BodyMessage["content"], string>[number];
type Texts = Exclude<NonNullable<PromptBody["system"]>, string>;

/** A turn of a chat completion's body, and what the client calls it. */
interface Turn {
  message: Record<string, unknown> & { role: string };
  name: string;
}

export interface ChatRequest {
  body: Record<string, unknown>;
  /** What the client calls a field of the body. */
  fieldName: (param: string) => string;
}

/** The body of a chat completion with this conversation, these tools and this thinking. */
export function toChatPrompt(body: PromptBody): ChatRequest {
  const turns: Turn[] = [
    ...(body.system == null
      ? []
      : [{ message: { role: "system", content: textOf(body.system) }, name: "system" }]),
    ...body.messages.flatMap((message, index) => turnsOf(message, `messages.${index}`)),
  ];
  const format = body.output_config?.format ?? body.output_format;
  const last = turns.at(-1)?.message;
  const isBegun = last?.role === "assistant" && last["tool_calls"] === undefined && last["content"] !== "";
  return {
    body: {
      model: body.model,
      messages: turns.map(({ message }) => message),
      // An answer that the client has begun goes on.
      ...(isBegun && { continue_final_message: true }),
      ...toolFields(body),
      enable_thinking: body.thinking != null && body.thinking.type !== "disabled",
      ...(body.thinking != null && { reasoning_effort: body.output_config?.effort }),
      ...(format != null && {
        response_format: { type: "json_schema", json_schema: { name: "answer", schema: format.schema } },
      }),
    },
    fieldName: (param) => fieldName(param, turns, body),
  };
}

/** The body of a chat completion that answers the same. */
export function toChat(body: MessagesBody): ChatRequest {
  const { body: prompt, fieldName: nameOf } = toChatPrompt(body);
  const { max_tokens, stop_sequences: stop, temperature, top_p, top_k, stream, fusion } = body;
  return {
    body: { ...prompt, max_tokens, stop, temperature, top_p, top_k, stream, fusion },
    fieldName: nameOf,
  };
}

function toolFields(body: PromptBody): Record<string, unknown> {
  const { tool_choice: choice } = body;
  const isSingle = choice != null && choice.type !== "none" && choice.disable_parallel_tool_use === true;
  return {
    tools: ownTools(body).map(({ tool: { name, description, input_schema: parameters, strict } }) => ({
      type: "function",
      function: { name, description, parameters, strict },
    })),
    tool_choice: toToolChoice(choice),
    ...(isSingle && { parallel_tool_calls: false }),
  };
}

function toToolChoice(choice: PromptBody["tool_choice"]): unknown {
  if (choice == null) return null;
  if (choice.type === "tool") return { type: "function", function: { name: choice.name } };
  return choice.type === "any" ? "required" : choice.type;
}

/** The turns that a message is: the results of tools have one each. */
function turnsOf({ role, content }: BodyMessage, name: string): Turn[] {
  if (typeof content === "string") return [{ message: { role, content }, name: `${name}.content` }];
  if (role === "assistant") return [{ message: answerOf(content), name: `${name}.content` }];
  const results = content.flatMap((block, index): Turn[] => {
    if (block.type !== "tool_result") return [];
    const { tool_use_id, content: result } = block;
    const message = { role: "tool", tool_call_id: tool_use_id, content: textOf(result ?? "") };
    return [{ message, name: `${name}.content.${index}` }];
  });
  const said = content.filter((block) => block.type === "text");
  if (said.length === 0 && results.length > 0) return results;
  return [...results, { message: { role, content: textOf(said) }, name: `${name}.content` }];
}

/** What was thought, said and called in one answer. */
function answerOf(blocks: readonly Block[]): Turn["message"] {
  const thoughts = blocks.flatMap((block) => (block.type === "thinking" ? [block.thinking] : []));
  const said = blocks.filter((block) => block.type === "text");
  const calls = blocks.flatMap((block) =>
    block.type === "tool_use"
      ? [
          {
            id: block.id,
            type: "function",
            function: { name: block.name, arguments: JSON.stringify(block.input) },
          },
        ]
      : [],
  );
  return {
    role: "assistant",
    content: textOf(said),
    ...(thoughts.length > 0 && { reasoning_content: thoughts.join("\n") }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

function textOf(content: string | Texts): string {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? part.text : "")).join("\n");
}

/** Fields of a chat completion that are called otherwise here. */
const names: Record<string, string> = {
  stop: "stop_sequences",
  enable_thinking: "thinking",
  reasoning_effort: "output_config.effort",
  parallel_tool_calls: "tool_choice.disable_parallel_tool_use",
  continue_final_message: "messages",
  "tool_choice.function.name": "tool_choice.name",
};

function fieldName(param: string, turns: readonly Turn[], body: PromptBody): string {
  const [first, index, ...rest] = param.split(".");
  const turn = first === "messages" ? turns[Number(index)] : undefined;
  if (turn !== undefined) return turn.name;
  const tool = first === "tools" ? ownTools(body)[Number(index)] : undefined;
  if (tool !== undefined) {
    const inner = rest.filter((part) => part !== "function");
    return [tool.name, ...inner.map((part) => (part === "parameters" ? "input_schema" : part))].join(".");
  }
  const format = body.output_format == null ? "output_config.format" : "output_format";
  return renamed(param, {
    ...names,
    "response_format.json_schema": format,
    response_format: format,
  });
}
