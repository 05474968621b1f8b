import path from "node:path";
import { MultiBar, Presets, type SingleBar } from "cli-progress";

/** Shows how far each model is: a bar each on a terminal, a line at the end of each elsewhere. */
export interface Progress {
  /** `fraction` from 0 to 1; a task that reaches 1 is finished. */
  update(task: string, fraction: number): void;
  /** Ends the display; call on every path. */
  stop(): void;
}

type Output = NodeJS.WritableStream & { isTTY?: boolean };

function bars(verb: string, stream: Output): Progress {
  // Made with the first task: a display without bars would still write control sequences.
  let multi: MultiBar | null = null;
  const start = (): MultiBar =>
    new MultiBar(
      { stream, format: `${verb} {name} {bar} {percentage} %`, hideCursor: true, barsize: 24 },
      Presets.shades_classic,
    );
  const taskToBar = new Map<string, SingleBar>();
  return {
    update(task, fraction) {
      const known = taskToBar.get(task);
      multi ??= start();
      const bar = known ?? multi.create(100, 0, { name: path.basename(task).padEnd(28) });
      taskToBar.set(task, bar);
      bar.update(Math.floor(fraction * 100));
    },
    stop: () => multi?.stop(),
  };
}

function lines(verb: string, stream: Output): Progress {
  const begun = new Map<string, number>();
  const finished = new Set<string>();
  return {
    update(task, fraction) {
      const start = begun.get(task) ?? performance.now();
      begun.set(task, start);
      if (fraction < 1 || finished.has(task)) return;
      finished.add(task);
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      stream.write(`${verb} ${path.basename(task)}: done in ${seconds} s\n`);
    },
    stop: () => undefined,
  };
}

/** `verb`: what is done to a task, e.g. `Loading`. */
export function createProgress(verb: string, stream: Output = process.stderr): Progress {
  return stream.isTTY === true ? bars(verb, stream) : lines(verb, stream);
}
