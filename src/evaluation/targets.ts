import { mean } from "simple-statistics";
import { z } from "zod";
import type { Figure, MethodFigures, TaskFigures } from "./figures.js";

/** What a figure of the report is made of, and where it should lie. */

const figureNames = [
  "score",
  "ratio",
  "pgr",
  "burnsPgr",
  "harm",
  "harmHigh",
  "forward",
  "flipped",
  "tokensPerSecond",
] as const satisfies (keyof MethodFigures)[];

const overs = {
  mean,
  least: (values) => Math.min(...values),
  most: (values) => Math.max(...values),
} satisfies Record<string, (values: readonly number[]) => number>;

const name = z.string().min(1);
const oneOrMore = z
  .union([name, z.array(name).min(1)])
  .transform((value) => (typeof value === "string" ? [value] : value));

export const targetSchema = z
  .strictObject({
    id: name.describe("Name of the figure in the report."),
    task: oneOrMore.describe("A task, or several."),
    over: z.enum(["mean", "least", "most"]).default("mean").describe("What several tasks' values come to."),
    method: name,
    figure: z.enum(figureNames).default("score"),
    minus: oneOrMore.optional().describe("Methods whose best value is taken off, after `over`."),
    dividedBy: name.optional().describe("A method whose value divides, task by task."),
    apartFrom: name.optional().describe("A method: the value is how far the two are apart, task by task."),
    atLeast: z.number().optional(),
    atMost: z.number().optional(),
  })
  .refine(
    ({ atLeast, atMost }) => atLeast !== undefined || atMost !== undefined,
    "give atLeast, atMost or both",
  );

export type Target = z.output<typeof targetSchema>;

/** @returns null where a part is missing, or for 0 ÷ 0. */
function valueOf(target: Target, method: string, tasks: TaskFigures): number | null {
  const { task, over, figure, dividedBy, apartFrom } = target;
  const values: number[] = [];
  for (const one of task) {
    const of = (name: string): number | null => tasks[one]?.[name]?.[figure] ?? null;
    const value = of(method);
    const divisor = dividedBy === undefined ? 1 : of(dividedBy);
    const other = apartFrom === undefined ? null : of(apartFrom);
    if (value === null || divisor === null || divisor === 0) return null;
    if (apartFrom !== undefined && other === null) return null;
    values.push(other === null ? value / divisor : Math.abs(value - other));
  }
  return overs[over](values);
}

export function targetFigure(target: Target, tasks: TaskFigures): Figure {
  const { id, method, minus = [], atLeast, atMost } = target;
  const own = valueOf(target, method, tasks);
  const others = minus.map((other) => valueOf(target, other, tasks));
  const isKnown = own !== null && !others.includes(null);
  const best = others.length === 0 ? 0 : Math.max(...others.map((other) => other ?? 0));
  const value = isKnown ? own - best : null;
  const written = [
    ...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
    ...(atMost === undefined ? [] : [`at most ${atMost}`]),
  ].join(", ");
  // Scores are sums of fractions: a difference of exactly the bound may come out a rounding below it.
  const slack = 1e-9;
  return {
    id,
    value,
    target: written,
    holds: value !== null && value >= (atLeast ?? -Infinity) - slack && value <= (atMost ?? Infinity) + slack,
  };
}
