import { createHash } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { z } from "zod";
import type { AnswerLine } from "./answers-file.js";
import { type Remote, postCompletion } from "./remote.js";
import type { Results } from "./runner.js";
import { bootstrapInterval } from "./statistics.js";

/** Which of two answers a model finds better, by their order in its prompt. */
type Verdict = "1" | "2" | "tie";

export interface JudgeOptions extends Remote {
  model: string;
  /** The method that the others are compared with. */
  against: string;
  /** Verdicts that were given before, and new ones. */
  file: string;
  seed: number;
  concurrency: number;
  signal: AbortSignal;
  onProgress: (done: number, total: number) => void;
}

/** A method against another, over the items that both answered. A verdict that goes by the order is a tie. */
export interface JudgedMethod {
  wins: number;
  ties: number;
  losses: number;
  /** Replies that named no verdict; the pair counts as a tie. */
  unreadable: number;
  /** (wins + ties ÷ 2) ÷ all, with its 95 % interval by the percentile bootstrap. */
  rate: number;
  low: number;
  high: number;
}

export interface Judged {
  model: string;
  url: string;
  against: string;
  /** What the judge was asked, with {question}, {first} and {second} in their places. */
  prompt: string;
  tasks: Record<string, Record<string, JudgedMethod>>;
}

export interface Judgement {
  judged: Judged;
  /** By the two answers' keys, 1: better than the other's; 0.5: a tie; 0: worse. */
  pairs: ReadonlyMap<string, number>;
}

const judgePrompt = `Two assistants answered the same question. Say which answer is better: more correct, more helpful, closer to what was asked. Their order means nothing, and neither does their length.

Question:
{question}

Answer 1:
{first}

Answer 2:
{second}

Reply with one line and nothing else: "Verdict: 1", "Verdict: 2" or "Verdict: tie".`;

const lineSchema = z.object({ key: z.string(), reply: z.string() });

/** The last verdict that a reply names; null: it names none. */
export function verdictOf(reply: string): Verdict | null {
  const named =
    [...reply.matchAll(/verdict\W*(1|2|tie)\b/gi)].at(-1)?.[1] ?? /^\W*(1|2|tie)\W*$/i.exec(reply)?.[1];
  return (named?.toLowerCase() as Verdict | undefined) ?? null;
}

const questionOf = ({ prompt }: AnswerLine): string =>
  typeof prompt === "string" ? prompt : prompt.map(({ role, content }) => `${role}: ${content}`).join("\n");

/** The prompt with its places filled at once, so that no answer can hold a place. */
const filled = (parts: Record<string, string>): string =>
  judgePrompt.replaceAll(/\{(\w+)\}/g, (_, name: string) => parts[name] ?? "");

/** Replies of a judge, kept beside the answers: JSON lines. */
class Replies {
  readonly #keyToReply = new Map<string, string>();
  readonly #options: JudgeOptions;

  constructor(options: JudgeOptions) {
    this.#options = options;
    if (!existsSync(options.file)) return;
    // A line that was cut short by the end of the process is asked again.
    for (const row of readFileSync(options.file, "utf8").split("\n")) {
      try {
        const { key, reply } = lineSchema.parse(JSON.parse(row));
        this.#keyToReply.set(key, reply);
      } catch {
        continue;
      }
    }
  }

