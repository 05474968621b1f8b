import { isDeepStrictEqual } from "node:util";
import { writeCalls } from "./written-calls.js";
import { bareQuote, type ChatTurn, type ChatRenderer, type Tool, type ToolForm } from "../llama/types.js";

/** How functions and their calls are told to models whose templates have no place for them, or another form. */

/** The form in which many open models write calls: for configs whose base has none of its own. */
export const plainToolForm: ToolForm = {
  opening: `<tool_call>{"name": "`,
  middle: `", "arguments": `,
  between: `}</tool_call>\n<tool_call>{"name": "`,
  ending: `}</tool_call>`,
};

/** An answer goes into every model, so all of a config's models write calls in the form of the base's prompt. */
export function knowsForm({ toolForm }: ChatRenderer, form: ToolForm): boolean {
  return toolForm !== null && isDeepStrictEqual(toolForm, form);
}

/** All texts that calls are written with: answers are read as text, so control tokens among them must be seen. */
export function textsOf(form: ToolForm): string[] {
  const leaves = (value: unknown): string[] => {
    if (typeof value === "string") return [value];
    return typeof value === "object" && value !== null ? Object.values(value).flatMap(leaves) : [];
  };
  return [...leaves(form), ...(form.tags?.literals === "bare" ? [bareQuote] : [])];
}

/** The conversation and its functions with what a template of the same form does not write by itself. */
export function asToldTurns(
  turns: readonly ChatTurn[],
  tools: readonly Tool[],
  { toolForm: form, toolTelling: { functions, calls } }: ChatRenderer,
): { turns: ChatTurn[]; tools: readonly Tool[] } {
  if (form === null) return { turns: [...turns], tools };
  const told = calls ? [...turns] : turns.map((turn) => withWrittenCalls(turn, form));
  return functions || tools.length === 0
    ? { turns: told, tools }
    : { turns: withTools(told, tools, form), tools: [] };
}

function withWrittenCalls({ toolCalls = [], ...turn }: ChatTurn, form: ToolForm): ChatTurn {
  const parts = [turn.content, writeCalls(toolCalls, form)].filter((part) => part !== "");
  return { ...turn, content: parts.join("\n") };
}

/** The conversation without what a template may not know: functions in the system message, calls and results as text. */
export function asPlainTurns(turns: readonly ChatTurn[], tools: readonly Tool[], form: ToolForm): ChatTurn[] {
  const plain: ChatTurn[] = [];
  let isAfterTool = false;
  for (const turn of turns) {
    const isTool = turn.role === "tool";
    const last = plain.at(-1);
    const { role, content, reasoning } = withWrittenCalls(turn, form);
    const text = isTool ? `<tool_response>\n${content}\n</tool_response>` : content;
    // Results of calls made together come together: many templates want roles in turns.
    if (isTool && isAfterTool && last) last.content += `\n${text}`;
    else
      plain.push({
        role: isTool ? "user" : role,
        content: text,
        ...(reasoning !== undefined && { reasoning }),
      });
    isAfterTool = isTool;
  }
  return tools.length === 0 ? plain : withTools(plain, tools, form);
}

function withTools([first, ...rest]: ChatTurn[], tools: readonly Tool[], form: ToolForm): ChatTurn[] {
  const example = { id: "", name: "name", arguments: form.tags ? '{"key": "value"}' : "{…}" };
  const text = [
    "You may call these functions:",
    ...tools.map((tool) => JSON.stringify(tool)),
    `A call is written as ${writeCalls([example], form)}`,
  ].join("\n");
  if (first?.role === "system") return [{ role: "system", content: `${first.content}\n\n${text}` }, ...rest];
  return [{ role: "system", content: text }, ...(first ? [first] : []), ...rest];
}
