import { closeSync } from "node:fs";
import { constants } from "node:os";
import { isatty } from "node:tty";

const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
export type StopSignal = (typeof stopSignals)[number];

export interface Stop {
  /** Aborted by the first SIGINT or SIGTERM, or when the terminal goes. */
  readonly signal: AbortSignal;
  /** Which one came; null: none yet. */
  readonly received: StopSignal | null;
  /** Called by a SIGHUP that no terminal's end has sent, instead of ending anything; null: nobody cares. */
  onHangup: (() => void) | null;
}

/** What a shell expects of a process that a signal ended: 128 and the signal's number. */
export const exitCodeOf = (signal: StopSignal): number => 128 + constants.signals[signal];

/**
 * Listens for the signals that ask a program to end. The first one is passed on as an abort, so that work
 * can end in good order; the second ends the process at once (the engine child goes when its pipe closes).
 * SIGHUP says that the terminal is gone: who has none of his own outlives it. (Node undoes what `nohup` set, so
 * that is told by where input and output go: `nohup` leads them away.) One whose terminal is still there was sent by
 * somebody, who wants configs to be read again.
 */
export function listenForStop(): Stop {
  const controller = new AbortController();
  let received: StopSignal | null = null;
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  // At its end Node restores them, and aborts where one is gone; of what is closed it asks nothing.
  process.once("exit", () => terminals.filter((fd) => !isatty(fd)).forEach((fd) => closeSync(fd)));
  let onHangup: Stop["onHangup"] = null;
  for (const name of stopSignals)
    process.on(name, () => {
      if (name === "SIGHUP" && onHangup !== null && terminals.every((fd) => isatty(fd))) {
        onHangup();
        return;
      }
      // It may come twice, from the kernel and from a shell.
      if (name === "SIGHUP" && (terminals.length === 0 || received !== null)) return;
      if (received !== null) process.exit(exitCodeOf(name));
      received = name;
      controller.abort();
    });
  return {
    signal: controller.signal,
    get received() {
      return received;
    },
    get onHangup() {
      return onHangup;
    },
    set onHangup(listener) {
      onHangup = listener;
    },
  };
}

export const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
