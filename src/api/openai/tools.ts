import { z } from "zod";
import { toolIdMark, type ToolForm, type ToolText } from "../../protocol/protocol.js";
import { fieldError } from "../../errors.js";
import { literal, type GrammarBuilder } from "../../grammar/json/grammar-builder.js";
import { addSchema } from "../../grammar/json/json-grammar.js";
import { mayFollowText } from "./tool-calls.js";

/** What a request says of functions, how the models are told, and how they are held to it. */

const toolName = z.string().regex(/^[\w-]{1,64}$/, "expected 1 to 64 letters, digits, _ or -");

export const toolSchema = z.object({
  type: z.literal("function"),
  function: z.object({
    name: toolName,
    description: z.string().nullish(),
    parameters: z.looseObject({}).nullish().describe("JSON schema of the arguments. Default: no arguments."),
    strict: z.boolean().nullish().describe("Accepted: arguments always match the schema."),
  }),
});

/** Most bytes of all tools of a request, as JSON: what the models are told and answers are held to. */
const mostBytes = 256 * 1024;

export const toolsSchema = z
  .array(toolSchema)
  .max(128)
  .refine(
    (tools) => Buffer.byteLength(JSON.stringify(tools)) <= mostBytes,
    `tools may have at most ${mostBytes} bytes together; send fewer, or shorter descriptions`,
  )
  .refine(
    (tools) => new Set(tools.map((tool) => tool.function.name)).size === tools.length,
    "two functions have the same name",
  )
  .nullish()
  .describe("Functions that the answer may call.");

export const toolChoiceSchema = z
  .union(
    [
      z.enum(["none", "auto", "required", "any"]),
      z.object({ type: z.literal("function"), function: z.object({ name: toolName }) }),
    ],
    { error: 'expected "none", "auto", "required" or {"type": "function", "function": {"name": …}}' },
  )
  .nullish()
  .describe("auto (default with tools): text or calls; required: calls; a name: calls of it.");

export const toolCallSchema = z.object({
  id: z
    .string()
    .nullish()
    .transform((id) => id ?? ""),
  type: z.literal("function").nullish(),
  function: z.object({
    name: z.string(),
    // Some clients send what they have parsed.
    arguments: z.union([z.string(), z.looseObject({}).transform((given) => JSON.stringify(given))]),
  }),
});

type AskedTool = z.output<typeof toolSchema>;

export interface ToolPlan {
  /** The form in which the models that answer write calls. */
  form: ToolForm;
  /** Those that may be called. */
  tools: readonly AskedTool[];
  /** The answer must be calls. */
  isRequired: boolean;
  mayBeSeveral: boolean;
}

interface ToolFields {
  tools?: AskedTool[] | null | undefined;
  tool_choice?: z.output<typeof toolChoiceSchema>;
  parallel_tool_calls?: boolean | null | undefined;
}

/** @returns null when nothing may be called. */
export function planTools(
  { tools, tool_choice: choice, parallel_tool_calls }: ToolFields,
  form: ToolForm,
): ToolPlan | null {
  const isNamed = typeof choice === "object" && choice !== null;
  // "any" is Mistral's word for it.
  const isRequired = isNamed || choice === "required" || choice === "any";
  if (!tools?.length) {
    if (isNamed || isRequired) throw fieldError("tool_choice", "it needs tools; send them");
    return null;
  }
  if (choice === "none") return null;
  const named = isNamed ? tools.filter((tool) => tool.function.name === choice.function.name) : tools;
  if (named.length === 0) throw fieldError("tool_choice", "no tool has this name");
  return {
    form,
    tools: named,
    isRequired,
    mayBeSeveral: (parallel_tool_calls ?? true) && !isNamed,
  };
}

/** The tools as the models are told of them. */
export function toldTools({ tools }: ToolPlan): ToolText[] {
  return tools.map(({ function: { name, description, parameters } }) => ({
    name,
    description: description ?? "",
    parameters: JSON.stringify({ type: "object", properties: {}, ...parameters }),
  }));
}

/**
 * Adds what an answer with functions may be.
 *
 * @param content rule of an answer without calls; null: any text, and calls after it
 * @returns body of the root rule
 */
export function addTools(builder: GrammarBuilder, plan: ToolPlan, content: string | null): string {
  const { form } = plan;
  const bodies = plan.tools.map(({ function: { name, parameters, strict } }, index) => {
    const schema = { type: "object", ...(parameters ?? { additionalProperties: false }) };
    const path = `tools.${index}.function.parameters`;
    if (schema.type !== "object") throw fieldError(`${path}.type`, "arguments are an object");
    return `${literal(name + form.middle)} ${addSchema(builder, schema, { param: path, isStrict: strict === true })}`;
  });
  const body = builder.rule(bodies.join(" | "));
  const more = plan.mayBeSeveral && form.between !== null ? `(${formText(form.between)} ${body}){0,15}` : "";
  const calls = builder.rule(`${body} ${more} ${formText(form.ending)}`);
  const opened = `${formText(form.opening)} ${calls}`;
  if (plan.isRequired) return opened;
  if (content !== null) return `${opened} | ${content}`;
  if (mayFollowText(form)) return textBefore(builder, form.opening, calls);
  return `${opened} | ${builder.rule(textUnlike(form.opening))}`;
}

/** A text of the form as GBNF. */
function formText(text: string): string {
  return text.split(toolIdMark).map(literal).join(" [a-zA-Z0-9]{9} ");
}

/** Any text that does not begin with this one. */
function textUnlike(beginning: string): string {
  const branches = Array.from(beginning, (character, at) => {
    const before = at === 0 ? "" : `${literal(beginning.slice(0, at))} `;
    return `${before}(${classOf([character], true)} .*)?`;
  });
  return branches.join(" | ");
}

/**
 * Any text; once it comes to hold the opening, what must follow. A rule for each beginning of the opening that a text
 * may end with, as in the automaton of Knuth, Morris and Pratt.
 */
function textBefore(builder: GrammarBuilder, opening: string, follows: string): string {
  const characters = Array.from(opening);
  const rules = characters.map(() => builder.reserve());
  const ruleAt = (length: number) => (length === characters.length ? follows : (rules[length]?.name ?? ""));
  const known = [...new Set(characters)];
  for (const [length, rule] of rules.entries()) {
    const before = characters.slice(0, length).join("");
    const steps = known.map((character) => {
      const text = before + character;
      let next = Math.min(length + 1, characters.length);
      while (!text.endsWith(characters.slice(0, next).join(""))) next--;
      return `${literal(character)} ${ruleAt(next)}`;
    });
    rule.define([...steps, `${classOf(known, true)} ${ruleAt(0)}`, `""`].join(" | "));
  }
  return ruleAt(0);
}

function classOf(characters: readonly string[], isNegated: boolean): string {
  const codes = characters.map(
    (character) => `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`,
  );
  return `[${isNegated ? "^" : ""}${codes.join("")}]`;
}
