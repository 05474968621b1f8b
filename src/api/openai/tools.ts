import { z } from "zod";
import type { ToolForm, ToolText } from "../../protocol/protocol.js";
import { fieldError } from "../../errors.js";
import { addCalls, type ArgumentKinds } from "../../grammar/call-grammar.js";
import { literal, type GrammarBuilder } from "../../grammar/json/grammar-builder.js";
import { classText } from "../../grammar/regular/write-automaton.js";
import { complement, pointsIn } from "../../grammar/regular/code-points.js";
import { throughText } from "../../grammar/through-text.js";
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

const namedTool = z.object({ type: z.literal("function"), function: z.object({ name: toolName }) });

export const toolChoiceSchema = z
  .union(
    [
      z.enum(["none", "auto", "required", "any"]),
      namedTool,
      z.object({
        type: z.literal("allowed_tools"),
        allowed_tools: z.object({
          mode: z.enum(["auto", "required"]),
          tools: z.array(namedTool).min(1).max(128),
        }),
      }),
    ],
    {
      error:
        'expected "none", "auto", "required", {"type": "function", "function": {"name": …}} or ' +
        '{"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": […]}}',
    },
  )
  .nullish()
  .describe(
    "auto (default with tools): text or calls; required: calls; a name: a call of it; allowed_tools: of these alone.",
  );

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
  /** Those that the models are told of. */
  told: readonly AskedTool[];
  /** Those that may be called, with their places in the request. */
  tools: readonly (AskedTool & { index: number })[];
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
  const named = typeof choice === "object" && choice?.type === "function" ? choice.function.name : null;
  const allowed =
    typeof choice === "object" && choice?.type === "allowed_tools" ? choice.allowed_tools : null;
  // "any" is Mistral's word for it.
  const isRequired =
    named !== null || choice === "required" || choice === "any" || allowed?.mode === "required";
  if (!tools?.length) {
    if (isRequired || allowed !== null) throw fieldError("tool_choice", "it needs tools; send them");
    return null;
  }
  if (choice === "none") return null;
  const names = named === null ? allowed?.tools.map((tool) => tool.function.name) : [named];
  const stranger = names?.find((name) => !tools.some((tool) => tool.function.name === name));
  if (stranger !== undefined) throw fieldError("tool_choice", `no tool has the name "${stranger}"`);
  const callable = tools
    .map((tool, index) => ({ ...tool, index }))
    .filter((tool) => names?.includes(tool.function.name) ?? true);
  return {
    form,
    // Of those that are not allowed the models know, so that their prompt stays the same.
    told: named === null ? tools : callable,
    tools: callable,
    isRequired,
    mayBeSeveral: (parallel_tool_calls ?? true) && named === null,
  };
}

/** The tools as the models are told of them. */
export function toldTools({ told }: ToolPlan): ToolText[] {
  return told.map(({ function: { name, description, parameters } }) => ({
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
export function addTools(
  builder: GrammarBuilder,
  { form, tools, isRequired, mayBeSeveral }: ToolPlan,
  content: string | null,
): { root: string; kinds: ArgumentKinds } {
  const functions = tools.map(({ index, function: { name, parameters, strict } }) => {
    const schema = { type: "object", ...(parameters ?? { additionalProperties: false }) };
    const path = `tools.${index}.function.parameters`;
    if (schema.type !== "object") throw fieldError(`${path}.type`, "arguments are an object");
    return { name, schema, path, isStrict: strict === true };
  });
  const { starts, kinds } = addCalls(builder, form, { functions, mayBeSeveral });
  const opened = starts
    .filter(({ isAfterText }) => !isAfterText)
    .map(({ text, follows }) => `${literal(text)} ${follows}`)
    .join(" | ");
  if (isRequired) return { root: opened, kinds };
  if (content !== null) return { root: `${opened} | ${content}`, kinds };
  if (mayFollowText(form)) return { root: throughText(builder, starts, true), kinds };
  const text = builder.rule(textUnlike(form.opening));
  return { root: `${opened} | ${text}`, kinds };
}

/** Any text that does not begin with this one. */
function textUnlike(beginning: string): string {
  const branches = Array.from(beginning, (character, at) => {
    const before = at === 0 ? "" : `${literal(beginning.slice(0, at))} `;
    return `${before}(${classText(complement(pointsIn(character)))} .*)?`;
  });
  return branches.join(" | ");
}
