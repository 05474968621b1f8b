/** How often a child is asked whether it gets on. */
const intervalMs = 1_000;
/**
 * How many times as long as the longest step before it a step may take. Steps grow with the context that they look back
 * on, a part of the prompt each.
 */
const longestFactor = 5;

export interface Watched {
  /** Asks the child whether it gets on; it answers with `gotOn` or `ponged`. */
  ask: () => void;
  /** It has not got on for so long. */
  onStalled: (timeoutMs: number) => void;
}

/** Tells when a child has not got on for longer than any step may take, whether or not it owes answers. */
export class Watch {
  readonly #watched: Watched;
  #timer: NodeJS.Timeout | null = null;
  /** Time since the child last showed that it gets on, in turns of the watch: a standstill of this process does not count. */
  #silentMs = 0;
  #longestStepMs = 0;

  constructor(watched: Watched) {
    this.#watched = watched;
  }

  start(timeoutMs: number): void {
    this.stop();
    this.#silentMs = 0;
    this.#longestStepMs = 0;
    this.#timer = setInterval(() => this.#turn(timeoutMs), intervalMs).unref();
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
  }

  gotOn(): void {
    this.#silentMs = 0;
  }

  /** A step has ended. */
  stepTook(ms: number): void {
    this.#longestStepMs = Math.max(this.#longestStepMs, ms);
  }

  /** A child that answers gets on, unless one step has been running all the time. */
  ponged(stepAgeMs: number | null): void {
    // The child's clock also runs while both stood still: it may only lower what the watch has counted.
    this.#silentMs = Math.min(this.#silentMs, stepAgeMs ?? 0);
  }

  #turn(usualMs: number): void {
    const timeoutMs = Math.max(usualMs, longestFactor * this.#longestStepMs);
    if (this.#silentMs < timeoutMs) {
      this.#silentMs += intervalMs;
      this.#watched.ask();
    } else this.#watched.onStalled(timeoutMs);
  }
}
