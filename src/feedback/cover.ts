/** A policy and its score on each task, in one order of tasks. */
export interface Scored {
  id: string;
  scores: readonly number[];
}

/** How much a policy beats all of a set by, at most, and at which mixture of tasks. */
export interface Advantage {
  value: number;
  /** Share of each task; they add up to 1. */
  mixture: readonly number[];
}

export interface Cover {
  /** In the order in which they were taken; `gap`: the most that any other beats those so far by. */
  taken: { id: string; gap: number }[];
  /** Of the others: how far they are ahead of the set where they are most. */
  left: { id: string; advantage: Advantage }[];
}

/**
 * A small set of policies that no other beats by more than delta at any mixture of tasks: the best on average first,
 * then always the one that is furthest ahead somewhere. For delta 0 it has the best policy of every task.
 */
export function coverOf(policies: readonly Scored[], delta: number): Cover {
  const mean = ({ scores }: Scored) => scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const best = policies.reduce((a, b) => (mean(b) > mean(a) ? b : a));
  const chosen: Scored[] = [best];
  const taken: Cover["taken"] = [];
  for (;;) {
    const left = policies
      .filter((policy) => !chosen.includes(policy))
      .map((policy) => ({ policy, advantage: advantageOf(policy, chosen) }));
    const [first] = [...left].sort((a, b) => b.advantage.value - a.advantage.value);
    const gap = Math.max(0, first?.advantage.value ?? 0);
    taken.push({ id: chosen.at(-1)?.id ?? "", gap });
    if (first === undefined || gap <= delta + 1e-12)
      return { taken, left: left.map(({ policy: { id }, advantage }) => ({ id, advantage })) };
    chosen.push(first.policy);
  }
}

/**
 * max over mixtures w of min over the set of w·(r − r_s): the value of a matrix game, by the simplex method on its linear
 * programme (the set mixes so that no task pays more than v).
 */
export function advantageOf({ scores }: Scored, set: readonly Scored[]): Advantage {
  const rows = scores.map((score, task) => set.map((other) => score - (other.scores[task] ?? 0)));
  // Payoffs above 0, so that the value is.
  const shift = 1 - Math.min(...rows.flat());
  const { value, duals } = simplex(rows.map((row) => row.map((payoff) => payoff + shift)));
  return { value: 1 / value - shift, mixture: duals.map((dual) => dual / value) };
}

/** max Σx with Ax ≤ 1, x ≥ 0, for A > 0: the value, and the prices of the rows. Bland's rule: it ends. */
function simplex(matrix: readonly (readonly number[])[]): { value: number; duals: number[] } {
  const [numRows, numColumns] = [matrix.length, matrix[0]?.length ?? 0];
  const width = numColumns + numRows + 1;
  const rows = matrix.map((row, at) => [
    ...row,
    ...Array.from({ length: numRows }, (_, i) => Number(i === at)),
    1,
  ]);
  const costs = Array.from({ length: width }, (_, column) => (column < numColumns ? -1 : 0));
  const basis = matrix.map((_, at) => numColumns + at);
  for (;;) {
    const column = costs.findIndex((cost, at) => at < width - 1 && cost < -1e-12);
    if (column < 0) break;
    const pivotAt = leavingRow(rows, basis, column);
    const pivot = rows[pivotAt] ?? [];
    const scale = pivot[column] ?? 1;
    pivot.forEach((value, at) => (pivot[at] = value / scale));
    for (const row of [...rows, costs]) if (row !== pivot) subtract(row, pivot, row[column] ?? 0);
    basis[pivotAt] = column;
  }
  return { value: costs[width - 1] ?? 0, duals: costs.slice(numColumns, width - 1) };
}

/** The row that bounds the column first; of equals the one whose variable comes first. */
function leavingRow(rows: readonly number[][], basis: readonly number[], column: number): number {
  let [found, least] = [-1, Infinity];
  rows.forEach((row, at) => {
    const factor = row[column] ?? 0;
    if (factor <= 1e-12) return;
    const ratio = (row.at(-1) ?? 0) / factor;
    const isFirst = Math.abs(ratio - least) <= 1e-12 && (basis[at] ?? 0) < (basis[found] ?? 0);
    if (ratio < least - 1e-12 || isFirst) [found, least] = [at, ratio];
  });
  return found;
}

function subtract(row: number[], pivot: readonly number[], factor: number): void {
  if (factor !== 0) row.forEach((value, at) => (row[at] = value - factor * (pivot[at] ?? 0)));
}
