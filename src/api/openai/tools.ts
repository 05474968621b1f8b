import { z } from "zod";
import type { ChatMessage } from "../../engine/protocol.js";
import { ShouldersError } from "../../errors.js";
import { literal, type GrammarBuilder } from "./grammar-builder.js";
import { addSchema } from "./json-grammar.js";
import { callEnd, callMiddle, callOpening, callStart, writeCall } from "./tool-calls.js";

/** What a request says of functions, how the models are told, and how they are held to it. */

const toolName = z.string().regex(/^[\w-]{1,64}$/, "expected 1 to 64 letters, digits, _ or -");

export const toolSchema = z.strictObject({
  type: z.literal("function"),
  function: z.strictObject({
    name: toolName,
    description: z.string().nullish(),
    parameters: z.looseObject({}).nullish().describe("JSON schema of the arguments. Default: no arguments."),
    strict: z.boolean().nullish().describe("Accepted: arguments always match the schema."),
  }),
});

export const toolsSchema = z
  .array(toolSchema)
  .max(128)
  .refine(
    (tools) => new Set(tools.map((tool) => tool.function.name)).size === tools.length,
    "two functions have the same name",
  )
  .nullish()
  .describe("Functions that the answer may call.");

export const toolChoiceSchema = z
  .union(
    [
      z.enum(["none", "auto", "required"]),
      z.strictObject({ type: z.literal("function"), function: z.strictObject({ name: toolName }) }),
    ],
    { error: 'expected "none", "auto", "required" or {"type": "function", "function": {"name": …}}' },
  )
  .nullish()
  .describe("auto (default with tools): text or calls; required: calls; a name: calls of it.");

export const toolCallSchema = z.strictObject({
  id: z.string(),
  type: z.literal("function"),
  function: z.strictObject({ name: z.string(), arguments: z.string() }),
});

export type Tool = z.output<typeof toolSchema>;

export interface ToolPlan {
  /** Those that may be called. */
  tools: readonly Tool[];
  /** The answer must be calls. */
  isRequired: boolean;
  mayBeSeveral: boolean;
}

interface ToolFields {
  tools?: Tool[] | null | undefined;
  tool_choice?: z.output<typeof toolChoiceSchema>;
  parallel_tool_calls?: boolean | null | undefined;
}

/** @returns null when nothing may be called. */
export function planTools({ tools, tool_choice: choice, parallel_tool_calls }: ToolFields): ToolPlan | null {
  const isNamed = typeof choice === "object" && choice !== null;
  if (!tools?.length) {
    if (isNamed || choice === "required") throw refuse("tool_choice", "it needs tools; send them");
    return null;
  }
  if (choice === "none") return null;
  const named = isNamed ? tools.filter((tool) => tool.function.name === choice.function.name) : tools;
  if (named.length === 0) throw refuse("tool_choice", "no tool has this name");
  return {
    tools: named,
    isRequired: isNamed || choice === "required",
    mayBeSeveral: (parallel_tool_calls ?? true) && !isNamed,
  };
}

/** The functions as text of the system message: what every chat template can hold. */
export function toolText({ tools, isRequired }: ToolPlan): string {
  const described = tools.map(({ function: { name, description, parameters } }) =>
    JSON.stringify({ name, ...(description && { description }), parameters: parameters ?? {} }),
  );
  return [
    isRequired ? "Answer by calling these functions:" : "You may call these functions:",
    ...described,
    `A call is written as ${writeCall("name", "{…}")}, and the answer is calls alone, one a line.`,
  ].join("\n");
}

/** Puts the functions into the system message. */
export function withTools(messages: readonly ChatMessage[], plan: ToolPlan): ChatMessage[] {
  const [first, ...rest] = messages;
  if (first?.role !== "system") return [{ role: "system", content: toolText(plan) }, ...messages];
  return [{ role: "system", content: `${first.content}\n\n${toolText(plan)}` }, ...rest];
}

/**
 * Adds what an answer with functions may be.
 *
 * @param content rule of an answer without calls; null: any text
 * @returns body of the root rule
 */
export function addTools(builder: GrammarBuilder, plan: ToolPlan, content: string | null): string {
  const calls = plan.tools.map(({ function: { name, parameters } }, index) => {
    const schema = { type: "object", ...(parameters ?? { additionalProperties: false }) };
    const path = `tools.${index}.function.parameters`;
    if (schema.type !== "object") throw refuse(`${path}.type`, "arguments are an object");
    const body = addSchema(builder, schema, path);
    return `${literal(callStart + JSON.stringify(name) + callMiddle)} ${body} ${literal(callEnd)}`;
  });
  const call = builder.rule(calls.join(" | "));
  const all = plan.mayBeSeveral ? `${call} ("\\n" ${call}){0,15}` : call;
  if (plan.isRequired) return all;
  return `${all} | ${content ?? builder.rule(textUnlike(callOpening))}`;
}

/** Any text that does not begin with this one. */
function textUnlike(beginning: string): string {
  const branches = Array.from(beginning, (character, at) => {
    const before = at === 0 ? "" : `${literal(beginning.slice(0, at))} `;
    return `${before}([^${character}] .*)?`;
  });
  return branches.join(" | ");
}

function refuse(param: string, why: string): ShouldersError {
  return new ShouldersError("invalid_request", `Invalid '${param}': ${why}.`, { param });
}
