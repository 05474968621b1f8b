import type { ChatTurn, LoadedModel, Tool, ToolForm } from "../llama/types.js";

/** How functions and their calls are told to models whose templates have no place for them, or another form. */

/** The form in which many open models write calls: for configs whose base has none of its own. */
export const plainToolForm: ToolForm = {
  opening: `<tool_call>{"name": "`,
  middle: `", "arguments": `,
  between: `}</tool_call>\n<tool_call>{"name": "`,
  ending: `}</tool_call>`,
};

/** An answer goes into every model, so all of a config's models write calls in the form of the base's prompt. */
export function knowsForm({ toolForm }: LoadedModel, form: ToolForm): boolean {
  if (toolForm === null) return false;
  return (["opening", "middle", "between", "ending"] as const).every((part) => toolForm[part] === form[part]);
}

/** The conversation without what a template may not know: functions in the system message, calls and results as text. */
export function asPlainTurns(turns: readonly ChatTurn[], tools: readonly Tool[], form: ToolForm): ChatTurn[] {
  const plain: ChatTurn[] = [];
  let isAfterTool = false;
  for (const { role, content, reasoning, toolCalls = [] } of turns) {
    const last = plain.at(-1);
    const text = role === "tool" ? `<tool_response>\n${content}\n</tool_response>` : content;
    // Results of calls made together come together: many templates want roles in turns.
    if (role === "tool" && isAfterTool && last) last.content += `\n${text}`;
    else {
      const parts = [text, writeCalls(toolCalls, form)].filter((part) => part !== "");
      plain.push({
        role: role === "tool" ? "user" : role,
        content: parts.join("\n"),
        ...(reasoning !== undefined && { reasoning }),
      });
    }
    isAfterTool = role === "tool";
  }
  return tools.length === 0 ? plain : withTools(plain, tools, form);
}

function withTools([first, ...rest]: ChatTurn[], tools: readonly Tool[], form: ToolForm): ChatTurn[] {
  const text = [
    "You may call these functions:",
    ...tools.map((tool) => JSON.stringify(tool)),
    `A call is written as ${writeCalls([{ name: "name", arguments: "{…}" }], form)}`,
  ].join("\n");
  if (first?.role === "system") return [{ role: "system", content: `${first.content}\n\n${text}` }, ...rest];
  return [{ role: "system", content: text }, ...(first ? [first] : []), ...rest];
}

/** Calls as an answer has them; one by one where the form has no more than one. */
function writeCalls(calls: readonly { name: string; arguments: string }[], form: ToolForm): string {
  const { opening, middle, between, ending } = form;
  const bodies = calls.map((call) => call.name + middle + call.arguments);
  return bodies.length === 0 ? "" : opening + bodies.join(between ?? `${ending}\n${opening}`) + ending;
}
