import { Presets, SingleBar } from "cli-progress";
import type { RunProgress } from "../evaluation/runner.js";

export interface EvalProgress {
  show(progress: RunProgress): void;
  /** Ends the display; call on every path. */
  stop(): void;
}

type Output = NodeJS.WritableStream & { isTTY?: boolean };

/** One bar on a terminal; elsewhere a line when a method begins with a task. */
export function createEvalProgress(stream: Output = process.stderr): EvalProgress {
  if (stream.isTTY === true) return bar(stream);
  const begun = new Set<string>();
  return {
    show: ({ done, total, task, method }) => {
      const label = `${task}, ${method}`;
      if (!begun.has(label)) stream.write(`Asking ${label} (${done - 1} of ${total} answers are there)\n`);
      begun.add(label);
    },
    stop: () => undefined,
  };
}

function bar(stream: Output): EvalProgress {
  const format = "{bar} {value} of {total} answers, {eta_formatted} left: {task}, {method}";
  let shown: SingleBar | null = null;
  return {
    show: ({ total, done, reused, task, method }) => {
      if (shown === null) {
        shown = new SingleBar({ stream, format, hideCursor: true, barsize: 24 }, Presets.shades_classic);
        shown.start(total, reused, { task, method });
      }
      shown.update(done, { task, method });
    },
    stop: () => shown?.stop(),
  };
}
