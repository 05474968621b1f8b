import { BoundedTemplate } from "./bounded-template.js";
import { findToolSupport, shortId, type ArgumentsAs, type ToolSupport } from "./tool-form.js";
import type { ChatTurn, Tool } from "./types.js";

export interface RenderOptions {
  addGenerationPrompt: boolean;
  tools: readonly Tool[];
}

export type Renderer = (turns: readonly ChatTurn[], options: RenderOptions) => string;

/** A template of a model file, as its makers render it. */
export interface JinjaTemplate {
  render: Renderer;
  /** null: it has no place for functions. */
  toolSupport: ToolSupport | null;
}

interface Message {
  role: string;
  content: string | { type: "text"; text: string }[];
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
  const template = new BoundedTemplate(text);
  const renderWith =
    (toContent: (text: string) => Message["content"], noTools: [] | undefined) =>
    (turns: readonly ChatTurn[], options: RenderOptions & { argumentsAs: ArgumentsAs }): string => {
      const nameOf = namesOfCalls(turns);
      return template.render(
        {
          messages: turns.map((turn) => toMessage(turn, nameOf, options.argumentsAs, toContent)),
          add_generation_prompt: options.addGenerationPrompt,
          bos_token: specials.bosText,
          eos_token: specials.eosText,
          tools:
            options.tools.length > 0
              ? options.tools.map((tool) => ({ type: "function", function: tool }))
              : noTools,
        },
        lengthOf(turns) + (options.tools.length > 0 ? JSON.stringify(options.tools).length : 0),
      );
    };
  const asText = (content: string) => content;
  const inParts = (content: string) => [{ type: "text" as const, text: content }];
  const ways = [
    renderWith(asText, undefined),
    renderWith(inParts, undefined),
    // Made for requests with tools alone.
    renderWith(asText, []),
  ];
  let problem: unknown = new TypeError("it leaves out what the user said");
  for (const way of ways) {
    try {
      const plain = { addGenerationPrompt: true, tools: [], argumentsAs: "object" } as const;
      if (!way([probe], plain).includes(probe.content)) continue;
      const toolSupport = findToolSupport(way);
      const argumentsAs = toolSupport?.argumentsAs ?? "object";
      return { toolSupport, render: (turns, options) => way(turns, { ...options, argumentsAs }) };
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}

/** Id of a call to the name of its function; of calls with one id, the first. */
function namesOfCalls(turns: readonly ChatTurn[]): Map<string, string> {
  const calls = turns.flatMap(({ toolCalls = [] }) => toolCalls);
  return new Map(calls.reverse().map(({ id, name }) => [id, name]));
}

function lengthOf(turns: readonly ChatTurn[]): number {
  const texts = turns.flatMap(({ content, toolCalls = [] }) => [
    content,
    ...toolCalls.map((call) => call.arguments),
  ]);
  return texts.reduce((sum, text) => sum + text.length, 0);
}

function toMessage(
  { role, content, toolCalls, toolCallId }: ChatTurn,
  nameOf: ReadonlyMap<string, string>,
  argumentsAs: ArgumentsAs,
  toContent: (text: string) => Message["content"],
): Message {
  const message: Message = { role, content: toContent(content) };
  if (toolCalls !== undefined && toolCalls.length > 0)
    message["tool_calls"] = toolCalls.map((call) => ({
      id: shortId(call.id),
      type: "function",
      function: {
        name: call.name,
        arguments: argumentsAs === "object" ? parsed(call.arguments) : call.arguments,
      },
    }));
  if (toolCallId !== undefined) {
    message["tool_call_id"] = shortId(toolCallId);
    const name = nameOf.get(toolCallId);
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
