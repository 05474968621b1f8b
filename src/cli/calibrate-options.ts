import { existsSync } from "node:fs";
import { z } from "zod";
import type { Example } from "../calibration/ask.js";
import { mostTaskBytes, readTextFile } from "../config/read-text-file.js";
import { ShouldersError } from "../errors.js";
import { loadTask, parseTaskArgument } from "../evaluation/tasks/load-task.js";
import { invalid, parseRows, readRows } from "../evaluation/tasks/read-rows.js";
import type { SettingFlags } from "./run-time.js";

export type CalibrateFlags = SettingFlags & { examples: string[]; dryRun?: boolean; force?: boolean };

/** Fewer prompts tell too little of an expert, fewer than `good` tell it less surely, more than `most` no more. */
export const promptCounts = { least: 4, good: 32, most: 64 } as const;

const text = z.string().min(1);

const exampleLineSchema = z
  .strictObject({
    expert: text.nullable().describe("Id of the expert whose prompt this is; null: it fits none."),
    prompt: text.optional().describe("Given to every model as it stands."),
    messages: z
      .array(z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string() }))
      .min(1)
      .optional()
      .describe("A conversation, rendered by each model's own chat template."),
    answers: z
      .array(text)
      .min(1)
      .optional()
      .describe("Wanted answers as the expert should give them; the first is used."),
    choices: z
      .array(text)
      .min(2)
      .max(64)
      .optional()
      .describe("Candidates, the wanted answer among them: verdicts over them are calibrated too."),
  })
  .refine(
    ({ prompt, messages }) => (prompt === undefined) !== (messages === undefined),
    "give either prompt or messages",
  );

function rowsOf(file: string): unknown[] {
  try {
    return readRows(readTextFile(file, mostTaskBytes), file);
  } catch (error) {
    if (error instanceof ShouldersError) throw error;
    throw invalid(
      `${file}: cannot be read (${error instanceof Error ? error.message : String(error)})`,
      error,
    );
  }
}

function readLines(file: string): Example[] {
  return parseRows(rowsOf(file), exampleLineSchema, file).map(
    ({ expert, prompt, messages, answers, choices }) => ({
      expert,
      prompt: messages === undefined ? { type: "text", text: prompt ?? "" } : { type: "chat", messages },
      answer: answers?.[0] ?? null,
      ...(choices && { choices }),
    }),
  );
}

/** `recall=FILE`, `recall=gsm8k:FILE`: the items of a task file, all of one expert; `base=FILE`: they fit none. */
function readTask(expert: string, argument: string): Example[] {
  const { items } = loadTask(parseTaskArgument(argument), { limit: null, seed: 1, numExamples: 0 });
  const isBase = expert === "base";
  return items.map(({ prompt, target, choices }) => ({
    prompt,
    ...(choices.length > 0 && { choices }),
    expert: isBase ? null : expert,
    answer: isBase ? null : target,
  }));
}

const splitName = (argument: string): { expert: string; file: string } | null => {
  const [, expert, file] = /^([a-z0-9][a-z0-9._-]{0,63})=(.+)$/.exec(argument) ?? [];
  return expert === undefined || file === undefined ? null : { expert, file };
};

const namesNobody = (row: unknown): boolean => typeof row === "object" && row !== null && !("expert" in row);

/** Files as they are given; one whose lines do not say whose they are is the only expert's. @param ids of the experts */
export function nameFiles(given: readonly string[], ids: readonly string[]): string[] {
  const [only = "", ...others] = ids;
  return given.map((argument) => {
    if (splitName(argument) !== null || !existsSync(argument)) return argument;
    const rows = rowsOf(argument);
    if (rows.length === 0 || !rows.every(namesNobody)) return argument;
    if (others.length === 0) return `${only}=${argument}`;
    throw invalid(
      `${argument}: no line says which "expert" it is for; if all are for one, name it: ${only}=${argument}`,
    );
  });
}

/** All examples of files, each `FILE` or `EXPERT=FILE`. @param ids of the config's experts */
export function readExamples(given: readonly string[], ids: readonly string[]): Example[] {
  return nameFiles(given, ids).flatMap((argument) => {
    const named = splitName(argument);
    return named === null ? readLines(argument) : readTask(named.expert, named.file);
  });
}

export interface ExampleGroup {
  /** null: these prompts fit none. */
  expert: string | null;
  examples: Example[];
  /** Examples beyond the most that are used. */
  numLeftOut: number;
}

/**
 * Examples by expert, in the order of the config, then those that fit none, if any.
 * @throws ShouldersError `evaluation_invalid`, `settings_invalid`: an unknown expert, or one with too few prompts.
 */
export function loadExamples(given: readonly string[], ids: readonly string[]): ExampleGroup[] {
  const all = readExamples(given, ids);
  const unknown = all.find(({ expert }) => expert !== null && !ids.includes(expert));
  if (unknown !== undefined)
    throw new ShouldersError(
      "settings_invalid",
      `the config has no expert "${String(unknown.expert)}"; known: ${ids.join(", ")}`,
    );
  const groups = [...ids, null].map((expert): ExampleGroup => {
    const examples = all.filter((example) => example.expert === expert);
    if (expert !== null && examples.length < promptCounts.least)
      throw new ShouldersError(
        "settings_invalid",
        `expert "${expert}" has ${examples.length} example prompts; ` +
          `give ${promptCounts.least} to ${promptCounts.most} with --examples`,
      );
    return {
      expert,
      examples: examples.slice(0, promptCounts.most),
      numLeftOut: Math.max(0, examples.length - promptCounts.most),
    };
  });
  return groups.filter(({ examples }) => examples.length > 0);
}
