import { mean, quantileSorted } from "simple-statistics";
import type { AnswerLine } from "./answers-file.js";
import type { Method } from "./methods/method.js";
import type { Results } from "./runner.js";

/** What one expert's weight, or one component's share, was under one method, token by token. */
export interface Curve {
  name: string;
  /** A point for each token of the answer: the mean over the answers that are so long, and their quartiles. */
  points: { mean: number; low: number; high: number }[];
}

export type TaskToCurves = ReadonlyMap<string, readonly Curve[]>;

/** A position that only few answers reach says little. */
const leastShare = 0.1;
/** More lines than this cannot be told apart. */
const maxCurves = 4;

function curve(name: string, rows: readonly number[][]): Curve {
  const points: Curve["points"] = [];
  for (let at = 0; ; at++) {
    const column = rows.flatMap((row) => row[at] ?? []).sort((a, b) => a - b);
    if (column.length === 0 || column.length < leastShare * rows.length) return { name, points };
    points.push({
      mean: mean(column),
      low: quantileSorted(column, 0.25),
      high: quantileSorted(column, 0.75),
    });
  }
}

/** The answers' rows of numbers, by what they are of. */
function rowsOf(lines: readonly AnswerLine[], field: "weights" | "shares"): Map<string, number[][]> {
  const idToRows = new Map<string, number[][]>();
  for (const line of lines)
    for (const [id, row] of Object.entries(line[field] ?? {}))
      idToRows.set(id, [...(idToRows.get(id) ?? []), row]);
  return idToRows;
}

function weightCurvesOf(method: string, lines: readonly AnswerLine[]): Curve[] {
  const expertToRows = rowsOf(lines, "weights");
  // Weights that never change are no curve.
  const moving = [...expertToRows].filter(([, rows]) => new Set(rows.flat()).size > 1);
  return moving.map(([expert, rows]) =>
    curve(expertToRows.size === 1 ? method : `${method}: ${expert}`, rows),
  );
}

/**
 * Weights by task: of fusion configs and of the methods that solve the right expert's weight exactly (the grid
 * differs little), or, where there are none, of all that solve weights.
 */
export function weightCurves(results: Results, methods: readonly Method[]): TaskToCurves {
  const preferred = methods.filter(
    ({ name, kind }) => kind === "configured" || (kind === "dynamic" && !name.startsWith("dynamic-grid")),
  );
  const shown = preferred.length > 0 ? preferred : methods;
  return new Map(
    [...results].map(([task, methodToLines]) => {
      const curves = shown.flatMap(({ name }) => weightCurvesOf(name, methodToLines.get(name) ?? []));
      return [task, curves.slice(0, maxCurves)];
    }),
  );
}

/** Gives the shares of the components of each method that mixes, by task. */
export function shareCurves(
  results: Results,
  methods: readonly Method[],
): { method: string; curves: TaskToCurves }[] {
  return methods.flatMap(({ name, kind }) => {
    if (kind !== "configured" && kind !== "mixture") return [];
    const curves = new Map(
      [...results].map(([task, methodToLines]) => [
        task,
        [...rowsOf(methodToLines.get(name) ?? [], "shares")].map(([id, rows]) => curve(id, rows)),
      ]),
    );
    const isMoving = [...curves.values()].some((all) =>
      all.some(({ points }) => new Set(points.map((point) => point.mean)).size > 1),
    );
    return isMoving ? [{ method: name, curves }] : [];
  });
}
