import { strftime } from "../jinja/strftime.js";
import { Template } from "../jinja/template.js";
import { findThinking, type Thinking } from "./thinking-form.js";
import { callId, findToolSupport, type ToolSupport } from "./tool-form.js";
import { plainStyle, type Renderer, type RenderOptions, type TurnStyle } from "./turn-style.js";
import type { ChatTurn, Tool } from "./types.js";

/** A template of a model file, as its makers render it. */
export interface JinjaTemplate {
  render: Renderer;
  /** null: it has no place for functions. */
  toolSupport: ToolSupport | null;
  /** null: it knows no thinking. */
  thinking: Thinking | null;
}

interface Message {
  role: string;
  content: string | object[] | null;
  [field: string]: unknown;
}

const probe: ChatTurn = { role: "user", content: "shoulders-user" };

/**
 * Some templates take a message's content as text, others only as a list of parts; some need a list of tools.
 *
 * @throws what is wrong with the template
 */
export function createJinjaTemplate(
  text: string,
  specials: { bosText: string; eosText: string },
): JinjaTemplate {
  const template = new Template(text);
  const renderWith =
    (hasParts: boolean, noTools: [] | undefined) =>
    (
      turns: readonly ChatTurn[],
      { tools, variables, ...options }: RenderOptions,
      style: TurnStyle,
    ): string => {
      const nameOf = namesOfCalls(turns);
      return template.render(
        {
          ...olderVariables(tools),
          ...variables,
          messages: turns.map((turn) => toMessage(turn, nameOf, style, hasParts)),
          add_generation_prompt: options.addGenerationPrompt,
          bos_token: specials.bosText,
          eos_token: specials.eosText,
          tools: tools.length > 0 ? tools.map((tool) => ({ type: "function", function: tool })) : noTools,
        },
        lengthOf(turns) + (tools.length > 0 ? JSON.stringify(tools).length : 0),
      );
    };
  // The last is made for requests with tools alone.
  const ways = [renderWith(false, undefined), renderWith(true, undefined), renderWith(false, [])];
  let problem: unknown = new TypeError("it leaves out what the user said");
  for (const way of ways) {
    try {
      const plain = { addGenerationPrompt: true, tools: [] };
      if (!way([probe], plain, plainStyle).includes(probe.content)) continue;
      const thoughts = findThinking(way, text);
      const toolSupport = findToolSupport(way, thoughts?.form ?? null);
      const thinking = thoughts ?? answersOnly(toolSupport?.answerMark ?? "");
      const style = { ...plainStyle, ...toolSupport?.style, reasoningAs: thinking?.reasoningAs ?? null };
      return { toolSupport, thinking, render: (turns, options) => way(turns, options, style) };
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}

/** Of a template whose answers have a mark, although nothing is thought before them. */
function answersOnly(answer: string): Thinking | null {
  return answer === "" ? null : { form: { opening: "", closing: "", answer }, reasoningAs: null };
}

/** What templates from before `tools` ask for: functions as JSON text, and the date. */
function olderVariables(tools: readonly Tool[]): Record<string, string> {
  return {
    functions: tools.length > 0 ? JSON.stringify(tools, null, 4) : "",
    datetime: strftime(new Date(), "%Y-%m-%d"),
  };
}

/** Id of a call to the name of its function; of calls with one id, the first. */
function namesOfCalls(turns: readonly ChatTurn[]): Map<string, string> {
  const calls = turns.flatMap(({ toolCalls = [] }) => toolCalls);
  return new Map(calls.reverse().map(({ id, name }) => [id, name]));
}

function lengthOf(turns: readonly ChatTurn[]): number {
  const texts = turns.flatMap(({ content, reasoning = "", toolCalls = [] }) => [
    content,
    reasoning,
    ...toolCalls.map((call) => call.arguments),
  ]);
  return texts.reduce((sum, text) => sum + text.length, 0);
}

function toMessage(
  { role, content, reasoning = "", toolCalls = [], toolCallId }: ChatTurn,
  nameOf: ReadonlyMap<string, string>,
  { argumentsAs, callIds, emptyAs, reasoningAs }: TurnStyle,
  hasParts: boolean,
): Message {
  const isEmpty = emptyAs === "null" && content === "" && toolCalls.length > 0;
  const text = isEmpty ? null : content;
  const message: Message = { role, content: hasParts ? [{ type: "text", text: content }] : text };
  if (reasoning !== "" && reasoningAs === "part")
    message.content = [
      { type: "thinking", thinking: reasoning },
      ...(content === "" ? [] : [{ type: "text", text: content }]),
    ];
  else if (reasoning !== "" && reasoningAs !== null) message[reasoningAs] = reasoning;
  if (toolCalls.length > 0)
    message["tool_calls"] = toolCalls.map((call, index) => ({
      id: callId(call.id, callIds, call.name, index),
      type: "function",
      function: {
        name: call.name,
        arguments: argumentsAs === "object" ? parsed(call.arguments) : call.arguments,
      },
    }));
  if (toolCallId !== undefined) {
    const name = nameOf.get(toolCallId);
    message["tool_call_id"] = callId(toolCallId, callIds, name ?? "", 0);
    if (name !== undefined) message["name"] = name;
  }
  return message;
}

/** Arguments that a client sends back may be any text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
