import { z } from "zod";
import type { ToolForm, ToolText } from "../../protocol/protocol.js";
import { fieldError } from "../../errors.js";
import { addCalls, type ArgumentKinds } from "../../grammar/call-grammar.js";
import { literal, type GrammarBuilder } from "../../grammar/json/grammar-builder.js";
import { larkKeyword } from "../../grammar/json/json-strings.js";
import { isObject, type JsonSchema } from "../../grammar/json/json-schema.js";
import { mendedSchema } from "../../grammar/json/mended-schema.js";
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

/** What the API's own servers would run: nobody does here, and a client's own tools are not to fail for it. */
const hostedTool = z.object({ type: z.literal("hosted") });

const toolSchema = z.discriminatedUnion("type", [functionTool, customTool, hostedTool]);

/** Most bytes of all tools of a request, as JSON: what the models are told and answers are held to. */
const mostBytes = 256 * 1024;

/** A misspelt type still has what a client's own tools have. */
const isHosted = (tool: unknown): boolean =>
  isObject(tool) &&
  typeof tool["type"] === "string" &&
  !["function", "custom", ""].includes(tool["type"]) &&
  !["function", "custom", "parameters", "input_schema"].some((field) => field in tool);

/** A function as `/v1/responses` or Anthropic's API has it: editors send them here, too. */
function wrapped(tool: unknown): unknown {
  if (isHosted(tool)) return { type: "hosted" };
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
    (tools) =>
      new Set(tools.filter(isOwn).map((tool) => tool.function.name)).size === tools.filter(isOwn).length,
    "two functions have the same name",
  )
  .nullish()
  .describe("Functions that the answer may call. Tools that a server would run are left out, and named.");

const namedTool = z.discriminatedUnion("type", [
  z.object({ type: z.literal("function"), function: z.object({ name: toolName }) }),
  z
    .object({ type: z.literal("custom"), custom: z.object({ name: toolName }) })
    .transform(({ custom }) => ({ type: "function" as const, function: custom })),
]);

/** `{"type": "auto"}`, and a function or a list without its wrapping, as other APIs have them. */
function choiceOf(given: unknown): unknown {
  if (given === "") return null;
  if (!isObject(given)) return given;
  const { type, name, mode, tools } = given;
  if (Object.keys(given).length === 0) return null;
  if (type === undefined && "function" in given) return { type: "function", ...given };
  if ((type === "function" || type === "tool") && typeof name === "string" && !("function" in given))
    return { type: "function", function: { name } };
  if (type === "allowed_tools" && Array.isArray(tools))
    return { type, allowed_tools: { mode, tools: tools.map(choiceOf) } };
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
        // Some clients send what they have parsed, or nothing where there are none.
        arguments: z
          .union([z.string(), z.looseObject({}).transform((given) => JSON.stringify(given))])
          .nullish()
          .transform((given) => given ?? ""),
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

type GivenTool = z.output<typeof toolSchema>;
type AskedTool = Exclude<GivenTool, { type: "hosted" }>;

function isOwn(tool: GivenTool): tool is AskedTool {
  return tool.type !== "hosted";
}

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
  /** Paths of what their schemas say that no schema says. */
  ignored: readonly string[];
}

interface ToolFields {
  tools?: GivenTool[] | null | undefined;
  tool_choice?: z.output<typeof toolChoiceSchema>;
  parallel_tool_calls?: boolean | null | undefined;
}

/** Where a request has tools that nobody runs here. */
export function hostedTools({ tools }: ToolFields): string[] {
  return (tools ?? []).flatMap((tool, index) => (isOwn(tool) ? [] : [`tools.${index}`]));
}

/** A function whose schema is one, and its place in the request. Those that are strict stay as they are. */
function callableTool(tool: AskedTool, index: number, ignored: string[]): AskedTool & { index: number } {
  const { name, description, parameters, strict } = tool.function;
  if (parameters == null || strict === true || tool.type === "custom") return { ...tool, index };
  const path = `tools.${index}.function.parameters`;
  const mended = mendedSchema(parameters, path, (at) => ignored.push(at)) as JsonSchema;
  return { ...tool, index, function: { name, description, parameters: mended, strict } };
}

/** @returns null when nothing may be called. */
export function planTools(
  { tools: given, tool_choice: choice, parallel_tool_calls }: ToolFields,
  form: ToolForm,
): ToolPlan | null {
  const ignored: string[] = [];
  const tools = (given ?? []).flatMap((tool, index) =>
    isOwn(tool) ? [callableTool(tool, index, ignored)] : [],
  );
  const named = typeof choice === "object" && choice?.type === "function" ? choice.function.name : null;
  const allowed =
    typeof choice === "object" && choice?.type === "allowed_tools" ? choice.allowed_tools : null;
  // "any" is Mistral's word for it.
  const isRequired =
    named !== null || choice === "required" || choice === "any" || allowed?.mode === "required";
  if (tools.length === 0) {
    if (isRequired || allowed !== null) throw fieldError("tool_choice", "it needs tools; send them");
    return null;
  }
  if (choice === "none") return null;
  const names = named === null ? allowed?.tools.map((tool) => tool.function.name) : [named];
  const stranger = names?.find((name) => !tools.some((tool) => tool.function.name === name));
  if (stranger !== undefined) throw fieldError("tool_choice", `no tool has the name "${stranger}"`);
  const callable = tools.filter((tool) => names?.includes(tool.function.name) ?? true);
  // Of those that are not allowed the models know, so that their prompt stays the same; all as they were sent.
  const told = (given ?? []).filter(isOwn);
  return {
    form,
    told: named === null ? told : told.filter((tool) => tool.function.name === named),
    tools: callable,
    isRequired,
    mayBeSeveral: (parallel_tool_calls ?? true) && named === null,
    ignored,
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
    const schema = argumentsOf(parameters ?? { additionalProperties: false });
    const path = `tools.${index}.${type === "custom" ? "custom.format" : "function.parameters"}`;
    if (schema["type"] !== "object") throw fieldError(`${path}.type`, "arguments are an object");
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

/** Arguments are an object, whatever else a schema that may be null says they could be. */
function argumentsOf(parameters: JsonSchema): JsonSchema {
  const { type } = parameters;
  return Array.isArray(type) && type.includes("object")
    ? { ...parameters, type: "object" }
    : { type: "object", ...parameters };
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
