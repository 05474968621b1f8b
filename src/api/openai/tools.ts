import { z } from "zod";
import type { ToolForm, ToolText } from "../../protocol/protocol.js";
import { fieldError } from "../../errors.js";
import { addCalls, type ArgumentKinds } from "../../grammar/call-grammar.js";
import { literal, type GrammarBuilder } from "../../grammar/json/grammar-builder.js";
import { larkKeyword } from "../../grammar/json/json-strings.js";
import { isObject } from "../../grammar/json/json-schema.js";
import { throughText } from "../../grammar/through-text.js";
import { customInput } from "./custom-input.js";
import type { CallForm } from "./tool-calls.js";

/** What a request says of functions, how the models are told, and how they are held to it. */

/** OpenAI's names have 64 at most, Anthropic's 128. */
const toolName = z.string().regex(/^[\w-]{1,128}$/, "expected 1 to 128 letters, digits, _ or -");

const functionTool = z.object({
  type: z.literal("function"),
  function: z.object({
    name: toolName,
    description: z.string().nullish(),
    parameters: z.looseObject({}).nullish().describe("JSON schema of the arguments. Default: no arguments."),
    strict: z.boolean().nullish().describe("Accepted: arguments always match the schema."),
  }),
});

/** Characters of a grammar. */
const mostDefinition = 64 * 1024;

const customTool = z
  .object({
    type: z.literal("custom"),
    custom: z.object({
      name: toolName,
      description: z.string().nullish(),
      format: z
        .discriminatedUnion("type", [
          z.object({ type: z.literal("text") }),
          z.object({
            type: z.literal("grammar"),
            grammar: z.object({
              syntax: z.enum(["lark", "regex"]),
              definition: z.string().min(1).max(mostDefinition),
            }),
          }),
        ])
        .nullish()
        .describe("What its input is: any text, or one of a grammar."),
    }),
  })
  // The models are told of a function with one argument.
  .transform(({ type, custom: { name, description, format } }) => {
    const grammar = format?.type === "grammar" ? format.grammar : null;
    const input = {
      type: "string",
      ...(grammar && { description: `A text of this ${grammar.syntax} grammar:\n${grammar.definition}` }),
      ...(grammar?.syntax === "lark" && { [larkKeyword]: grammar.definition }),
      ...(grammar?.syntax === "regex" && { pattern: `^(?:${grammar.definition})$` }),
    };
    const parameters = {
      properties: { [customInput]: input },
      required: [customInput],
      additionalProperties: false,
    };
    return { type, function: { name, description, parameters, strict: null } };
  });

export const toolSchema = z.discriminatedUnion("type", [functionTool, customTool]);

/** Most bytes of all tools of a request, as JSON: what the models are told and answers are held to. */
const mostBytes = 256 * 1024;

/** A function as `/v1/responses` or Anthropic's API has it: editors send them here, too. */
function wrapped(tool: unknown): unknown {
  if (!isObject(tool) || typeof tool["name"] !== "string" || "function" in tool || "custom" in tool)
    return tool;
  const { type, name, description, strict } = tool;
  if (type !== undefined && type !== "function") return tool;
  const parameters = tool["parameters"] ?? tool["input_schema"];
  return { type: "function", function: { name, description, parameters, strict } };
}

export const toolsSchema = z
  .array(z.preprocess(wrapped, toolSchema))
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

const namedTool = z.discriminatedUnion("type", [
  z.object({ type: z.literal("function"), function: z.object({ name: toolName }) }),
  z
    .object({ type: z.literal("custom"), custom: z.object({ name: toolName }) })
    .transform(({ custom }) => ({ type: "function" as const, function: custom })),
]);

/** `{"type": "auto"}`, and a function without its wrapping. */
function choiceOf(given: unknown): unknown {
  if (!isObject(given)) return given;
  const { type, name } = given;
  if (type === "function" && typeof name === "string" && !("function" in given))
    return { type, function: { name } };
  const isWord = type === "auto" || type === "none" || type === "required" || type === "any";
  return isWord ? type : given;
}

const knownChoice = z
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
  .nullish();

export const toolChoiceSchema = z
  .preprocess(choiceOf, knownChoice)
  .describe(
    "auto (default with tools): text or calls; required: calls; a name: a call of it; allowed_tools: of these alone.",
  );

const callId = z
  .string()
  .nullish()
  .transform((id) => id ?? "");

export const toolCallSchema = z.union(
  [
    z.object({
      id: callId,
      type: z.literal("function").nullish(),
      function: z.object({
        name: z.string(),
        // Some clients send what they have parsed.
        arguments: z.union([z.string(), z.looseObject({}).transform((given) => JSON.stringify(given))]),
      }),
    }),
    z
      .object({
        id: callId,
        type: z.literal("custom"),
        custom: z.object({ name: z.string(), input: z.string() }),
      })
      .transform(({ id, custom: { name, input } }) => ({
        ...{ id, type: "function" as const },
        function: { name, arguments: JSON.stringify({ [customInput]: input }) },
      })),
  ],
  { error: "expected a call of a function, or of a custom tool" },
);

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
    parameters: JSON.stringify({ type: "object", properties: {}, ...parameters }, withoutLark),
  }));
}

/** The description has it. */
const withoutLark = (key: string, value: unknown): unknown => (key === larkKeyword ? undefined : value);

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
  const functions = tools.map(({ index, type, function: { name, parameters, strict } }) => {
    const schema = { type: "object", ...(parameters ?? { additionalProperties: false }) };
    const path = `tools.${index}.${type === "custom" ? "custom.format" : "function.parameters"}`;
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
  const leading = starts.filter(({ isLeading }) => isLeading);
  const others = starts.filter(({ isLeading }) => !isLeading);
  return { root: throughText(builder, others, { isOptional: true, leading }), kinds };
}

/**
 * How calls stand in the answer.
 *
 * @param isOld they are told as those of functions were before tools
 */
export function callForm(plan: ToolPlan, kinds: ArgumentKinds, isOld = false): CallForm {
  const { form, tools } = plan;
  const schemas = new Map(tools.map(({ function: { name, parameters } }) => [name, parameters ?? {}]));
  return { ...form, kinds, schemas, customs: customNames(plan), isOld };
}

/** Of what a grammar says in a custom tool the client sees one field. */
export const formatPath = (path: string): string => path.replace(/(\.custom\.format)\..*/, "$1");

/** Names of those that take a text. */
export function customNames({ tools }: ToolPlan): ReadonlySet<string> {
  return new Set(tools.flatMap((tool) => (tool.type === "custom" ? [tool.function.name] : [])));
}
