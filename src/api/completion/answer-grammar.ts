import { z } from "zod";
import { fieldError } from "../../errors.js";
import type { ArgumentKinds } from "../../grammar/call-grammar.js";
import { GrammarBuilder, HeavyGrammar, literal } from "../../grammar/json/grammar-builder.js";
import { addSchema } from "../../grammar/json/json-grammar.js";
import { automatonOf } from "../../grammar/regular/automaton.js";
import { NotRegular } from "../../grammar/regular/expression.js";
import { readRegex } from "../../grammar/regular/regex-reader.js";
import { plainWriting, writeAutomaton } from "../../grammar/regular/write-automaton.js";
import { mendedSchema } from "../../grammar/json/mended-schema.js";
import { addTools, type ToolPlan } from "../openai/tools.js";

/** What an answer must be: from `response_format`, `grammar` and `tools`. */

const mostBytes = 64 * 1024;
/** Characters of JSON that are looked at where others wait. */
const mostAtOnce = 32 * 1024;

export const grammarSchema = z
  .string()
  .refine((text) => Buffer.byteLength(text) <= mostBytes, "a grammar may have at most 65536 bytes")
  .nullish()
  .describe("GBNF with a rule named root, which the answer matches.");

const schemaSchema = z
  .looseObject({})
  .refine(
    (schema) => Buffer.byteLength(JSON.stringify(schema)) <= mostBytes,
    "a schema may have at most 65536 bytes",
  );

export const responseFormatSchema = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("text") }),
    // llama.cpp and others take a schema here.
    z.object({ type: z.literal("json_object"), schema: schemaSchema.nullish() }),
    z.object({
      type: z.literal("json_schema"),
      json_schema: z.object({
        // Titles of generic classes have brackets, those that people wrote have spaces; nothing is done with it.
        name: z.string().nullish(),
        strict: z
          .boolean()
          .nullish()
          .describe("true: refuse a schema that the answer cannot be held to in all it says."),
        schema: schemaSchema.nullish().describe("Default: any object."),
      }),
    }),
    z.object({
      type: z.literal("choice"),
      choices: z.array(z.string().min(1).max(4096)).min(1).max(1024),
    }),
    z.object({ type: z.literal("regex"), regex: z.string().min(1).max(4096) }),
    z.object({ type: z.literal("grammar"), grammar: z.string().min(1) }),
  ])
  .nullish()
  .describe("json_object: any JSON object; json_schema: JSON that matches the schema.");

export interface AnswerFields {
  grammar?: string | null | undefined;
  response_format?: z.output<typeof responseFormatSchema>;
}

/** What an answer is held to. */
export interface AnswerGrammar {
  /** GBNF; null when any text will do. */
  grammar: string | null;
  /** Paths of what a schema says and the answer is not held to. */
  ignored: string[];
  /** How the arguments of its calls are written. */
  kinds: ArgumentKinds;
}

const noKinds: ArgumentKinds = new Map();

/** Writes the grammar of an answer, here or elsewhere. */
export type WriteGrammar = (body: AnswerFields, tools: ToolPlan | null) => AnswerGrammar;

/** For a prompt that nothing is answered to. */
export const withoutGrammar: WriteGrammar = () => ({ grammar: null, ignored: [], kinds: noKinds });

/**
 * @param isAtOnce others wait for this thread
 * @throws ShouldersError that names the field that asks for what cannot be done
 * @throws HeavyGrammar where it would take long at once
 */
export function answerGrammar(body: AnswerFields, tools: ToolPlan | null, isAtOnce: boolean): AnswerGrammar {
  const format = body.response_format ?? { type: "text" as const };
  const given = body.grammar || (format.type === "grammar" && format.grammar) || null;
  if (given !== null) {
    const other = body.grammar && format.type !== "text" ? "response_format" : tools && "tools";
    if (other !== null) throw fieldError(grammarParamOf(body, false), `leave out ${other}, or the grammar`);
    return { grammar: given, ignored: [], kinds: noKinds };
  }
  if (isAtOnce && JSON.stringify([format, tools?.tools]).length > mostAtOnce) throw new HeavyGrammar();
  const builder = new GrammarBuilder(grammarParamOf(body, tools !== null), isAtOnce);
  const content = addFormat(builder, format);
  const { root, kinds } =
    tools === null ? { root: content, kinds: noKinds } : addTools(builder, tools, content);
  return { grammar: root === null ? null : builder.build(root), ignored: builder.ignored, kinds };
}

/** Which field of a request holds its answer to a grammar. */
export function grammarParamOf(
  { response_format: format, grammar }: AnswerFields,
  hasTools: boolean,
): string {
  if (format != null && format.type !== "text" && !grammar) return "response_format";
  return hasTools ? "tools" : "grammar";
}

/** @returns body of a rule; null: any text. Many models begin an answer with a space. */
function addFormat(
  builder: GrammarBuilder,
  format: NonNullable<z.output<typeof responseFormatSchema>>,
): string | null {
  switch (format.type) {
    case "text":
    case "grammar":
      return null;
    case "json_object": {
      if (format.schema == null) return "space object";
      const param = "response_format.schema";
      return `space ${addSchema(builder, mendedSchema(format.schema, param), { param, isStrict: false })}`;
    }
    case "json_schema": {
      const { schema, strict } = format.json_schema;
      const param = "response_format.json_schema.schema";
      const isStrict = strict === true;
      const given = schema ?? { type: "object" };
      return `space ${addSchema(builder, isStrict ? given : mendedSchema(given, param), { param, isStrict })}`;
    }
    case "choice":
      return format.choices.map(literal).join(" | ");
    case "regex":
      return addRegex(builder, format.regex);
  }
}

/** A text that is the regular expression's from its beginning to its end. */
function addRegex(builder: GrammarBuilder, regex: string): string {
  const param = "response_format.regex";
  try {
    const rule = writeAutomaton(builder, automatonOf(readRegex(regex), builder.spendOnTexts), {
      writing: plainWriting,
      ending: `""`,
    });
    if (rule !== null) return rule;
  } catch (thrown) {
    if (thrown instanceof NotRegular) throw fieldError(param, thrown.message, "unsupported_field");
    throw thrown;
  }
  throw fieldError(param, "no text matches it");
}
