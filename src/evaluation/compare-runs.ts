import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { mean } from "simple-statistics";
import { z } from "zod";
import { type AnswerLine, AnswersFile, runFile } from "./answers-file.js";
import { mcNemar } from "../verdicts/mcnemar.js";
import { bootstrapInterval } from "./statistics.js";
import { invalid } from "./tasks/read-rows.js";

/** A run of `eval`: task to method to its answers, in the order of the items. */
export type Run = Map<string, Map<string, AnswerLine[]>>;

const keysSchema = z.record(z.string(), z.record(z.string(), z.array(z.string())));

/** The answers that the report in a folder is about. @throws ShouldersError `evaluation_invalid` */
export function readRun(folder: string): Run {
  const file = path.join(folder, runFile);
  if (!existsSync(file))
    throw invalid(
      `${folder}: no ${runFile} there: name a folder that eval --out wrote, or run that eval again`,
    );
  const keys = readKeys(file);
  const answers = new AnswersFile(path.join(folder, "answers.jsonl"));
  return new Map(
    Object.entries(keys).map(([task, methods]) => [
      task,
      new Map(
        Object.entries(methods).map(([method, own]) => [
          method,
          own.flatMap((key) => answers.find(key) ?? []),
        ]),
      ),
    ]),
  );
}

function readKeys(file: string): z.output<typeof keysSchema> {
  try {
    return keysSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    throw invalid(`${file}: not what eval writes: run that eval again, which asks nothing anew`, error);
  }
}

export interface ChangedItem {
  item: number;
  before: AnswerLine & { score: number };
  after: AnswerLine & { score: number };
}

export interface Comparison {
  task: string;
  methods: readonly [before: string, after: string];
  /** Items that both runs have scored. */
  items: number;
  before: number;
  after: number;
  better: number;
  worse: number;
  /** 95 % interval of the mean difference, by the percentile bootstrap over the items. */
  low: number;
  high: number;
  /** Two-sided, by McNemar's exact test; null where a score is neither 0 nor 1. */
  p: number | null;
  changed: ChangedItem[];
}

const isScored = (line: AnswerLine): line is AnswerLine & { score: number } => line.score !== null;
const askedBy = ({ prompt }: AnswerLine): string => JSON.stringify(prompt);

function compareLines(
  before: readonly AnswerLine[],
  after: readonly AnswerLine[],
  seed: number,
): Omit<Comparison, "task" | "methods"> | null {
  // The same question under the same number: files may have been edited between the runs.
  const numberToLine = new Map(before.filter(isScored).map((line) => [line.item, line]));
  const pairs = after.filter(isScored).flatMap((line): ChangedItem[] => {
    const other = numberToLine.get(line.item);
    if (other === undefined || askedBy(other) !== askedBy(line)) return [];
    return [{ item: line.item, before: other, after: line }];
  });
  if (pairs.length === 0) return null;
  const differences = pairs.map((pair) => pair.after.score - pair.before.score);
  const better = differences.filter((difference) => difference > 0).length;
  const worse = differences.filter((difference) => difference < 0).length;
  const isBinary = pairs.every((pair) =>
    [pair.before.score, pair.after.score].every((score) => score === 0 || score === 1),
  );
  return {
    items: pairs.length,
    before: mean(pairs.map((pair) => pair.before.score)),
    after: mean(pairs.map((pair) => pair.after.score)),
    better,
    worse,
    ...bootstrapInterval(differences, seed),
    p: isBinary ? mcNemar(better, worse) : null,
    changed: pairs.filter((_, index) => differences[index] !== 0),
  };
}

/**
 * Two runs item by item: each method with itself or, where one of each is named, those two.
 * @throws ShouldersError `evaluation_invalid` where they have nothing in common
 */
export function compareRuns(
  before: Run,
  after: Run,
  { methods, seed }: { methods: readonly [before: string, after: string] | null; seed: number },
): Comparison[] {
  const comparisons: Comparison[] = [];
  for (const [task, old] of before) {
    const now = after.get(task);
    const both = methods === null ? [...old.keys()].map((name) => [name, name] as const) : [methods];
    for (const [first, second] of both) {
      const compared = compareLines(old.get(first) ?? [], now?.get(second) ?? [], seed);
      if (compared !== null) comparisons.push({ task, methods: [first, second], ...compared });
    }
  }
  if (comparisons.length > 0) return comparisons;
  const known = (run: Run) => [...new Set([...run.values()].flatMap((one) => [...one.keys()]))].join(", ");
  throw invalid(
    `the two runs have no scored item in common; the first has ${known(before) || "nothing"} ` +
      `(tasks ${[...before.keys()].join(", ")}), the second ${known(after) || "nothing"} ` +
      `(tasks ${[...after.keys()].join(", ")}); name methods as FOLDER:METHOD`,
  );
}