  async ask(question: string, first: string, second: string): Promise<string> {
    const { model, url, seed, signal, file } = this.#options;
    const content = filled({ question, first, second });
    const key = createHash("sha256")
      .update(JSON.stringify([url, model, content]))
      .digest("hex")
      .slice(0, 24);
    const known = this.#keyToReply.get(key);
    if (known !== undefined) return known;
    const body = { model, messages: [{ role: "user", content }], temperature: 0, max_tokens: 512, seed };
    const { choices } = await postCompletion(this.#options, "/chat/completions", body, signal);
    const reply = choices[0]?.message?.content ?? "";
    appendFileSync(file, `${JSON.stringify({ key, model, url, prompt: content, reply })}\n`);
    this.#keyToReply.set(key, reply);
    return reply;
  }
}

interface Pair {
  task: string;
  method: string;
  own: AnswerLine & { answer: string };
  other: AnswerLine & { answer: string };
}

const hasAnswer = (line: AnswerLine): line is AnswerLine & { answer: string } => line.answer !== null;

function pairsOf(results: Results, against: string): Pair[] {
  return [...results].flatMap(([task, methods]) => {
    const itemToOther = new Map(
      (methods.get(against) ?? []).filter(hasAnswer).map((line) => [line.item, line]),
    );
    return [...methods].flatMap(([method, lines]) =>
      method === against
        ? []
        : lines.filter(hasAnswer).flatMap((own) => {
            const other = itemToOther.get(own.item);
            return other === undefined ? [] : [{ task, method, own, other }];
          }),
    );
  });
}

export const pairKey = (own: AnswerLine, other: AnswerLine): string => `${own.key} ${other.key}`;

/**
 * Asks a model, in both orders, whether each method's answers are better than those of one of them. Equal answers are
 * a tie without asking. Replies are kept; a judge that was stopped goes on.
 * @throws ShouldersError of the judge's server
 */
export async function judgeResults(results: Results, options: JudgeOptions): Promise<Judgement> {
  const { against, concurrency, signal, onProgress, url, model, seed } = options;
  const replies = new Replies(options);
  const pairs = pairsOf(results, against);
  const outcomes = new Map<Pair, { value: number; unreadable: number }>();
  const queue = pairs.values();
  const work = async (): Promise<void> => {
    for (const pair of queue) {
      if (signal.aborted) return;
      outcomes.set(pair, await judgePair(pair, replies));
      onProgress(outcomes.size, pairs.length);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  const tasks: Judged["tasks"] = {};
  for (const { task, method } of outcomes.keys()) {
    const judged = (tasks[task] ??= {});
    judged[method] ??= summary(
      [...outcomes].flatMap(([pair, outcome]) =>
        pair.task === task && pair.method === method ? [outcome] : [],
      ),
      seed,
    );
  }
  const keyed = [...outcomes].map(([{ own, other }, { value }]) => [pairKey(own, other), value] as const);
  return { judged: { model, url, against, prompt: judgePrompt, tasks }, pairs: new Map(keyed) };
}

async function judgePair({ own, other }: Pair, replies: Replies) {
  if (own.answer.trim() === other.answer.trim()) return { value: 0.5, unreadable: 0 };
  const question = questionOf(own);
  const before = verdictOf(await replies.ask(question, own.answer, other.answer));
  const behind = verdictOf(await replies.ask(question, other.answer, own.answer));
  const value = before === "1" && behind === "2" ? 1 : before === "2" && behind === "1" ? 0 : 0.5;
  return { value, unreadable: [before, behind].filter((verdict) => verdict === null).length };
}

function summary(outcomes: readonly { value: number; unreadable: number }[], seed: number): JudgedMethod {
  const values = outcomes.map(({ value }) => value);
  const count = (wanted: number) => values.filter((value) => value === wanted).length;
  return {
    ...{ wins: count(1), ties: count(0.5), losses: count(0) },
    unreadable: outcomes.reduce((sum, { unreadable }) => sum + unreadable, 0),
    rate: values.reduce((sum, value) => sum + value, 0) / values.length,
    ...bootstrapInterval(values, seed),
  };
}

export const judgedHead = [
  "Method",
  "task",
  "better",
  "equal",
  "worse",
  "unreadable",
  "rate",
  "95 % interval",
];

export const judgedRows = ({ tasks }: Judged): string[][] =>
  Object.entries(tasks).flatMap(([task, methods]) =>
    Object.entries(methods).map(([method, { wins, ties, losses, unreadable, rate, low, high }]) => [
      method,
      task,
      ...[wins, ties, losses, unreadable].map(String),
      rate.toFixed(2),
      `${low.toFixed(2)} to ${high.toFixed(2)}`,
    ]),
  );
