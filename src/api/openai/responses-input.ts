import { fieldError } from "../../errors.js";
import type { ResponseItem } from "../../wire/response-item.js";
import { newId } from "../completion/plan.js";
import type { InputItem, ResponsesBody } from "./responses-schema.js";

/** What a request of `/v1/responses` sends, as items that are kept and as turns of a chat completion. */

/** An item, and what the client calls it. */
export interface SentItem {
  item: ResponseItem;
  /** `input.3`, or `previous_response_id` for all that came before. */
  name: string;
}

type Parts = Exclude<Extract<InputItem, { role: string }>["content"], string>;

type MessageInput = Extract<InputItem, { role: string }>;
type TextItem = Extract<
  InputItem,
  | MessageInput
  | {
      type:
        | "function_call"
        | "function_call_output"
        | "custom_tool_call"
        | "custom_tool_call_output"
        | "reasoning";
    }
>;

/**
 * The items of a request, each with an id.
 *
 * @param find an item of a response that is kept
 * @param field what the client calls them
 * @throws ShouldersError that names a reference to what is not kept
 */
export async function sentItems(
  { input }: Pick<ResponsesBody, "input">,
  find: (id: string) => Promise<ResponseItem | null>,
  field = "input",
): Promise<SentItem[]> {
  if (typeof input === "string")
    return [{ item: toMessage({ role: "user", content: input }), name: "input" }];
  const sent: SentItem[] = [];
  for (const [index, given] of input.entries()) {
    const name = `${field}.${index}`;
    // The schema refuses the others.
    const item = given.type === "item_reference" ? await find(given.id) : toItem(given as TextItem);
    if (item === null) throw fieldError(`${name}.id`, "no item of this id is kept; send the item itself");
    sent.push({ item, name });
  }
  return sent;
}

function toItem(given: TextItem): ResponseItem {
  const status = "completed";
  switch (given.type) {
    case "function_call": {
      const { id, type, call_id, name, arguments: json } = given;
      return { id: id ?? newId("fc_"), type, status, call_id, name, arguments: json };
    }
    case "custom_tool_call": {
      const { id, type, call_id, name, input } = given;
      return { id: id ?? newId("ctc_"), type, status, call_id, name, input };
    }
    case "function_call_output":
    case "custom_tool_call_output": {
      const { id, type, call_id, output } = given;
      const told = typeof output === "string" ? output : textsOf(output).map(inputText);
      return { id: id ?? newId("fco_"), type, status, call_id, output: told };
    }
    case "reasoning": {
      const { id, type, summary, content, encrypted_content } = given;
      const texts = { content: textsOf(content ?? []), summary: textsOf(summary ?? []) };
      return {
        ...{ id: id ?? newId("rs_"), type, status },
        summary: texts.summary.map((text) => ({ type: "summary_text", text })),
        content: texts.content.map((text) => ({ type: "reasoning_text", text })),
        ...(encrypted_content != null && { encrypted_content }),
      };
    }
    case "message":
    case undefined:
    case null:
      return toMessage(given);
  }
}

function toMessage({
  id,
  role,
  content,
}: Pick<Extract<InputItem, { role: string }>, "id" | "role" | "content">) {
  const texts = typeof content === "string" ? [content] : textsOf(content);
  const own = { id: id ?? newId("msg_"), type: "message", status: "completed" } as const;
  if (role !== "assistant") return { ...own, role, content: texts.map(inputText) };
  return {
    ...own,
    role,
    content: texts.map((text) => ({ type: "output_text" as const, text, annotations: [], logprobs: [] })),
  };
}

const inputText = (text: string) => ({ type: "input_text", text }) as const;

function textsOf(parts: Parts): string[] {
  return parts.map((part) =>
    part.type === "refusal" ? part.refusal : "text" in part ? (part.text as string) : "",
  );
}

/** A turn of a chat completion's body. */
interface Turn {
  role: string;
  content: string | { type: "text"; text: string }[] | null;
  reasoning_content?: string;
  tool_calls?: object[];
  tool_call_id?: string;
}

export interface Turns {
  messages: Turn[];
  /** What the client calls each of them. */
  names: string[];
}

/** Turns of a conversation. What was thought, said and called in one answer is one turn. */
export function toTurns(instructions: string | null | undefined, items: readonly SentItem[]): Turns {
  const turns: Turns = { messages: [], names: [] };
  const add = (turn: Turn, name: string): Turn => {
    turns.messages.push(turn);
    turns.names.push(name);
    return turn;
  };
  if (instructions != null) add({ role: "system", content: instructions }, "instructions");
  // The answer that the last items were of.
  let answer: Turn | null = null;
  for (const { item, name } of items) {
    switch (item.type) {
      case "reasoning": {
        if (answer === null || answer.content !== null || answer.tool_calls !== undefined)
          answer = add({ role: "assistant", content: null }, name);
        answer.reasoning_content = (answer.reasoning_content ?? "") + thoughtOf(item);
        break;
      }
      case "function_call":
      case "custom_tool_call": {
        answer ??= add({ role: "assistant", content: null }, name);
        answer.tool_calls = [...(answer.tool_calls ?? []), toCall(item)];
        break;
      }
      case "function_call_output":
      case "custom_tool_call_output": {
        answer = null;
        const { output, call_id } = item;
        const content = typeof output === "string" ? output : output.map(textPart);
        add({ role: "tool", content, tool_call_id: call_id }, name);
        break;
      }
      case "message": {
        const content = item.content.map(textPart);
        if (item.role !== "assistant") {
          answer = null;
          add({ role: item.role, content }, name);
        } else if (answer !== null && answer.content === null && answer.tool_calls === undefined)
          answer.content = content;
        else answer = add({ role: "assistant", content }, name);
      }
    }
  }
  return turns;
}

type CallItem = Extract<ResponseItem, { type: "function_call" | "custom_tool_call" }>;

function toCall(item: CallItem): object {
  const { call_id: id, name } = item;
  return item.type === "function_call"
    ? { id, type: "function", function: { name, arguments: item.arguments } }
    : { id, type: "custom", custom: { name, input: item.input } };
}

const textPart = ({ text }: { text: string }) => ({ type: "text", text }) as const;

function thoughtOf({
  content,
  summary,
  encrypted_content: sealed,
}: Extract<ResponseItem, { type: "reasoning" }>): string {
  const texts = content.length > 0 ? content : summary;
  if (texts.length > 0 || sealed === undefined) return texts.map(({ text }) => text).join("\n");
  return Buffer.from(sealed, "base64").toString("utf8");
}
