import type { ChatMessage, Prompt } from "../../engine/protocol.js";
import { ShouldersError } from "../../errors.js";
import type { ChatBody } from "./schemas.js";
import { writeCall } from "./tool-calls.js";
import { withTools, type ToolPlan } from "./tools.js";

type BodyMessage = ChatBody["messages"][number];

/** The conversation as the models' chat templates take it: system, user and assistant, all plain text. */
export function toConversation(body: ChatBody, tools: ToolPlan | null): Prompt {
  const messages: ChatMessage[] = [];
  let isAfterTool = false;
  for (const message of body.messages) {
    const turn = toMessage(message);
    const last = messages.at(-1);
    // Results of calls made together come together: many templates want roles in turns.
    if (message.role === "tool" && isAfterTool && last) last.content += `\n${turn.content}`;
    else messages.push(turn);
    isAfterTool = message.role === "tool";
  }
  return {
    type: "chat",
    messages: tools === null ? messages : withTools(messages, tools),
    ending: endingOf(body),
  };
}

function endingOf({
  messages,
  continue_final_message: continues,
  add_generation_prompt: addsPrompt,
}: ChatBody): "answer" | "continue" | "none" {
  if (continues !== true) return addsPrompt === false ? "none" : "answer";
  const refuse = (param: string, why: string) =>
    new ShouldersError("invalid_request", `Invalid '${param}': ${why}.`, { param });
  if (addsPrompt === true)
    throw refuse("add_generation_prompt", "it cannot be true together with continue_final_message");
  if (messages.at(-1)?.role !== "assistant")
    throw refuse("continue_final_message", "the last message must be the assistant's");
  return "continue";
}

function toMessage(message: BodyMessage): ChatMessage {
  const { role } = message;
  const text = textOf(message);
  switch (role) {
    case "user":
      return { role, content: text };
    case "assistant": {
      const calls = (message.tool_calls ?? []).map((call) =>
        writeCall(call.function.name, call.function.arguments),
      );
      return { role, content: [...(text === "" ? [] : [text]), ...calls].join("\n") };
    }
    case "tool":
      return { role: "user", content: `<tool_response>\n${text}\n</tool_response>` };
    case "system":
    case "developer":
      return { role: "system", content: text };
  }
}

function textOf({ content }: BodyMessage): string {
  if (content == null) return "";
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? part.text : "")).join("\n");
}
