import { constants } from "node:os";

export type StopSignal = "SIGINT" | "SIGTERM";

export interface Stop {
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Which one came; null: none yet. */
  readonly received: StopSignal | null;
}

/** What a shell expects of a process that a signal ended: 128 and the signal's number. */
export const exitCodeOf = (signal: StopSignal): number => 128 + constants.signals[signal];

/**
 * Listens for the two signals that ask a program to end. The first one is passed on as an abort, so that work
 * can end in good order; the second ends the process at once (the engine child goes when its pipe closes).
 */
export function listenForStop(): Stop {
  const controller = new AbortController();
  let received: StopSignal | null = null;
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.on(name, () => {
      if (received !== null) process.exit(exitCodeOf(name));
      received = name;
      controller.abort();
    });
  return {
    signal: controller.signal,
    get received() {
      return received;
    },
  };
}
