import { ShouldersError } from "../errors.js";
import { admissionOrder } from "./admission.js";
import type { Sequence } from "./sequence.js";

export interface QueueLimits {
  /** Requests that may wait. */
  maxWaiting: number;
  /** Prompt tokens of all of them. */
  maxWaitingTokens: number;
  /** Longest wait. */
  queueTimeoutMs: number;
}

/** Requests that wait for a sequence: bounded, and fair between owners. */
export class RequestQueue {
  readonly #limits: QueueLimits;
  #waiting: Sequence[] = [];
  #numStarted = 0;
  /** Owner to the number of the start of its last request. */
  readonly #lastStartOf = new Map<string, number>();

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }

  /** @throws ShouldersError `queue_full` when the sequence may not wait; its sampler is released then. */
  checkRoom({ promptTokens, sampler }: Sequence): void {
    const { maxWaiting, maxWaitingTokens } = this.#limits;
    const waitingTokens = this.#waiting.reduce((sum, sequence) => sum + sequence.promptTokens, 0);
    // One long prompt may wait alone, or it could never run on a busy server.
    const fits = waitingTokens === 0 || waitingTokens + promptTokens <= maxWaitingTokens;
    if (this.#waiting.length < maxWaiting && fits) return;
    sampler[Symbol.dispose]();
    throw new ShouldersError(
      "queue_full",
      `${this.#waiting.length} requests with ${waitingTokens} prompt tokens are waiting already: try again later.`,
    );
  }

  push(sequence: Sequence): void {
    this.#waiting.push(sequence);
  }

  remove(sequence: Sequence): void {
    this.#waiting = this.#waiting.filter((other) => other !== sequence);
  }

  /** Takes a sequence out because it starts. */
  start(sequence: Sequence): void {
    this.remove(sequence);
    this.#lastStartOf.set(sequence.owner, ++this.#numStarted);
  }

  /** Those that wait, in the order in which they may start. */
  inOrder(running: readonly Sequence[]): Sequence[] {
    const owners = new Set([...running, ...this.#waiting].map((sequence) => sequence.owner));
    // An owner who wants nothing is forgotten, so that the map does not grow.
    for (const owner of this.#lastStartOf.keys()) if (!owners.has(owner)) this.#lastStartOf.delete(owner);
    const shares = [...owners].map((owner) => {
      const numRunning = running.filter((sequence) => sequence.owner === owner).length;
      return [owner, { numRunning, lastStart: this.#lastStartOf.get(owner) ?? 0 }] as const;
    });
    return admissionOrder(this.#waiting, new Map(shares));
  }

  /** Until the first of those that wait has waited longer than it may, ms; null: nobody waits. */
  get msToDeadline(): number | null {
    if (this.#waiting.length === 0) return null;
    const first = Math.min(...this.#waiting.map(({ arrivalMs }) => arrivalMs));
    return Math.max(0, first + this.#limits.queueTimeoutMs - performance.now()) + 1;
  }

  /** Those that have waited longer than they may. */
  overdue(): { sequence: Sequence; error: ShouldersError }[] {
    const { queueTimeoutMs } = this.#limits;
    const oldestMs = performance.now() - queueTimeoutMs;
    const message = `No sequence became free within ${queueTimeoutMs / 1000} s: try again later.`;
    return this.#waiting
      .filter(({ arrivalMs }) => arrivalMs < oldestMs)
      .map((sequence) => ({ sequence, error: new ShouldersError("queue_timeout", message) }));
  }
}
