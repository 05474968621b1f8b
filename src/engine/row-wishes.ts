import type { Plausibility } from "../fusion/types.js";
import type { RowWish } from "../rows/types.js";
import type { Cursor } from "./cursor.js";
import type { Sequence } from "./sequence.js";

/**
 * What is asked of rows of a base that is elsewhere, where not all of a row comes: beside its best entries those of the
 * tokens that the experts find plausible, so that all that takes part in the fusion is known.
 */

/** Rounding of floors: a token this near to one, in nats, is asked about. */
const margin = 1e-3;
/** An expert that finds more plausible than this is asked about its best ones. */
const mostPlausible = 128;

/** What to ask of the row of a base after the token at a position, by what is known before it comes. */
export function wishFor(sequence: Sequence, position: number, usual: RowWish): RowWish {
  const { base, run, doubt, neededTop, request } = sequence;
  if (usual.top === "all") return usual;
  const index = position - (base.tokens.length - 1);
  const rows = run.active.map((expert) => sequence.cursor(expert.model).heldAt(index));
  const ids = new Set([
    ...(index === 0 ? (doubt?.ids ?? []) : []),
    ...plausibleIds(sequence, rows),
    ...request.logitBias.map(({ token }) => token),
    ...nextToken(base, position),
  ]);
  return { top: (index === 0 ? doubt?.top : null) ?? widest(usual.top, neededTop), ids: [...ids] };
}

/** What is asked of each row, or as many entries as the answer has needed. */
export function widest(top: RowWish["top"], needed: number): RowWish["top"] {
  return top === "all" ? top : Math.max(top, needed);
}

/** The token that follows, where it is one already or may become one: its own logit is of interest. */
function nextToken(base: Cursor, position: number): number[] {
  return position + 1 < base.numDecoded + base.numRemaining ? [base.tokenAt(position + 1)] : [];
}

/** Tokens that the active experts find plausible by these rows, where they have a set; null: a row is not known. */
export function plausibleIds({ run }: Sequence, rows: readonly (Float32Array | null)[]): number[] {
  return run.active.flatMap((expert, index) => {
    const row = rows[index] ?? null;
    const { plausibility } = run.axisOf(expert);
    return row === null || plausibility === null ? [] : plausible(row, plausibility);
  });
}

/** Tokens to which an expert gives at least the ratio's share of its best one's probability, the best ones first. */
function plausible(row: Float32Array, { ratio }: Plausibility): number[] {
  let best = -Infinity;
  for (const logit of row) if (logit > best) best = logit;
  const least = best + Math.log(ratio) - margin;
  const found: number[] = [];
  for (let token = 0; token < row.length; token++) if ((row[token] as number) >= least) found.push(token);
  return found.sort((a, b) => (row[b] as number) - (row[a] as number)).slice(0, mostPlausible);
}
