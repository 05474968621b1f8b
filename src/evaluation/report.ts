import { mean } from "simple-statistics";
import type { AnswerLine } from "./answers-file.js";
import type { Method } from "./methods/method.js";
import type { Results } from "./runner.js";
import { bootstrapInterval, ratioInterval, unionLength } from "./statistics.js";
import type { Figure, MethodFigures, TaskFigures } from "./figures.js";
import type { Judged, Judgement } from "./judge.js";
import { type Target, targetFigure } from "./targets.js";

export interface Report {
  hardware: string;
  /** ISO 8601, UTC. */
  date: string;
  command: string;
  /** Method to what it is. */
  methods: Record<string, string>;
  tasks: TaskFigures;
  figures: Figure[];
  /** What a judge said; null: none was asked. */
  judged: Judged | null;
}

export interface ReportOptions {
  hardware: string;
  date: Date;
  command: string;
  methods: readonly Method[];
  targets: readonly Target[];
  seed: number;
  judgement: Judgement | null;
}

/** Answers of the methods that the others are compared with; empty where there are none. */
interface Anchors {
  giant: readonly AnswerLine[];
  expert: readonly AnswerLine[];
  tuned: readonly AnswerLine[];
}

const isScored = (line: AnswerLine): line is AnswerLine & { score: number } => line.score !== null;

/** Mean over all tokens of answers that have a mean over their own. */
function tokenMean(
  lines: readonly AnswerLine[],
  figure: "forward" | "flipped" | "skippedShare",
): number | null {
  let sum = 0;
  let numTokens = 0;
  for (const line of lines) {
    const value = line[figure];
    if (value === null) continue;
    sum += value * line.numTokens;
    numTokens += line.numTokens;
  }
  return numTokens === 0 ? null : sum / numTokens;
}

function measuredOf(
  lines: readonly AnswerLine[],
  seed: number,
): Omit<MethodFigures, keyof ReturnType<typeof compared>> {
  const answered = lines.filter(({ error }) => error === null);
  const scores = answered.filter(isScored).map(({ score }) => score);
  const busy = unionLength(answered.map(({ startedAt, totalMs }) => [startedAt, startedAt + totalMs]));
  const numTokens = answered.reduce((sum, line) => sum + line.numTokens, 0);
  return {
    score: scores.length === 0 ? null : mean(scores),
    ...(scores.length === 0 ? { low: null, high: null } : bootstrapInterval(scores, seed)),
    items: answered.length,
    errors: lines.length - answered.length,
    forward: tokenMean(answered, "forward"),
    flipped: tokenMean(answered, "flipped"),
    skippedShare: tokenMean(answered, "skippedShare"),
    tokensPerSecond: busy === 0 ? 0 : (numTokens * 1000) / busy,
  };
}

/** (score − floor) ÷ (ceiling − floor); null without both, or where tuning gained nothing. */
function recovered(score: number | null, floor: number | null, ceiling: number | null): number | null {
  if (score === null || floor === null || ceiling === null || ceiling <= floor) return null;
  return (score - floor) / (ceiling - floor);
}

/** Interval of the gap recovered over the items that base, method and tuned base have all answered. */
function recoveredInterval(
  lines: readonly AnswerLine[],
  { giant, tuned }: Anchors,
  seed: number,
): { pgrLow: number | null; pgrHigh: number | null } {
  const byItem = (anchor: readonly AnswerLine[]) =>
    new Map(anchor.filter(isScored).map(({ item, score }) => [item, score]));
  const [floors, ceilings] = [byItem(giant), byItem(tuned)];
  const items = lines.filter(isScored).flatMap(({ item, score }) => {
    const [floor, ceiling] = [floors.get(item), ceilings.get(item)];
    return floor === undefined || ceiling === undefined
      ? []
      : [{ part: score - floor, whole: ceiling - floor }];
  });
  const interval = items.length === 0 ? null : ratioInterval(items, seed);
  return { pgrLow: interval?.low ?? null, pgrHigh: interval?.high ?? null };
}

function scoreOf(lines: readonly AnswerLine[]): number | null {
  const scored = lines.filter(isScored);
  return scored.length === 0 ? null : mean(scored.map(({ score }) => score));
}

/** Interval of the mean difference of two methods over the items that both answered. */
function differenceInterval(
  lines: readonly AnswerLine[],
  others: readonly AnswerLine[],
  seed: number,
): { harmLow: number | null; harmHigh: number | null } {
  const itemToScore = new Map(others.filter(isScored).map(({ item, score }) => [item, score]));
  const differences = lines.filter(isScored).flatMap(({ item, score }) => {
    const other = itemToScore.get(item);
    return other === undefined ? [] : [score - other];
  });
  if (differences.length === 0) return { harmLow: null, harmHigh: null };
  const { low, high } = bootstrapInterval(differences, seed);
  return { harmLow: low, harmHigh: high };
}

function compared(lines: readonly AnswerLine[], anchors: Anchors, seed: number) {
  const score = scoreOf(lines);
  const [giant, expert, tuned] = [anchors.giant, anchors.expert, anchors.tuned].map(scoreOf) as [
    number | null,
    number | null,
    number | null,
  ];
  const better = giant !== null && expert !== null && expert > giant ? anchors.expert : anchors.giant;
  return {
    ratio: score === null || tuned === null || tuned === 0 ? null : score / tuned,
    pgr: recovered(score, giant, tuned),
    ...recoveredInterval(lines, anchors, seed),
    burnsPgr: recovered(score, expert, tuned),
    harm: score === null || giant === null ? null : score - Math.max(giant, expert ?? giant),
    ...differenceInterval(lines, better, seed),
  };
}

export function buildReport(results: Results, options: ReportOptions): Report {
  const { hardware, date, command, methods, targets, seed, judgement } = options;
  const tasks: Report["tasks"] = {};
  for (const [task, methodToLines] of results) {
    const anchors: Anchors = {
      giant: methodToLines.get("giant") ?? [],
      expert: methodToLines.get("right-expert") ?? [],
      tuned: methodToLines.get("tuned-giant") ?? [],
    };
    tasks[task] = Object.fromEntries(
      [...methodToLines].map(([name, lines]) => [
        name,
        { ...measuredOf(lines, seed), ...compared(lines, anchors, seed) },
      ]),
    );
  }
  return {
    hardware,
    date: date.toISOString(),
    command,
    methods: Object.fromEntries(methods.map(({ name, description }) => [name, description])),
    tasks,
    figures: targets.map((target) => targetFigure(target, tasks)),
    judged: judgement?.judged ?? null,
  };
}
