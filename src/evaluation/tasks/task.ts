import path from "node:path";
import { z } from "zod";
import { expandHome } from "../../config/home-path.js";
import type { ChatMessage } from "../../protocol/protocol.js";

export const scorerNames = [
  "exact",
  "number",
  "rouge2",
  "choice",
  "contains",
  "regex",
  "json",
  "likelihood",
  "none",
] as const;
export type ScorerName = (typeof scorerNames)[number];

export const isScorerName = (text: string): text is ScorerName => scorerNames.some((name) => name === text);

export const scorerSchema = z
  .string()
  .refine(
    (text) => isScorerName(text) || /\.m?js$/.test(text),
    `use ${scorerNames.join(", ")}, or the path of a module of your own that ends in .js or .mjs`,
  );

/** A scorer's name as it is, or the path of one's own as it is from a folder. */
export const scorerFrom = (scorer: string, folder: string): string =>
  isScorerName(scorer) ? scorer : path.resolve(folder, expandHome(scorer));

/** One question and what counts as its answer. */
export interface Item {
  prompt: { type: "chat"; messages: ChatMessage[] } | { type: "text"; text: string };
  /** Any of them is right. With `choices`, the first is the text of the right choice. Empty: nobody knows. */
  answers: string[];
  /** Empty: an open question. */
  choices: string[];
  /** What a debate about it may quote. */
  document?: string | undefined;
  /** A name, or the absolute path of a module of one's own. */
  scorer: string;
  /** `json` compares the properties that it names; without it all. */
  schema?: JsonSchema | undefined;
  /** Strings that end the answer and are not part of it. */
  stop: string[];
  maxTokens: number;
  /** The answer as an example in a prompt shows it, worked steps included. */
  target: string;
}

export interface Example {
  user: string;
  assistant: string;
}

export interface Task {
  name: string;
  items: Item[];
  /** Id of the expert that was tuned for it; null: none was, or it is not known. */
  expert: string | null;
  /** Shown to the base in the methods with examples; empty: there are none. */
  examples: Example[];
}

export type JsonSchema = Record<string, unknown>;

export const defaultMaxTokens = 128;

const text = z.string().min(1);
/** A text, or JSON for the scorer `json`. */
const answer = z
  .union([text, z.number(), z.boolean(), z.array(z.unknown()), z.record(z.string(), z.unknown())])
  .transform((value) => (typeof value === "string" ? value : JSON.stringify(value)));

/** A line of a task file in the plain form. */
export const itemLineSchema = z
  .strictObject({
    prompt: text.optional().describe("Given to every model as it stands, after its BOS token."),
    messages: z
      .array(z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string() }))
      .min(1)
      .optional()
      .describe("A conversation, rendered by each model's own chat template."),
    answers: z.array(answer).min(1).optional().describe("Right answers; any of them counts."),
    answer: answer.optional().describe("Short for answers with one entry."),
    choices: z.array(text).min(2).max(26).default([]).describe("The options of a multiple-choice question."),
    document: text.optional().describe("What a debate about it may quote; no model gets it otherwise."),
    scorer: scorerSchema
      .optional()
      .describe("Default: choice with choices, none without answers, else exact."),
    schema: z
      .record(z.string(), z.unknown())
      .optional()
      .describe("JSON Schema of the answer: the scorer json compares the properties that it names."),
    stop: z.array(text).max(4).optional().describe("Strings that end the answer."),
    maxTokens: z.int().min(1).optional().describe(`Longest answer, tokens; default ${defaultMaxTokens}.`),
    target: text.optional().describe("The answer as an example shows it; default: the first answer."),
    expert: text.optional().describe("Id of the expert tuned for this task, the same in every line."),
  })
  .check(({ value, issues }) => {
    const problem = (path: string, message: string): void => {
      issues.push({ code: "custom", input: value, path: [path], message });
    };
    if ((value.prompt === undefined) === (value.messages === undefined))
      problem("prompt", "give either prompt or messages");
    if (value.answer !== undefined && value.answers !== undefined)
      problem("answers", "give either answers or answer");
  });

export type ItemLine = z.output<typeof itemLineSchema>;

/** What a line leaves open, from the suite. */
export interface ItemDefaults {
  scorer?: string | undefined;
  /** Instead of the lines' own. */
  everyScorer?: string | undefined;
  stop?: string[] | undefined;
  maxTokens?: number | undefined;
}

/** @param folder of the task file: paths in it are relative to it. */
export function itemOfLine(line: ItemLine, defaults: ItemDefaults, folder: string): Item {
  const answers = line.answers ?? (line.answer === undefined ? [] : [line.answer]);
  const usual = line.choices.length > 0 ? "choice" : answers.length === 0 ? "none" : "exact";
  return {
    prompt:
      line.messages === undefined
        ? { type: "text", text: line.prompt ?? "" }
        : { type: "chat", messages: line.messages },
    answers,
    choices: line.choices,
    document: line.document,
    scorer:
      defaults.everyScorer ?? (line.scorer && scorerFrom(line.scorer, folder)) ?? defaults.scorer ?? usual,
    schema: line.schema,
    stop: line.stop ?? defaults.stop ?? [],
    maxTokens: line.maxTokens ?? defaults.maxTokens ?? defaultMaxTokens,
    target: line.target ?? answers[0] ?? "",
  };
}
