import { z } from "zod";
import { fieldError } from "../../errors.js";
import { GrammarBuilder } from "../../grammar/json/grammar-builder.js";
import { addSchema } from "../../grammar/json/json-grammar.js";
import { addTools, type ToolPlan } from "../openai/tools.js";

/** What an answer must be: from `response_format`, `grammar` and `tools`. */

const mostBytes = 64 * 1024;

export const grammarSchema = z
  .string()
  .refine((text) => Buffer.byteLength(text) <= mostBytes, "a grammar may have at most 65536 bytes")
  .nullish()
  .describe("GBNF with a rule named root, which the answer matches.");

export const responseFormatSchema = z
  .discriminatedUnion("type", [
    z.strictObject({ type: z.literal("text") }),
    z.strictObject({ type: z.literal("json_object") }),
    z.strictObject({
      type: z.literal("json_schema"),
      json_schema: z.strictObject({
        name: z.string().regex(/^[\w-]{1,64}$/, "expected 1 to 64 letters, digits, _ or -"),
        description: z.string().nullish(),
        strict: z.boolean().nullish().describe("Accepted: the answer always matches the schema."),
        schema: z
          .looseObject({})
          .refine(
            (schema) => Buffer.byteLength(JSON.stringify(schema)) <= mostBytes,
            "a schema may have at most 65536 bytes",
          ),
      }),
    }),
  ])
  .nullish()
  .describe("json_object: any JSON object; json_schema: JSON that matches the schema.");

interface AnswerFields {
  grammar?: string | null | undefined;
  response_format?: z.output<typeof responseFormatSchema>;
}

/** @returns GBNF; null when any text will do. */
export function answerGrammar(body: AnswerFields, tools: ToolPlan | null): string | null {
  const given = body.grammar == null || body.grammar === "" ? null : body.grammar;
  const format = body.response_format ?? { type: "text" as const };
  if (given !== null) {
    const other = format.type === "text" ? tools && "tools" : "response_format";
    if (other !== null) throw fieldError("grammar", `leave out ${other}, or the grammar`);
    return given;
  }
  const builder = new GrammarBuilder(grammarParamOf(body, tools !== null));
  const content = addFormat(builder, format);
  if (tools !== null) return builder.build(addTools(builder, tools, content));
  return content === null ? null : builder.build(content);
}

/** Which field of a request holds its answer to a grammar. */
export function grammarParamOf({ response_format: format }: AnswerFields, hasTools: boolean): string {
  if (format != null && format.type !== "text") return "response_format";
  return hasTools ? "tools" : "grammar";
}

/** @returns body of a rule; null: any text. Many models begin an answer with a space. */
function addFormat(
  builder: GrammarBuilder,
  format: NonNullable<z.output<typeof responseFormatSchema>>,
): string | null {
  switch (format.type) {
    case "text":
      return null;
    case "json_object":
      return "space object";
    case "json_schema":
      return `space ${addSchema(builder, format.json_schema.schema, "response_format.json_schema.schema")}`;
  }
}
