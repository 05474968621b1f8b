import { mostTaskBytes, readTextFile } from "../../config/read-text-file.js";
import path from "node:path";
import { chosenChoice, isReadable } from "../scorers.js";
import { formatNames, formats, type FormatName } from "./formats.js";
import { invalid, parseRows, readRows } from "./read-rows.js";
import {
  isScorerName,
  itemLineSchema,
  itemOfLine,
  type Example,
  type Item,
  type ItemDefaults,
  type Task,
} from "./task.js";

/** Where a task comes from: a file, and what the suite or the command line adds to it. */
export interface TaskSource extends ItemDefaults {
  name?: string | undefined;
  file: string;
  /** null: the plain form. */
  format: FormatName | null;
  expert?: string | undefined;
  /** A file of the same form whose first items are the examples. */
  examples?: string | undefined;
}

export interface LoadTaskOptions {
  /** Only the first so many items; null: all. */
  limit: number | null;
  seed: number;
  numExamples: number;
}

function readText(file: string): string {
  try {
    return readTextFile(file, mostTaskBytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw invalid(`${file}: cannot be read (${reason})`, error);
  }
}

function readItems(
  file: string,
  source: TaskSource,
  seed: number,
): { items: Item[]; expert: string | undefined } {
  const text = readText(file);
  const { stop, maxTokens } = source;
  const scorer = source.everyScorer ?? source.scorer;
  if (source.format !== null) {
    const items = formats[source.format]({ text, file, seed });
    const set = {
      ...(scorer === undefined ? {} : { scorer }),
      ...(stop === undefined ? {} : { stop }),
      ...(maxTokens === undefined ? {} : { maxTokens }),
    };
    return { items: items.map((item) => ({ ...item, ...set })), expert: undefined };
  }
  const lines = parseRows(readRows(text, file), itemLineSchema, file);
  const experts = new Set(lines.map(({ expert }) => expert));
  if (experts.size > 1)
    throw invalid(
      `${file}: its lines name different experts (${[...experts].join(", ")}); make a file of each`,
    );
  return {
    items: lines.map((line) => itemOfLine(line, source, path.dirname(file))),
    expert: lines[0]?.expert,
  };
}

/** What keeps an item from being scored, before anybody is asked; null: nothing. */
function problemOf({ scorer, answers, choices }: Item): string | null {
  if (scorer === "none" || !isScorerName(scorer)) return null;
  if (answers.length === 0) return `the scorer ${scorer} needs answers; without any, use none`;
  const names = scorer === "choice" || (scorer === "likelihood" && choices.length > 0);
  if (names && chosenChoice(answers[0] ?? "", choices) === null)
    return `no choice is named by the answer "${answers[0] ?? ""}"`;
  const wrong = answers.find((expected) => !isReadable(scorer, expected));
  return wrong === undefined ? null : `the answer "${wrong}" is not what the scorer ${scorer} reads`;
}

function checkItems(items: readonly Item[], file: string): void {
  items.forEach((item, index) => {
    const problem = problemOf(item);
    if (problem !== null) throw invalid(`${file}: item ${index + 1}: ${problem}`);
  });
}

/** Items of a chat as examples; a prompt that is plain text cannot be shown to the base alone. */
function asExamples(items: readonly Item[]): Example[] {
  return items.flatMap(({ prompt, target }) => {
    const user = prompt.type === "chat" ? prompt.messages.at(-1)?.content : undefined;
    return user === undefined || user === "" ? [] : [{ user, assistant: target }];
  });
}

/** `gsm8k:test.jsonl` for a public form, a plain path for ours. */
export function parseTaskArgument(argument: string): TaskSource {
  const format = formatNames.find((name) => argument.startsWith(`${name}:`)) ?? null;
  return { file: format === null ? argument : argument.slice(format.length + 1), format };
}

/** The name given, or the file's without directory and ending, in the letters that ids may have. */
export function taskName({ name, file }: { name?: string | undefined; file: string }): string {
  if (name !== undefined) return name;
  const stem = path.basename(file, path.extname(file)).toLowerCase();
  return stem.replaceAll(/[^a-z0-9._-]+/g, "-").replace(/^[._-]+/, "") || "task";
}

/** @throws ShouldersError `evaluation_invalid` with file and item. */
export function loadTask(source: TaskSource, { limit, seed, numExamples }: LoadTaskOptions): Task {
  const { items, expert } = readItems(source.file, source, seed);
  checkItems(items, source.file);
  const examples =
    source.examples === undefined ? [] : readItems(source.examples, source, seed).items.slice(0, numExamples);
  return {
    name: taskName(source),
    items: limit === null ? items : items.slice(0, limit),
    expert: source.expert ?? expert ?? null,
    examples: asExamples(examples),
  };
}
