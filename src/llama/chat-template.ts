import { Template } from "@huggingface/jinja";
import {
  GeneralChatWrapper,
  LlamaText,
  resolveChatWrapper,
  SpecialToken,
  SpecialTokensText,
} from "node-llama-cpp";
import type { ChatHistoryItem, ResolveChatWrapperOptions } from "node-llama-cpp";

import { ShouldersError } from "../errors.js";
import type { ChatEnding, ChatTurn } from "./types.js";

/** Turns a conversation into the text of a prompt. */
export interface ChatTemplate {
  /** `file`: the model's own; otherwise the name of node-llama-cpp's template that stands in for it. */
  readonly source: string;
  /** Why the file's own is not used; null when it is. */
  readonly problem: string | null;
  /**
   * Text that follows an assistant turn when the conversation goes on: what a model writes that does not end
   * its turn with a token. At most its first line.
   */
  readonly turnEnd: string;
  /** @throws ShouldersError `invalid_request` when the template refuses these turns. */
  readonly render: (turns: readonly ChatTurn[], ending?: ChatEnding) => string;
}

export interface ChatTemplateOptions {
  /** The Jinja template of the file, or null. */
  text: string | null;
  /** Texts of the special tokens, empty when there is none. */
  bosText: string;
  eosText: string;
  architecture: string;
  /** Names by which a stand-in may be found. */
  modelName: string;
  fileName: string;
}

interface Message {
  role: string;
  content: string | { type: "text"; text: string }[];
}

type Renderer = (messages: readonly ChatTurn[], addGenerationPrompt: boolean) => string;

/**
 * The file's own template where it has one that works, rendered as Hugging Face's tokenizers and llama.cpp do
 * (trim_blocks, lstrip_blocks, a generation prompt at the end). A model is tuned on exactly this text: a space
 * more at its end is another token.
 */
export function createChatTemplate(options: ChatTemplateOptions): ChatTemplate {
  if (options.text === null) return createStandIn(options, "the file has no chat template");
  try {
    const render = createJinjaRenderer(options.text, options);
    const takesSystem = checkSystemRole(render);
    return {
      source: "file",
      problem: null,
      turnEnd: findTurnEnd(render),
      render: (turns, ending) =>
        refuse(() => renderTo(ending, takesSystem ? turns : withoutSystem(turns), render)),
    };
  } catch (error) {
    return createStandIn(options, `the file's chat template does not work: ${messageOf(error)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refuse(render: () => string): string {
  try {
    return render();
  } catch (cause) {
    throw new ShouldersError(
      "invalid_request",
      `The model's chat template refuses these messages: ${messageOf(cause)}`,
      { param: "messages", cause },
    );
  }
}

/** The last message is cut where its text ends: what a template writes after it would end the turn. */
function renderTo(ending: ChatEnding = "answer", turns: readonly ChatTurn[], render: Renderer): string {
  const text = render(turns, ending === "answer");
  if (ending !== "continue") return text;
  const last = turns.at(-1)?.content.trim() ?? "";
  const at = text.lastIndexOf(last);
  if (at < 0) throw new TypeError("it leaves out the last message, which was to be continued");
  return text.slice(0, at + last.length);
}

const probe = { user: "shoulders-user", answer: "shoulders-answer", next: "shoulders-next" } as const;

/** Some templates take a message's content as text, others only as a list of parts. */
function createJinjaRenderer(text: string, { bosText, eosText }: ChatTemplateOptions): Renderer {
  const template = new Template(text);
  const renderWith =
    (toMessage: (turn: ChatTurn) => Message): Renderer =>
    (turns, addGenerationPrompt) =>
      template.render({
        messages: turns.map(toMessage),
        add_generation_prompt: addGenerationPrompt,
        bos_token: bosText,
        eos_token: eosText,
      });
  const plain = renderWith(({ role, content }) => ({ role, content }));
  const inParts = renderWith(({ role, content }) => ({ role, content: [{ type: "text", text: content }] }));
  const turns: ChatTurn[] = [{ role: "user", content: probe.user }];
  let problem: unknown = new TypeError("it leaves out what the user said");
  for (const render of [plain, inParts]) {
    try {
      if (render(turns, true).includes(probe.user)) return render;
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}

/** @returns whether a system message appears in the prompt: some templates refuse it, some drop it silently. */
function checkSystemRole(render: Renderer): boolean {
  try {
    const turns: ChatTurn[] = [
      { role: "system", content: "shoulders-system" },
      { role: "user", content: probe.user },
    ];
    return render(turns, true).includes("shoulders-system");
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

/** What the template writes between an answer and the user's next message, up to the end of its first line. */
function findTurnEnd(render: Renderer): string {
  try {
    const text = render(
      [
        { role: "user", content: probe.user },
        { role: "assistant", content: probe.answer },
        { role: "user", content: probe.next },
      ],
      false,
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
    turnEnd: findTurnEnd(render),
    render: (turns, ending) => refuse(() => renderTo(ending, turns, render)),
  };
}

function toHistoryItem({ role, content }: ChatTurn): ChatHistoryItem {
  return role === "assistant" ? { type: "model", response: [content] } : { type: role, text: content };
}

function textOf(text: LlamaText, specials: Readonly<Record<string, string>>): string {
  return text.values
    .map((value) => {
      if (value instanceof SpecialToken) return specials[value.value] ?? "";
      return value instanceof SpecialTokensText ? value.value : value;
    })
    .join("");
}
