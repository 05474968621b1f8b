import { setTimeout as wait } from "node:timers/promises";
import { ShouldersError } from "../errors.js";

/** A fault that may be gone at the next try: a time-out, a lost connection, a server that has too much to do. */
export class PassingFault extends Error {
  /** What the server says; null: nothing. */
  readonly waitMs: number | null;

  constructor(reason: string, waitMs: number | null = null) {
    super(reason);
    this.waitMs = waitMs;
  }
}

const firstWaitMs = 50;
const longestWaitMs = 2_000;

/**
 * Tries until it works, with growing pauses, as long as there is time.
 *
 * @param attempt hears how many ms are left; throws a `PassingFault` where a new try is worthwhile.
 * @param onRetry called before every try but the first
 * @throws ShouldersError `base_unavailable` with the last reason; what `attempt` throws otherwise.
 */
export async function persist<Result>(
  name: string,
  budgetMs: number,
  attempt: (leftMs: number) => Promise<Result>,
  onRetry: () => void,
): Promise<Result> {
  const untilMs = performance.now() + budgetMs;
  for (let numTries = 1; ; numTries++) {
    try {
      return await attempt(Math.max(1, Math.ceil(untilMs - performance.now())));
    } catch (thrown) {
      if (!(thrown instanceof PassingFault)) throw thrown;
      // Who comes back at the same time as all others is turned away again.
      const growing = Math.min(longestWaitMs, firstWaitMs * 2 ** (numTries - 1)) * (0.5 + Math.random());
      const pauseMs = Math.max(growing, thrown.waitMs ?? 0);
      if (performance.now() + pauseMs >= untilMs) throw unavailable(name, thrown.message, numTries);
      await wait(pauseMs);
      onRetry();
    }
  }
}

export function unavailable(name: string, reason: string, numTries = 1): ShouldersError {
  const tries = numTries > 1 ? `, ${numTries} times in a row` : "";
  return new ShouldersError("base_unavailable", `The base cannot be asked: ${name} ${reason}${tries}.`);
}
