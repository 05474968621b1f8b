import {
  GeneralChatWrapper,
  LlamaText,
  resolveChatWrapper,
  SpecialToken,
  SpecialTokensText,
} from "node-llama-cpp";
import type { ChatHistoryItem, ResolveChatWrapperOptions } from "node-llama-cpp";

import { present, ShouldersError } from "../errors.js";
import { createJinjaTemplate, type JinjaTemplate } from "./jinja-template.js";
import { switchVariables } from "./thinking-switch.js";
import type { Renderer } from "./turn-style.js";
import {
  tellsAll,
  type ChatOptions,
  type ChatTurn,
  type ThinkingForm,
  type ToolForm,
  type ToolTelling,
} from "./types.js";

/** Turns a conversation into the text of a prompt. */
export interface ChatTemplate {
  /** `file`: the model's own; otherwise the name of node-llama-cpp's template that stands in for it. */
  readonly source: string;
  /** Why the file's own is not used; null when it is. */
  readonly problem: string | null;
  /** Tells who runs the server that the file's template does not work, and what stands in; null: no need. */
  readonly warning: string | null;
  /**
   * Text that follows an assistant turn when the conversation goes on: what a model writes that does not end
   * its turn with a token. At most its first line.
   */
  readonly turnEnd: string;
  /** How it writes calls of functions; null: it has no place for them. */
  readonly toolForm: ToolForm | null;
  /** What of it the template writes by itself. */
  readonly toolTelling: ToolTelling;
  /** How it marks what a model thinks before it answers; null: it knows no thinking. */
  readonly thinking: ThinkingForm | null;
  /** @throws ShouldersError `invalid_request` when the template refuses these turns. */
  readonly render: (turns: readonly ChatTurn[], options?: ChatOptions) => string;
}

export interface ChatTemplateOptions {
  /** The Jinja template of the file, or null. */
  text: string | null;
  /** That for requests with functions, where the file has one of its own. */
  toolUseText?: string | null;
  /** Texts of the special tokens, empty when there is none. */
  bosText: string;
  eosText: string;
  architecture: string;
  /** Names by which a stand-in may be found. */
  modelName: string;
  fileName: string;
}

/**
 * The file's own template where it has one that works, rendered as Hugging Face's tokenizers and llama.cpp do
 * (trim_blocks, lstrip_blocks, a generation prompt at the end). A model is tuned on exactly this text: a space
 * more at its end is another token.
 */
export function createChatTemplate(options: ChatTemplateOptions): ChatTemplate {
  if (options.text === null) return createStandIn(options, "the file has no chat template");
  try {
    const plain = createJinjaTemplate(options.text, options);
    const forTools = options.toolUseText == null ? plain : createJinjaTemplate(options.toolUseText, options);
    const { thinking } = plain;
    const renderPlain = renderWith(plain);
    const renderTools = forTools === plain ? renderPlain : renderWith(forTools);
    return {
      source: "file",
      problem: null,
      warning: null,
      toolForm: forTools.toolSupport?.form ?? null,
      toolTelling: forTools.toolSupport?.telling ?? tellsAll,
      thinking: thinking?.form ?? null,
      turnEnd: findTurnEnd(plain.render),
      render: (turns, asked = {}) =>
        refuse(options.fileName, () => {
          const hasTools = (asked.tools?.length ?? 0) > 0 || turns.some(({ toolCalls }) => toolCalls?.length);
          return (hasTools ? renderTools : renderPlain)(turns, asked);
        }),
    };
  } catch (error) {
    return createStandIn(options, `the file's chat template does not work: ${messageOf(error)}`);
  }
}

