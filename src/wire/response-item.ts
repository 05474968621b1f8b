import { z } from "zod";
import { chatLogprobSchema } from "./logprobs.js";
import { named } from "./registry.js";

/** What conversations of `/v1/responses` are made of: what was sent, and what was answered. */

const itemStatusSchema = z.enum(["in_progress", "completed", "incomplete"]);

const inputTextSchema = z.strictObject({ type: z.literal("input_text"), text: z.string() });

export const outputTextSchema = z.strictObject({
  type: z.literal("output_text"),
  text: z.string(),
  annotations: z.array(z.never()),
  logprobs: z.array(chatLogprobSchema),
});

export const reasoningTextSchema = z.strictObject({ type: z.literal("reasoning_text"), text: z.string() });
export const summaryTextSchema = z.strictObject({ type: z.literal("summary_text"), text: z.string() });

const inputMessageSchema = z.strictObject({
  id: z.string(),
  type: z.literal("message"),
  status: itemStatusSchema,
  role: z.enum(["user", "system", "developer"]),
  content: z.array(inputTextSchema),
});

const outputMessageSchema = z.strictObject({
  id: z.string(),
  type: z.literal("message"),
  status: itemStatusSchema,
  role: z.literal("assistant"),
  content: z.array(outputTextSchema),
});

const functionCallSchema = z.strictObject({
  id: z.string(),
  type: z.literal("function_call"),
  status: itemStatusSchema,
  call_id: z.string(),
  name: z.string(),
  arguments: z.string().describe("JSON; cut short where the status is incomplete."),
});

const customCallSchema = z.strictObject({
  id: z.string(),
  type: z.literal("custom_tool_call"),
  status: itemStatusSchema,
  call_id: z.string(),
  name: z.string(),
  input: z.string().describe("Cut short where the status is incomplete."),
});

const customCallOutputSchema = z.strictObject({
  id: z.string(),
  type: z.literal("custom_tool_call_output"),
  status: itemStatusSchema,
  call_id: z.string(),
  output: z.union([z.string(), z.array(inputTextSchema)]),
});

const functionCallOutputSchema = z.strictObject({
  id: z.string(),
  type: z.literal("function_call_output"),
  status: itemStatusSchema,
  call_id: z.string(),
  output: z.union([z.string(), z.array(inputTextSchema)]),
});

const reasoningSchema = z.strictObject({
  id: z.string(),
  type: z.literal("reasoning"),
  status: itemStatusSchema,
  summary: z.array(summaryTextSchema).describe("What was thought, where reasoning.summary asked for it."),
  content: z.array(reasoningTextSchema).describe("What was thought, where it is not in the summary."),
  encrypted_content: z
    .string()
    .optional()
    .describe("The same in base64, where include asked for it: sent back, it is what was thought."),
});

export const outputItemSchema = z.discriminatedUnion("type", [
  outputMessageSchema,
  functionCallSchema,
  customCallSchema,
  reasoningSchema,
]);

export const responseItemSchema = named(
  "ResponseItem",
  z.union([outputItemSchema, inputMessageSchema, functionCallOutputSchema, customCallOutputSchema]),
);

export const itemListSchema = named(
  "ResponseItemList",
  z.strictObject({
    object: z.literal("list"),
    data: z.array(responseItemSchema),
    first_id: z.string().describe("Empty: there is none."),
    last_id: z.string(),
    has_more: z.boolean(),
  }),
);

export type ItemStatus = z.output<typeof itemStatusSchema>;
export type OutputText = z.output<typeof outputTextSchema>;
export type OutputItem = z.output<typeof outputItemSchema>;
export type ResponseItem = z.output<typeof responseItemSchema>;
export type ItemList = z.output<typeof itemListSchema>;
