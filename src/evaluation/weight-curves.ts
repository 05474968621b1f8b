import type { AnswerLine } from "./answers-file.js";
import type { Method } from "./methods.js";
import type { Results } from "./runner.js";
import { mean, quantile } from "./statistics.js";

/** What one expert's weight was under one method, token by token. */
export interface WeightCurve {
  name: string;
  /** At each token of the answer: the mean over the answers that are so long, and their quartiles. */
  points: { mean: number; low: number; high: number }[];
}

/** A position that only few answers reach says little. */
const leastShare = 0.1;
/** More lines than this cannot be told apart. */
const maxCurves = 4;

function curve(name: string, rows: readonly number[][]): WeightCurve {
  const points: WeightCurve["points"] = [];
  for (let at = 0; ; at++) {
    const column = rows.flatMap((row) => row[at] ?? []).sort((a, b) => a - b);
    if (column.length === 0 || column.length < leastShare * rows.length) return { name, points };
    points.push({ mean: mean(column), low: quantile(column, 0.25), high: quantile(column, 0.75) });
  }
}

function curvesOf(method: string, lines: readonly AnswerLine[]): WeightCurve[] {
  const expertToRows = new Map<string, number[][]>();
  for (const { weights } of lines)
    for (const [expert, row] of Object.entries(weights ?? {}))
      expertToRows.set(expert, [...(expertToRows.get(expert) ?? []), row]);
  // Weights that never change are no curve.
  const moving = [...expertToRows].filter(([, rows]) => new Set(rows.flat()).size > 1);
  return moving.map(([expert, rows]) =>
    curve(expertToRows.size === 1 ? method : `${method}: ${expert}`, rows),
  );
}

/**
 * Curves by task: of fusion configs and of the methods that solve the right expert's weight exactly (the grid
 * differs little), or, where there are none, of all that solve weights.
 */
export function weightCurves(results: Results, methods: readonly Method[]): Map<string, WeightCurve[]> {
  const preferred = methods.filter(
    ({ name, kind }) => kind === "configured" || (kind === "dynamic" && !name.startsWith("dynamic-grid")),
  );
  const shown = preferred.length > 0 ? preferred : methods;
  return new Map(
    [...results].map(([task, methodToLines]) => {
      const curves = shown.flatMap(({ name }) => curvesOf(name, methodToLines.get(name) ?? []));
      return [task, curves.slice(0, maxCurves)];
    }),
  );
}