function renderWith({ render, toolSupport, thinking }: JinjaTemplate) {
  const takesSystem = checkSystemRole(render);
  const takesSeveral = toolSupport?.form.between !== null;
  return (turns: readonly ChatTurn[], asked: ChatOptions): string => {
    const own = takesSystem ? turns : withoutSystem(turns);
    return renderTo(takesSeveral ? own : withSingleCalls(own), render, asked, thinking?.form ?? null);
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refuse(fileName: string, render: () => string): string {
  try {
    return render();
  } catch (cause) {
    throw new ShouldersError(
      "invalid_request",
      `The chat template of ${fileName} refuses these messages: ${messageOf(cause)}`,
      { param: "messages", cause },
    );
  }
}

/** Stands behind the text of a message that is to be continued; the space tells whether the template trims. */
const endMark = "\u{e0fe}continues ";

/**
 * A last message that is continued is cut where its text ends: what a template writes after it would end the turn.
 * Where nothing is to be thought, a thought that the prompt begins is ended.
 */
function renderTo(
  turns: readonly ChatTurn[],
  render: Renderer,
  { ending = "answer", tools = [], variables = {}, isThinking = null, effort = null }: ChatOptions,
  thinking: ThinkingForm | null,
): string {
  const options = { addGenerationPrompt: ending === "answer", tools };
  if (ending !== "continue") {
    const text = firstThatWorks(switchVariables(isThinking, effort), (switched) =>
      render(turns, { ...options, variables: { ...switched, ...variables } }),
    );
    if (ending === "none" || isThinking !== false || !opensThought(text, thinking)) return text;
    return `${text}${text.endsWith("\n") ? "\n" : ""}${thinking?.closing ?? ""}\n\n`;
  }
  const last = present(turns.at(-1), "message to continue");
  const marked = [...turns.slice(0, -1), { ...last, content: last.content + endMark }];
  const text = render(marked, { ...options, variables });
  const at = text.lastIndexOf(endMark.trimEnd());
  if (at < 0) throw new TypeError("it leaves out the last message, which was to be continued");
  const before = text.slice(0, at);
  if (text.startsWith(endMark, at) || last.content.trim() === "") return before;
  const space = last.content.slice(last.content.trimEnd().length);
  return before.endsWith(space) ? before.slice(0, before.length - space.length) : before;
}

/** Templates refuse values that they do not know. */
function firstThatWorks<Input>(inputs: readonly Input[], render: (input: Input) => string): string {
  let problem: unknown = null;
  for (const input of inputs) {
    try {
      return render(input);
    } catch (error) {
      problem ??= error;
    }
  }
  throw problem;
}

/** Whether an answer after this prompt begins within a thought. */
export function opensThought(prompt: string, thinking: ThinkingForm | null): boolean {
  return thinking !== null && thinking.opening !== "" && prompt.trimEnd().endsWith(thinking.opening);
}

const probe = { user: "shoulders-user", answer: "shoulders-answer", next: "shoulders-next" } as const;

/** @returns whether a system message appears in the prompt: some templates refuse it, some drop it silently. */
function checkSystemRole(render: Renderer): boolean {
  try {
    const turns: ChatTurn[] = [
      { role: "system", content: "shoulders-system" },
      { role: "user", content: probe.user },
    ];
    return render(turns, { addGenerationPrompt: true, tools: [] }).includes("shoulders-system");
  } catch {
    return false;
  }
}

/** Puts system messages in front of the user's next message, as llama.cpp does for such templates. */
function withoutSystem(turns: readonly ChatTurn[]): ChatTurn[] {
  const result: ChatTurn[] = [];
  let pending: string[] = [];
  for (const turn of turns) {
    if (turn.role === "system") pending.push(turn.content);
    else if (turn.role === "user" && pending.length > 0) {
      result.push({ role: "user", content: [...pending, turn.content].join("\n") });
      pending = [];
    } else result.push(turn);
  }
  if (pending.length > 0) result.push({ role: "user", content: pending.join("\n") });
  return result;
}

/** Gives calls made together a turn each, followed by its result, for templates that take no more. */
function withSingleCalls(turns: readonly ChatTurn[]): ChatTurn[] {
  const resultsOf = new Map<string, { turn: ChatTurn; index: number }[]>();
  for (const [index, turn] of turns.entries()) {
    if (turn.toolCallId === undefined) continue;
    const results = resultsOf.get(turn.toolCallId) ?? [];
    results.push({ turn, index });
    resultsOf.set(turn.toolCallId, results);
  }
  const isMoved = new Set<ChatTurn>();
  return turns.flatMap((turn, index) => {
    if (isMoved.has(turn)) return [];
    const { toolCalls = [], ...rest } = turn;
    if (toolCalls.length < 2) return [turn];
    return toolCalls.flatMap((call, nth) => {
      const results = resultsOf.get(call.id) ?? [];
      // Those before belong to calls before.
      while ((results[0]?.index ?? index) < index) results.shift();
      const result = results.shift()?.turn;
      if (result) isMoved.add(result);
      return [
        { ...rest, content: nth === 0 ? turn.content : "", toolCalls: [call] },
        ...(result ? [result] : []),
      ];
    });
  });
}

/** What the template writes between an answer and the user's next message, up to the end of its first line. */
function findTurnEnd(render: Renderer): string {
  try {
    const text = render(
      [
        { role: "user", content: probe.user },
        { role: "assistant", content: probe.answer },
        { role: "user", content: probe.next },
      ],
      { addGenerationPrompt: false, tools: [] },
    );
    const start = text.indexOf(probe.answer) + probe.answer.length;
    const end = text.indexOf(probe.next, start);
    if (start < probe.answer.length || end < 0) return "";
    return /^\s*[^\n]*/.exec(text.slice(start, end))?.[0].trimEnd() ?? "";
  } catch {
    return "";
  }
}

/** A template of node-llama-cpp, chosen by the model's name; "### Human" and "### Assistant" for an unknown one. */
function createStandIn(options: ChatTemplateOptions, problem: string): ChatTemplate {
  const { bosText, eosText, architecture, modelName, fileName } = options;
  const wrapper =
    resolveChatWrapper({
      bosString: bosText,
      filename: fileName,
      fileInfo: { metadata: { general: { architecture, name: modelName } } },
      noJinja: true,
      warningLogs: false,
    } as unknown as ResolveChatWrapperOptions) ?? new GeneralChatWrapper();
  const render: Renderer = (turns) => {
    const chatHistory = [...turns.map(toHistoryItem), { type: "model" as const, response: [] }];
    const { contextText } = wrapper.generateContextState({ chatHistory });
    return textOf(contextText, { BOS: bosText, EOS: eosText });
  };
  return {
    source: wrapper.wrapperName,
    problem,
    warning:
      options.text === null ? null : `${problem}; the template "${wrapper.wrapperName}" stands in for it`,
    toolForm: null,
    toolTelling: tellsAll,
    thinking: null,
    turnEnd: findTurnEnd(render),
    render: (turns, asked = {}) => refuse(fileName, () => renderTo(turns, render, asked, null)),
  };
}

function toHistoryItem({ role, content }: ChatTurn): ChatHistoryItem {
  if (role === "assistant") return { type: "model", response: [content] };
  return { type: role === "system" ? "system" : "user", text: content };
}

function textOf(text: LlamaText, specials: Readonly<Record<string, string>>): string {
  return text.values
    .map((value) => {
      if (value instanceof SpecialToken) return specials[value.value] ?? "";
      return value instanceof SpecialTokensText ? value.value : value;
    })
    .join("");
}
