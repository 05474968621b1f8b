import type { ChatMessage, Prompt } from "../../protocol/protocol.js";
import { fieldError } from "../../errors.js";
import type { ChatBody } from "../openai/schemas.js";
import { toldTools, type ToolPlan } from "../openai/tools.js";

type BodyMessage = ChatBody["messages"][number];

/** The conversation, its functions and their results, as the models' chat templates take them. */
export function toConversation(body: ChatBody, tools: ToolPlan | null): Prompt {
  return {
    type: "chat",
    messages: body.messages.map(toMessage),
    ending: endingOf(body),
    ...thinkingOf(body),
    ...(body.chat_template != null && body.chat_template !== "" && { template: body.chat_template }),
    ...(tools !== null && { tools: toldTools(tools) }),
  };
}

/** Whether and how much is to be thought, by all the names that clients have for it. */
function thinkingOf({
  reasoning_effort: effort,
  enable_thinking: enabled,
  think,
  chat_template_kwargs: kwargs,
}: ChatBody): Pick<Prompt & { type: "chat" }, "isThinking" | "effort" | "variables"> {
  const given = effort ?? (typeof think === "string" ? think : null);
  const asked = given === "auto" ? null : given;
  const switches = [kwargs?.["enable_thinking"], kwargs?.["thinking"], enabled, think];
  const switched = switches.find((value) => typeof value === "boolean");
  const isThinking = switched ?? (asked === null ? null : asked !== "none");
  return {
    isThinking,
    effort: isThinking === true && asked !== "none" ? asked : null,
    ...(kwargs != null && Object.keys(kwargs).length > 0 && { variables: JSON.stringify(kwargs) }),
  };
}

function endingOf({
  messages,
  continue_final_message: continues,
  add_generation_prompt: addsPrompt,
}: ChatBody): "answer" | "continue" | "none" {
  const last = messages.at(-1);
  const isBegun = last?.role === "assistant" && (last.prefix === true || last.partial === true);
  if (continues !== true && !isBegun) return addsPrompt === false ? "none" : "answer";
  if (addsPrompt === true && !isBegun)
    throw fieldError("add_generation_prompt", "it cannot be true together with continue_final_message");
  if (last?.role !== "assistant")
    throw fieldError("continue_final_message", "the last message must be the assistant's");
  if (last.tool_calls?.length)
    throw fieldError("continue_final_message", "the last message has calls, after which no text goes on");
  return "continue";
}

function toMessage(message: BodyMessage): ChatMessage {
  const { role, tool_calls: calls } = message;
  const content = textOf(message);
  switch (role) {
    case "user":
      return { role, content };
    case "assistant": {
      const reasoning = message.reasoning_content ?? message.reasoning ?? thoughtOf(message);
      const thought = typeof reasoning === "string" && reasoning !== "" ? { reasoning } : {};
      if (!calls?.length) return { role, content, ...thought };
      return {
        role,
        content,
        ...thought,
        toolCalls: calls.map((call) => ({ id: call.id, ...call.function })),
      };
    }
    case "tool":
      return { role, content, toolCallId: message.tool_call_id ?? "" };
    case "system":
    case "developer":
      return { role: "system", content };
  }
}

function textOf({ content, refusal }: BodyMessage): string {
  if (content == null) return refusal ?? "";
  if (typeof content === "string") return content;
  return content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
}

/** What was thought, where it is a part of the content. */
function thoughtOf({ content }: BodyMessage): string {
  const parts = typeof content === "string" || content == null ? [] : content;
  const thoughts = parts.flatMap((part) => (part.type === "thinking" ? [part.thinking] : []));
  return thoughts
    .map((thought) => (typeof thought === "string" ? thought : thought.map(({ text }) => text).join("")))
    .join("\n");
}
