import { z } from "zod";
import { vouchers } from "../wire/token-record.js";
import { KeyedLines } from "./keyed-lines.js";

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
  steps: z
    .array(
      z.object({
        text: z.string(),
        logprob: z.number(),
        base: z.object({ text: z.string(), logprob: z.number() }).nullable(),
        logRatio: z.number().nullable(),
        vouch: z.enum(vouchers),
        contested: z.object({ by: z.string(), says: z.string(), against: z.string() }).nullable(),
      }),
    )
    .nullable()
    .default(null),
  trace: z.string().nullable().default(null),
  /** Unix time in ms. */
  startedAt: z.number(),
  firstTokenMs: z.number().nullable(),
  totalMs: z.number(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});

export type AnswerLine = z.output<typeof answerLineSchema>;

/** The answers of runs; one with an error is as good as none when asked again. */
export class AnswersFile extends KeyedLines<AnswerLine> {
  constructor(file: string) {
    super(file, answerLineSchema);
  }
}
