import { present, ShouldersError } from "../errors.js";
import { topOf } from "../fusion/kernel/top.js";
import type { ModelContext } from "../llama/types.js";
import type { RowEntries } from "../rows/partial-row.js";
import type { RowReply } from "../rows/types.js";

/** A row that is wanted after a token, by its place among those that are appended. */
export interface WantedRow {
  at: number;
  top: number | "all";
  ids: readonly number[];
}

/** Tokens for the end of one sequence. */
export interface Append {
  /** Of the context. */
  sequenceId: number;
  from: number;
  tokens: readonly number[];
  rows: readonly WantedRow[];
}

/** What one session wants done at once. */
export interface DeskStep {
  /** Runs when no decode is in flight: cuts and copies. */
  prepare: (context: ModelContext) => void;
  append: readonly Append[];
}

interface Job extends Append {
  numDone: number;
  /** In the order of `rows`. */
  replies: RowReply[];
  error: ShouldersError | null;
}

interface PendingStep {
  step: DeskStep;
  jobs: Job[];
  resolve: (replies: (RowReply[] | ShouldersError)[]) => void;
}

/** Gathers what sessions want into batches of one context: sequences that take a token each share a decode. */
export class RowDesk {
  readonly #context: ModelContext;
  readonly #maxRows: number;
  readonly #incoming: PendingStep[] = [];
  readonly #pending: PendingStep[] = [];
  #loop: Promise<void> | null = null;

  /** @param maxRows most rows of a batch. */
  constructor(context: ModelContext, maxRows: number) {
    this.#context = context;
    this.#maxRows = maxRows;
  }

  /** @returns the rows of each append, or why there are none: then its sequence holds nothing. */
  submit(step: DeskStep): Promise<(RowReply[] | ShouldersError)[]> {
    return new Promise((resolve) => {
      this.#incoming.push({ step, jobs: [], resolve });
      this.#loop ??= this.#run().finally(() => (this.#loop = null));
    });
  }

  /** Resolves when nothing is in flight. */
  async untilIdle(): Promise<void> {
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (this.#incoming.length + this.#pending.length > 0) {
      for (const pending of this.#incoming.splice(0)) this.#begin(pending);
      const jobs = this.#pending.flatMap(({ jobs: all }) => all).filter(isOpen);
      if (jobs.length > 0) await this.#decode(jobs);
      for (const pending of this.#pending.splice(0)) {
        if (pending.jobs.some(isOpen)) this.#pending.push(pending);
        else pending.resolve(pending.jobs.map(({ replies, error }) => error ?? replies));
      }
    }
  }

  #begin(pending: PendingStep): void {
    const jobs = pending.step.append.map((append): Job => ({
      ...append,
      numDone: 0,
      replies: [],
      error: null,
    }));
    try {
      pending.step.prepare(this.#context);
    } catch (thrown) {
      const error = ShouldersError.from(thrown);
      for (const job of jobs) this.#fail(job, error);
    }
    this.#pending.push({ ...pending, jobs });
  }

  /** One batch: short appends first, which answers wait for, and of long ones what fits. */
  async #decode(jobs: readonly Job[]): Promise<void> {
    const { batch } = this.#context;
    batch.clear();
    const rowOf = new Map<WantedRow, number>();
    const added = new Map<Job, number>();
    const inOrder = [...jobs].sort((a, b) => numLeft(a) - numLeft(b));
    for (const job of inOrder) {
      const wanted = new Map(job.rows.map((row) => [row.at, row]));
      let count = 0;
      for (let at = job.numDone; at < job.tokens.length && batch.numTokens < batch.capacity; at++) {
        const row = wanted.get(at);
        if (row !== undefined && batch.numRows >= this.#maxRows) break;
        const token = present(job.tokens[at], "token");
        const number = batch.add(token, job.from + at, job.sequenceId, row !== undefined);
        if (row !== undefined) rowOf.set(row, number);
        count++;
      }
      if (count > 0) added.set(job, count);
    }
    try {
      await this.#context.decode();
    } catch (thrown) {
      const error = ShouldersError.from(thrown);
      for (const job of added.keys()) this.#fail(job, error);
      return;
    }
    for (const [job, count] of added) {
      job.numDone += count;
      for (const row of job.rows) {
        const number = rowOf.get(row);
        if (number !== undefined) job.replies.push(replyOf(this.#context.logits(number), row));
      }
    }
  }

  #fail(job: Job, error: ShouldersError): void {
    job.error = error;
    this.#context.removePositions(job.sequenceId, 0, null);
  }
}

function isOpen({ error, numDone, tokens }: Job): boolean {
  return error === null && numDone < tokens.length;
}

function numLeft({ tokens, numDone }: Job): number {
  return tokens.length - numDone;
}

/** A copy: the next decode writes over the row. */
function replyOf(row: Float32Array, { top, ids }: WantedRow): RowReply {
  if (top === "all" || top >= row.length) return row.slice();
  const best = topOf(row, top, 0);
  const highest = best[0]?.logprob ?? 0;
  let sum = 0;
  for (const logit of row) sum += Math.exp(logit - highest);
  const known: RowEntries["known"] = new Map([
    ...best.map(({ token, logprob: logit }) => [token, logit] as const),
    ...ids.map((id) => [id, present(row[id], "logit")] as const),
  ]);
  return { known, cap: best.at(-1)?.logprob ?? highest, logSum: highest + Math.log(sum) };
}
