import { FairLine } from "../../fair-line.js";

/** The most ms of one turn of the event loop that requests take before others' events are heard. */
const sliceMs = 5;
/** While connections come without end, requests wait for so many ms, and are then worked on for so many. */
const waitingMs = 100;
const workingMs = 50;

/**
 * When requests, bodies and frames are worked on. Hundreds that come within one turn of the event loop would else be
 * routed, parsed, checked and handed on before anybody else is heard: also before health is answered.
 *
 * Node takes one new connection a turn. While connections come, turns are kept short, so that who asks for health is
 * not last of hundreds.
 */
export class Turns {
  readonly #line = new FairLine<{ party: string; work: () => void }>();
  readonly #now: () => number;
  #usedMs = 0;
  #nextTurn: NodeJS.Immediate | null = null;
  /** A connection came in this turn. */
  #isConnecting = false;
  /** Since when requests wait for connections; null: they do not. */
  #waitingSince: number | null = null;
  #worksUntil = -Infinity;

  /** @param now milliseconds; a test's clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Notes a new connection. */
  connected(): void {
    this.#isConnecting = true;
    this.#awaitNextTurn();
  }

  /** Does the work at once, or, where this turn's time is spent, in one of the next; parties take turns. */
  take(party: string, work: () => void): void {
    this.#line.push({ party, work });
    this.#workOff();
  }

  /**
   * The same for a part of longer work; resolves to what it returns, and rejects with what it throws. Of a promise that
   * it returns only what comes before its first wait is in the turn.
   */
  run<Result>(party: string, work: () => Result | Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) =>
      this.take(party, () => {
        try {
          resolve(work());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      }),
    );
  }

  #awaitNextTurn(): void {
    this.#nextTurn ??= setImmediate(() => {
      this.#nextTurn = null;
      this.#usedMs = 0;
      this.#workOff();
      this.#isConnecting = false;
    });
  }

  #workOff(): void {
    if (this.#mustWait()) {
      this.#awaitNextTurn();
      return;
    }
    while (this.#usedMs < sliceMs) {
      const next = this.#line.take();
      if (next === null) return;
      this.#awaitNextTurn();
      const startMs = this.#now();
      try {
        next.work();
      } finally {
        this.#usedMs += this.#now() - startMs;
      }
    }
  }

  #mustWait(): boolean {
    const now = this.#now();
    if (!this.#isConnecting || this.#line.isEmpty || now < this.#worksUntil) {
      this.#waitingSince = null;
      return false;
    }
    this.#waitingSince ??= now;
    if (now - this.#waitingSince < waitingMs) return true;
    this.#worksUntil = now + workingMs;
    this.#waitingSince = null;
    return false;
  }
}
