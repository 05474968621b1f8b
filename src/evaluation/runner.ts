import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type ErrorCode, ShouldersError } from "../errors.js";
import type { Answer, Answerer } from "./answerer.js";
import type { AnswerLine, AnswersFile } from "./answers-file.js";
import type { Method, Plan } from "./methods/method.js";
import type { OwnScorers } from "./own-scorer.js";
import { candidatesOf, scoreAnswer, scoreLikelihoods } from "./scorers.js";
import type { Item, Task } from "./tasks/task.js";

/** One item for one plan. */
interface Question {
  key: string;
  task: Task;
  method: string;
  index: number;
  item: Item;
  plan: Plan;
}

export interface RunProgress {
  done: number;
  total: number;
  /** Answers that were in the file already. */
  reused: number;
  task: string;
  method: string;
}

export interface RunOptions {
  tasks: readonly Task[];
  methods: readonly Method[];
  answerer: Answerer;
  file: AnswersFile;
  ownScorers: OwnScorers;
  concurrency: number;
  signal: AbortSignal;
  onProgress: (progress: RunProgress) => void;
}

/** Answers by task and method, in the order of the items. */
export type Results = Map<string, Map<string, AnswerLine[]>>;

/** What passes by itself: a queue that drains, an engine that starts again. */
const passing: ErrorCode[] = ["queue_full", "queue_timeout", "engine_not_ready", "engine_died"];
const waitsMs = [500, 1000, 2000, 4000, 8000, 16_000];

const digest = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 24);

/** Of what decides the answer. What it is compared with decides only its score. */
function keyOf(identity: string, item: Item): string {
  const { prompt, stop, maxTokens } = item;
  const candidates = item.scorer === "likelihood" ? candidatesOf(item) : null;
  return digest({ identity, prompt, stop, maxTokens, candidates });
}

/** Of what decides the score of an answer. */
function scoredBy({ scorer, answers, choices, schema }: Item, own: OwnScorers): string {
  return digest({ scorer: own.digestOf(scorer), answers, choices, schema });
}

function questionsOf({ tasks, methods, answerer }: RunOptions): Question[] {
  return tasks.flatMap((task) =>
    methods.flatMap((method) => {
      const plan = method.planFor(task);
      if (plan === null) return [];
      const identity = JSON.stringify(answerer.identityOf(plan));
      return task.items.map((item, index) => {
        return { key: keyOf(identity, item), task, method: method.name, index, item, plan };
      });
    }),
  );
}

async function ask(
  answerer: Answerer,
  { plan, item }: Question,
  signal: AbortSignal,
): Promise<Answer | null> {
  const kind = item.scorer === "likelihood" ? "likelihoods" : "answer";
  for (const waitMs of [...waitsMs, null]) {
    try {
      return await answerer[kind](plan, item, signal);
    } catch (error) {
      if (waitMs === null || !passing.includes(ShouldersError.from(error).code)) throw error;
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return null;
    }
  }
  return null;
}

/** The answer before it is scored. @returns null when the signal ended it: nothing is known about the item then. */
async function answerLine(question: Question, options: RunOptions): Promise<AnswerLine | null> {
  const { key, task, method, index, item } = question;
  const { prompt } = item;
  const startedAt = Date.now();
  const line = {
    key,
    task: task.name,
    method,
    item: index,
    prompt: prompt.type === "chat" ? prompt.messages : prompt.text,
    expected: item.answers,
    score: null,
    scoredBy: "",
    startedAt,
  };
  try {
    const answer = await ask(options.answerer, question, options.signal);
    if (answer === null) return null;
    const { text, ...rest } = answer;
    return { ...line, answer: text, ...rest, error: null };
  } catch (thrown) {
    const { code, message } = ShouldersError.from(thrown);
    const unknown = {
      answer: null,
      likelihoods: null,
      finishReason: null,
      weights: null,
      shares: null,
      forward: null,
      flipped: null,
      skippedShare: null,
      steps: null,
      trace: null,
    };
    const counts = { promptTokens: 0, numTokens: 0, firstTokenMs: null, totalMs: Date.now() - startedAt };
    return { ...line, ...unknown, ...counts, error: { code, message } };
  }
}

/**
 * Scores an answer and writes it down; also when the scorer fails, so that nobody asks again for what is there.
 * @throws ShouldersError `evaluation_invalid` of a scorer of the user's own
 */
async function scoreLine(
  line: AnswerLine,
  { item }: Question,
  { file, ownScorers }: RunOptions,
): Promise<void> {
  const by = scoredBy(item, ownScorers);
  if (line.answer === null || line.scoredBy === by) {
    file.append(line);
    return;
  }
  try {
    const score = line.likelihoods
      ? scoreLikelihoods(line.likelihoods, item)
      : (scoreAnswer(line.answer, item) ?? (await ownScorers.score(line.answer, item)));
    file.append({ ...line, expected: item.answers, score, scoredBy: by });
  } catch (error) {
    file.append({ ...line, score: null, scoredBy: "" });
    throw error;
  }
}

function collect(questions: readonly Question[], file: AnswersFile): Results {
  const results: Results = new Map();
  for (const { key, task, method } of questions) {
    const line = file.find(key);
    if (line === undefined) continue;
    const methods = results.get(task.name) ?? new Map<string, AnswerLine[]>();
    results.set(task.name, methods.set(method, [...(methods.get(method) ?? []), line]));
  }
  return results;
}

/**
 * Asks every item of every method that applies to its task, `concurrency` at a time, and writes each answer down as
 * soon as it is there. What the file has already, answered under the same settings, is not asked again, only scored
 * again where its scorer is another, and plans that two methods share are asked once. An item's error is written down
 * and counted, and asked again the next time.
 *
 * @returns what is known at the end; after an abort, a part of it.
 */
export async function runEvaluation(options: RunOptions): Promise<Results> {
  const { file, concurrency, signal, onProgress, ownScorers } = options;
  const questions = questionsOf(options);
  const unique = [...new Map(questions.map((question) => [question.key, question])).values()];
  const open: Question[] = [];
  for (const question of unique) {
    const line = file.find(question.key);
    if (line?.error !== null) open.push(question);
    else if (line.scoredBy !== scoredBy(question.item, ownScorers)) await scoreLine(line, question, options);
  }
  const reused = unique.length - open.length;
  let done = reused;
  const queue = open.values();
  const work = async (): Promise<void> => {
    for (const question of queue) {
      if (signal.aborted) return;
      const line = await answerLine(question, options);
      if (line === null) return;
      await scoreLine(line, question, options);
      done++;
      onProgress({ done, total: unique.length, reused, task: question.task.name, method: question.method });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return collect(questions, file);
}
