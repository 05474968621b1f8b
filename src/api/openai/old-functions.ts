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

/** A call that a message has in a field of its own, and what came of it, as tools have them. */
export function withoutFunctions(given: readonly unknown[]): Messages {
  const names: Messages["names"] = {};
  let id = "function_0";
  const messages = given.map((message, at) => {
    if (!isObject(message)) return message;
    const { function_call: called, ...rest } = message;
    if (rest["role"] === "function") return { ...rest, role: "tool", tool_call_id: id };
    if (!isObject(called) || !isNothing(rest["tool_calls"])) return message;
    id = `function_${at}`;
    const path = `messages.${at}.function_call`;
    for (const inner of ["", ".0", ".0.function"]) names[`messages.${at}.tool_calls${inner}`] = path;
    return { ...rest, tool_calls: [{ id, type: "function", function: called }] };
  });
  return { messages, names };
}
