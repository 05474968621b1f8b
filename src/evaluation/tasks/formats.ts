import { z } from "zod";
import { createRandom, shuffled } from "../random.js";
import { letterOf } from "../scorers.js";
import { parseRows, readRows } from "./read-rows.js";
import type { Item } from "./task.js";

/** Public data sets in the forms in which they are published, as items of ours. */

export const formatNames = ["gsm8k", "triviaqa", "truthfulqa", "cnndm", "mmlu"] as const;
export type FormatName = (typeof formatNames)[number];

export interface SourceText {
  text: string;
  /** The file's name: messages say it, and its ending tells the format. */
  file: string;
  /** Orders choices that the file lists with the right one first. */
  seed: number;
}

const asked = (content: string): Item["prompt"] => ({
  type: "chat",
  messages: [{ role: "user", content }],
});

function multipleChoice(question: string, choices: string[], right: number): Item {
  const options = choices.map((choice, index) => `${letterOf(index)}. ${choice}`).join("\n");
  return {
    prompt: asked(`${question}\n${options}\nAnswer with the letter of the right choice.`),
    answers: [choices[right] ?? ""],
    choices,
    scorer: "choice",
    stop: [],
    maxTokens: 16,
    target: letterOf(right),
  };
}

const gsm8kRow = z.object({
  question: z.string().min(1),
  answer: z.string().regex(/####/, 'must end with "#### " and the number'),
});

/** JSON lines `{question, answer: "steps … #### 18"}` (arXiv 2110.14168). */
function gsm8k({ text, file }: SourceText): Item[] {
  return parseRows(readRows(text, file), gsm8kRow, file).map(({ question, answer }) => ({
    prompt: asked(`${question}\nWork step by step and end with "#### " and the number.`),
    answers: [answer],
    choices: [],
    scorer: "number",
    stop: [],
    maxTokens: 400,
    target: answer,
  }));
}

const triviaRow = z.union([
  z
    .object({
      Question: z.string().min(1),
      Answer: z.object({ Value: z.string().min(1), Aliases: z.array(z.string()).default([]) }),
    })
    .transform(({ Question, Answer }) => ({
      question: Question,
      value: Answer.Value,
      aliases: Answer.Aliases,
    })),
  z
    .object({
      question: z.string().min(1),
      answer: z.object({ value: z.string().min(1), aliases: z.array(z.string()).default([]) }),
    })
    .transform(({ question, answer }) => ({ question, ...answer })),
]);

/** The authors' JSON `{Data: [{Question, Answer: {Value, Aliases}}]}`, or rows in lower case (arXiv 1705.03551). */
function triviaqa({ text, file }: SourceText): Item[] {
  return parseRows(readRows(text, file), triviaRow, file).map(({ question, value, aliases }) => ({
    prompt: asked(`${question}\nAnswer briefly.`),
    answers: [...new Set([value, ...aliases.filter((alias) => alias !== "")])],
    choices: [],
    scorer: "exact",
    stop: ["\n"],
    maxTokens: 32,
    target: value,
  }));
}

const label = z.union([z.literal(0), z.literal(1)]);
const truthfulRow = z.object({
  question: z.string().min(1),
  mc1_targets: z.union([
    z
      .object({ choices: z.array(z.string()).min(2).max(26), labels: z.array(label) })
      .transform(({ choices, labels }) => ({ choices, right: labels.indexOf(1) })),
    z
      .record(z.string(), label)
      .transform((marks) => ({ choices: Object.keys(marks), right: Object.values(marks).indexOf(1) })),
  ]),
});

/**
 * MC1 of mc_task.json, `{question, mc1_targets: {choice: 0 | 1}}`, or with `{choices, labels}` (arXiv 2109.07958).
 * The files list the right choice first: choices are put in a random order that only the seed decides.
 */
function truthfulqa({ text, file, seed }: SourceText): Item[] {
  return parseRows(readRows(text, file), truthfulRow, file).map(({ question, mc1_targets }, index) => {
    const right = mc1_targets.choices[mc1_targets.right] ?? "";
    const choices = shuffled(mc1_targets.choices, createRandom(seed + index));
    return multipleChoice(question, choices, choices.indexOf(right));
  });
}

const newsRow = z.object({ article: z.string().min(1), highlights: z.string().min(1) });

/** CSV with a header, or JSON lines: `{article, highlights}` (arXiv 1704.04368). */
function cnndm({ text, file }: SourceText): Item[] {
  return parseRows(readRows(text, file), newsRow, file).map(({ article, highlights }) => ({
    prompt: asked(`${article}\n\nSummarise this article in three sentences.`),
    answers: [highlights],
    choices: [],
    scorer: "rouge2",
    stop: [],
    maxTokens: 160,
    target: highlights,
  }));
}

const mmluRow = z.union([
  z
    .object({
      question: z.string().min(1),
      A: z.string(),
      B: z.string(),
      C: z.string(),
      D: z.string(),
      answer: z.enum(["A", "B", "C", "D"]),
    })
    .transform(({ question, A, B, C, D, answer }) => ({
      question,
      choices: [A, B, C, D],
      answer: answer.charCodeAt(0) - 65,
    })),
  z.object({
    question: z.string().min(1),
    choices: z.array(z.string()).length(4),
    answer: z.int().min(0).max(3),
  }),
]);

/** CSV without a header (question, four choices, letter), or JSON lines with `choices` and an index (arXiv 2009.03300). */
function mmlu({ text, file }: SourceText): Item[] {
  const rows = readRows(text, file, ["question", "A", "B", "C", "D", "answer"]);
  return parseRows(rows, mmluRow, file).map(({ question, choices, answer }) =>
    multipleChoice(question, choices, answer),
  );
}

export const formats = { gsm8k, triviaqa, truthfulqa, cnndm, mmlu } satisfies Record<
  FormatName,
  (source: SourceText) => Item[]
>;
