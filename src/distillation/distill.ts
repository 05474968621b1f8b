import { createHash } from "node:crypto";
import { ShouldersError } from "../errors.js";
import type { KeyedLines } from "../evaluation/keyed-lines.js";
import { invalid } from "../evaluation/tasks/read-rows.js";
import type { Item } from "../evaluation/tasks/task.js";
import { askLabel, type Teacher, type Wanted } from "./ask-label.js";
import type { Label } from "./label.js";

export interface DistillOptions {
  teacher: Teacher;
  items: readonly Item[];
  /** What was answered before, and is now. */
  file: KeyedLines<Label>;
  concurrency: number;
  signal: AbortSignal;
  /** @param done of all answers */
  onProgress: (done: number, total: number) => void;
}

export interface Distilled {
  /** In the order of the prompts. */
  labels: Label[];
  /** Labels that were there before. */
  numReused: number;
  /** Answers that came to their cap. */
  numCapped: number;
  /** What could not be answered. */
  failures: { item: number; error: ShouldersError }[];
}

/** The words of a prompt that its asker wrote last, without regard to case, punctuation and spaces. */
function questionOf({ prompt }: Item): string {
  const text = prompt.type === "text" ? prompt.text : (prompt.messages.at(-1)?.content ?? "");
  return text
    .toLowerCase()
    .replaceAll(/[\s\p{P}]+/gu, " ")
    .trim();
}

/** @throws ShouldersError `evaluation_invalid`: a prompt is one that is to be tested on. */
export function refuseTested(
  items: readonly Item[],
  tests: readonly { file: string; items: readonly Item[] }[],
): void {
  const asked = new Map(items.map((item, index) => [questionOf(item), index]));
  for (const { file, items: tested } of tests) {
    const found = tested.flatMap((item) => asked.get(questionOf(item)) ?? []);
    const [first] = found;
    if (first !== undefined)
      throw invalid(
        `${found.length} of the prompts are in ${file}, the first is prompt ${first + 1}: leave them out, or a test on that file tells nothing`,
      );
  }
}

function wantedOf({ teacher, items }: DistillOptions): Wanted[] {
  const { law, top, numSamples, sampling, hasPairs, fingerprint } = teacher;
  const identity = { law, top, isDrawn: numSamples > 1, sampling, hasPairs, fingerprint };
  return items.flatMap((item, index) =>
    Array.from({ length: numSamples }, (_, sample) => {
      const { prompt, choices, stop, maxTokens } = item;
      const decisive = {
        identity,
        prompt,
        stop,
        maxTokens,
        choices: law === "judge" ? choices : null,
        sample,
      };
      const key = createHash("sha256").update(JSON.stringify(decisive)).digest("hex").slice(0, 24);
      return { key, index, item, sample };
    }),
  );
}

/**
 * Asks for every answer that the file does not have yet, `concurrency` at a time, and writes each down as it comes. What
 * cannot be answered is told, and asked again the next time.
 */
export async function distill(options: DistillOptions): Promise<Distilled> {
  const { teacher, file, concurrency, signal, onProgress } = options;
  const wanted = wantedOf(options);
  const open = wanted.filter(({ key }) => file.find(key) === undefined);
  const numReused = wanted.length - open.length;
  const failures: Distilled["failures"] = [];
  let numCapped = 0;
  let numDone = numReused;
  const queue = open.values();
  // Read anew each time: it changes while we wait.
  const isAborted = () => signal.aborted;
  const work = async (): Promise<void> => {
    for (const one of queue) {
      if (isAborted()) return;
      try {
        const label = await askLabel(teacher, one, signal);
        if (label === null) numCapped++;
        else file.append(label);
      } catch (thrown) {
        if (isAborted()) return;
        failures.push({ item: one.index, error: ShouldersError.from(thrown) });
      }
      onProgress(++numDone, wanted.length);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  const labels = wanted.flatMap(({ key, index, sample }) => {
    const label = file.find(key);
    return label === undefined ? [] : [{ ...label, item: index, sample }];
  });
  return { labels, numReused, numCapped, failures };
}
