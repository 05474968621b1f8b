import { createHash } from "node:crypto";
import { toolIdMark, type ChatTurn, type Tool, type ToolForm } from "./types.js";

/** Reads off a template how it writes calls of functions, by rendering some whose parts are known. */

/** How a template takes a call's arguments: most as an object, some as its JSON text. */
export type ArgumentsAs = "object" | "text";

export interface ToolSupport {
  form: ToolForm;
  argumentsAs: ArgumentsAs;
}

export interface ProbeOptions {
  addGenerationPrompt: boolean;
  tools: readonly Tool[];
  argumentsAs: ArgumentsAs;
}

type Probe = (turns: readonly ChatTurn[], options: ProbeOptions) => string;

const names = ["shoulders_one", "shoulders_two"] as const;
/** Nine letters or digits, as Mistral's templates ask. */
const ids = ["shoulder1", "shoulder2"] as const;
const givenArguments = `{"shoulders_key": "shoulders_value"}`;
const spacedArguments = String.raw`\{\s*"shoulders_key":\s*"shoulders_value"\s*\}`;
const answer = "shoulders-answer";
const result = "shoulders-result";

const question: ChatTurn = { role: "user", content: "shoulders-question" };
const tools = names.map((name): Tool => ({
  name,
  description: name,
  parameters: { type: "object", properties: {} },
}));

/** An id of nine letters or digits for any id: the same for the same one. */
export function shortId(id: string): string {
  return /^[a-zA-Z0-9]{9}$/.test(id) ? id : createHash("sha256").update(id).digest("hex").slice(0, 9);
}

/** @returns null when the template says nothing of functions, or writes their arguments otherwise than as JSON. */
export function findToolSupport(render: Probe): ToolSupport | null {
  for (const argumentsAs of ["object", "text"] as const) {
    try {
      const form = findForm((turns, addGenerationPrompt) =>
        render(turns, { addGenerationPrompt, tools, argumentsAs }),
      );
      return form && { form, argumentsAs };
    } catch {
      // A template that joins arguments to a text takes no object.
    }
  }
  return null;
}

type Render = (turns: readonly ChatTurn[], addGenerationPrompt: boolean) => string;

function findForm(render: Render): ToolForm | null {
  if (!render([question], true).includes(names[0])) return null;
  const back: ChatTurn = { role: "tool", content: result, toolCallId: ids[0] };
  const isTold = render([question, turnWith(1), back], true).includes(result);
  const [written, middle, after] = callsOf(render, 1);
  if (!isTold || written === undefined || middle === undefined || after === undefined) return null;
  // What a model thinks before, or white space, is text.
  const opening = (written.split("</think>").at(-1) ?? "").trimStart();
  // Without them calls could not be told from text, or a name from what follows.
  if (opening.length < 3 || !/^[^\w-]/.test(middle)) return null;
  const ending = withoutTurnEnd(after, turnEnd(render));
  return { opening, middle, between: betweenOf(render, [written, middle, after]), ending };
}

/** What stands between two calls; null: the template allows only one, or writes two in another form. */
function betweenOf(render: Render, [opening, middle, after]: string[]): string | null {
  try {
    const [first, ofFirst, between, ofSecond, last] = callsOf(render, 2);
    const isSame = first === opening && ofFirst === middle && ofSecond === middle && last === after;
    return isSame ? (between ?? null) : null;
  } catch {
    return null;
  }
}

function turnWith(numCalls: 1 | 2): ChatTurn {
  const toolCalls = names.slice(0, numCalls).map((name, index) => ({
    id: ids[index] as string,
    name,
    arguments: givenArguments,
  }));
  return { role: "assistant", content: "", toolCalls };
}

/** The texts before, between and after the names and arguments of an answer with so many calls; none: another form. */
function callsOf(render: Render, numCalls: 1 | 2): string[] {
  const text = answerOf(render, turnWith(numCalls));
  const calls = names.slice(0, numCalls).map((name) => `${name}([^]*?)${spacedArguments}`);
  const parts = new RegExp(`^([^]*?)${calls.join("([^]*?)")}([^]*)$`).exec(text)?.slice(1) ?? [];
  if (parts.some((part) => part.includes("shoulders_"))) return [];
  return parts.map((part) => ids.reduce((all, id) => all.replaceAll(id, toolIdMark), part));
}

/** What the template writes for a turn after the prompt; some begin an answer otherwise than they end a prompt. */
function answerOf(render: Render, turn: ChatTurn): string {
  const text = render([question, turn], false);
  const prompt = render([question], true);
  if (text.startsWith(prompt)) return text.slice(prompt.length);
  const plain = render([question, { role: "assistant", content: answer }], false);
  const head = plain.slice(0, plain.lastIndexOf(answer));
  return text.startsWith(head) ? text.slice(head.length) : "";
}

function turnEnd(render: Render): string {
  const plain = render([question, { role: "assistant", content: answer }], false);
  return plain.slice(plain.lastIndexOf(answer) + answer.length);
}

/** Leaves out what a plain answer ends with too, from where a token or white space begins: it ends the turn. */
function withoutTurnEnd(text: string, end: string): string {
  let length = 0;
  while (length < Math.min(text.length, end.length) && text.at(-1 - length) === end.at(-1 - length)) length++;
  while (length > 0 && length < end.length && !/[<[\s]/.test(text.at(-length) ?? "")) length--;
  return text.slice(0, text.length - length);
}
