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

/** Requests that wait for a sequence, fairly between parties. */
export class RequestQueue {
  readonly #queueTimeoutMs: number;
  #waiting: Sequence[] = [];
  #numStarted = 0;
  /** Party to the number of the start of its last request. */
  readonly #lastStartOf = new Map<string, number>();

  constructor(queueTimeoutMs: number) {
    this.#queueTimeoutMs = queueTimeoutMs;
  }

  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }

  /** What waits, but for those that gave their place to another party: they have begun, and go on sooner or later. */
  get claims(): Sequence[] {
    return this.#waiting.filter(({ hasStarted }) => !hasStarted);
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
    this.#lastStartOf.set(sequence.party, ++this.#numStarted);
  }

  /** Those that wait, in the order in which they may start. */
  inOrder(running: readonly Sequence[]): Sequence[] {
    const numRunningOf = new Map<string, number>(this.#waiting.map(({ party }) => [party, 0]));
    for (const { party } of running) numRunningOf.set(party, (numRunningOf.get(party) ?? 0) + 1);
    // A party that wants nothing is forgotten, so that the map does not grow.
    for (const party of this.#lastStartOf.keys())
      if (!numRunningOf.has(party)) this.#lastStartOf.delete(party);
    const shares = [...numRunningOf].map(
      ([party, numRunning]) => [party, { numRunning, lastStart: this.#lastStartOf.get(party) ?? 0 }] as const,
    );
    return admissionOrder(this.#waiting, new Map(shares));
  }

  /** Time until the first of those that wait has waited longer than it may, ms; null: nobody waits. */
  get msToDeadline(): number | null {
    const waiting = this.claims;
    if (waiting.length === 0) return null;
    const first = Math.min(...waiting.map(({ waitingSinceMs }) => waitingSinceMs));
    return Math.max(0, first + this.#queueTimeoutMs - performance.now()) + 1;
  }

  /** Those that have waited longer than they may. */
  overdue(): { sequence: Sequence; error: ShouldersError }[] {
    const oldestMs = performance.now() - this.#queueTimeoutMs;
    const message = `No sequence became free within ${this.#queueTimeoutMs / 1000} s: try again later.`;
    return this.claims
      .filter(({ waitingSinceMs }) => waitingSinceMs < oldestMs)
      .map((sequence) => ({ sequence, error: new ShouldersError("queue_timeout", message) }));
  }
}
