import { isObject } from "../../grammar/json/json-schema.js";
import { isNothing } from "./other-fields.js";

/** OpenAI's first way to call functions, which older programs have: tools of today, and one call an answer. */

/** Whether a chat names its functions so, and is to be answered so. */
export function namesFunctions(body: unknown): boolean {
  return isObject(body) && !isNothing(body["functions"]) && isNothing(body["tools"]);
}

/** Messages, and what the client calls a field of them: the path here to the path in its body. */
interface Messages {
  messages: unknown[];
  names: Record<string, string>;
}

/** A call that a message has in a field of its own, what came of it, and results as programs write them. */
export function withoutFunctions(given: readonly unknown[]): Messages {
  const names: Messages["names"] = {};
  let calls: { id: string; name: unknown }[] = [];
  const messages = given.map((message, at) => {
    if (!isObject(message)) return message;
    const { function_call: called, ...rest } = message;
    const { role, content, tool_calls: tools } = rest;
    if (role === "function" || role === "tool") {
      const id = answeredCall(rest, calls);
      calls = calls.filter((call) => call.id !== id);
      return {
        ...rest,
        role: "tool",
        content: resultOf(content),
        ...(id !== undefined && { tool_call_id: id }),
      };
    }
    if (role !== "assistant") return message;
    if (Array.isArray(tools) && tools.length > 0) calls = tools.map(callOf);
    if (!isObject(called) || !isNothing(tools)) return message;
    const id = `function_${at}`;
    calls = [{ id, name: called["name"] }];
    const path = `messages.${at}.function_call`;
    for (const inner of ["", ".0", ".0.function"]) names[`messages.${at}.tool_calls${inner}`] = path;
    return { ...rest, tool_calls: [{ id, type: "function", function: called }] };
  });
  return { messages, names };
}

function callOf(call: unknown): { id: string; name: unknown } {
  const { id, function: named } = isObject(call) ? call : {};
  return { id: typeof id === "string" ? id : "", name: isObject(named) ? named["name"] : undefined };
}

/** The call whose result it is: where it does not say, the first that is open and has its name. */
function answeredCall(message: Record<string, unknown>, calls: readonly { id: string; name: unknown }[]) {
  const { tool_call_id: id, name, tool_name: toolName = name } = message;
  if (typeof id === "string") return id;
  if (id != null) return undefined;
  const open = calls.find((call) => call.name === toolName) ?? (toolName == null ? calls[0] : undefined);
  return open?.id ?? (message["role"] === "function" ? "function_0" : undefined);
}

/** What a function gave, where a program did not write it as text. */
function resultOf(content: unknown): unknown {
  const isValue = typeof content === "number" || typeof content === "boolean" || isObject(content);
  return isValue ? JSON.stringify(content) : content;
}
