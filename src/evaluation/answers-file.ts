import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";
import { z } from "zod";

/** Names the answers of a run, beside the file that has those of all runs. */
export const runFile = "run.json";

/** What an item came to. `key` is a digest of everything that decides it, so that it can be found again. */
const answerLineSchema = z.object({
  key: z.string(),
  task: z.string(),
  /** The first method that asked; another one with the same plan shares the line. */
  method: z.string(),
  /** Index in the task file. */
  item: z.int(),
  prompt: z.union([z.string(), z.array(z.object({ role: z.string(), content: z.string() }))]),
  expected: z.array(z.string()),
  /** null with an error. */
  answer: z.string().nullable(),
  /** null with an error, and of an item that nobody scores. */
  score: z.number().nullable(),
  /** A digest of the scorer and what it compares with: with another one the answer is scored again. */
  scoredBy: z.string().default(""),
  /** Of the item's candidates, where likelihoods were asked for. */
  likelihoods: z
    .array(z.object({ logprob: z.number(), numTokens: z.int() }))
    .nullable()
    .default(null),
  finishReason: z.enum(["stop", "length"]).nullable(),
  promptTokens: z.number(),
  numTokens: z.number(),
  weights: z.record(z.string(), z.array(z.number())).nullable(),
  shares: z.record(z.string(), z.array(z.number())).nullable(),
  forward: z.number().nullable(),
  flipped: z.number().nullable(),
  skippedShare: z.number().nullable(),
  /** Unix time in ms. */
  startedAt: z.number(),
  firstTokenMs: z.number().nullable(),
  totalMs: z.number(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});

export type AnswerLine = z.output<typeof answerLineSchema>;

function parseLine(text: string): AnswerLine | null {
  try {
    return answerLineSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

/**
 * JSON lines that only grow: answers of other settings stay and are not looked at. A line that was cut short by the
 * end of the process is dropped when the file is opened again.
 */
export class AnswersFile {
  readonly #file: string;
  readonly #keyToLine = new Map<string, AnswerLine>();

  constructor(file: string) {
    this.#file = file;
    if (!existsSync(file)) return;
    const text = readFileSync(file, "utf8");
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole.length < text.length) truncateSync(file, Buffer.byteLength(whole));
    for (const row of whole.split("\n")) {
      const line = parseLine(row);
      if (line !== null) this.#keyToLine.set(line.key, line);
    }
  }

  /** The last line with this key; one with an error is as good as none when asked again. */
  find(key: string): AnswerLine | undefined {
    return this.#keyToLine.get(key);
  }

  append(line: AnswerLine): void {
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
    this.#keyToLine.set(line.key, line);
  }
}
