import type { RowRest } from "../types.js";
import { mostTail, tailShare } from "./rest.js";
import type { Row } from "./simd-axis.js";

/** Rows as they were loaded, of which the experts' may be more than there are axes. */
export interface LoadedRows {
  base: Row;
  reference: Row | null;
  experts: readonly Row[];
  /** By expert: it moves no token; its row alone says which tokens take part. */
  axes: readonly { isStill: boolean; isAlone: boolean }[];
  /** ln of the ratio of the plausible sets; −Infinity: all tokens take part. */
  floor: number;
  view: (row: Row) => Float32Array;
  /** Next token of a row from one on whose logit is above `least`. */
  nextAbove: (row: number, from: number, length: number, least: number) => number;
}

interface Used {
  row: Row;
  logits: Float32Array;
  /** Of its shift. */
  weight: number;
  isAlone: boolean;
}

/** Rounding of floors: a token this near is looked at. */
const margin = 1e-4;

/** The twin of `unknownShare` in reference.ts, which looks at whole rows only where many tokens may take part. */
export function unknownShare(rest: RowRest, weights: readonly number[] | null, rows: LoadedRows): number {
  const { floor } = rows;
  const [base, reference] = [rows.view(rows.base), rows.reference && rows.view(rows.reference)];
  const used = usedExperts(weights, rows);
  const takesPart = (token: number, baseLogit: number) =>
    used.length === 0 ||
    used.some(
      ({ logits, row, isAlone }) =>
        (logits[token] as number) >= row.best + floor || (!isAlone && baseLogit >= rows.base.best + floor),
    );
  const shiftOf = (token: number) => {
    let shift = 0;
    for (const { weight, logits } of used)
      if (weight !== 0) shift += weight * ((logits[token] as number) - (reference?.[token] ?? 0));
    return shift;
  };
  const open: number[] = [];
  for (const token of candidates(rest, used, rows))
    if (!rest.known.has(token) && (base[token] as number) > -Infinity && takesPart(token, rest.cap))
      open.push(shiftOf(token));
  if (open.length === 0) return 0;
  const known: number[] = [];
  for (const token of rest.known) {
    const logit = base[token] ?? -Infinity;
    if (logit > -Infinity && takesPart(token, logit)) known.push(logit + shiftOf(token));
  }
  // The only token of a set has all of the law, whatever the base gives it.
  if (known.length === 0) return open.length === 1 ? 0 : 1;
  const best = known.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const sum = known.reduce((total, logit) => total + Math.exp(logit - best), 0);
  return tailShare(mostTail(Float64Array.from(open), rest), best + Math.log(sum));
}

/** The experts whose sets make up the row that these weights give: those that have one, or else all. */
function usedExperts(weights: readonly number[] | null, { axes, experts, view }: LoadedRows): Used[] {
  if (weights === null) return [];
  const all = axes.map(({ isStill, isAlone }, t): Used => {
    const row = experts[t] as Row;
    return { row, logits: view(row), weight: isStill ? 0 : (weights[t] ?? 0), isAlone };
  });
  const weighed = all.filter((_, t) => (weights[t] ?? 0) !== 0);
  return weighed.length > 0 ? weighed : all;
}

/** Tokens among which all are that may take part unknown. */
function* candidates({ cap }: RowRest, used: readonly Used[], rows: LoadedRows): Iterable<number> {
  const { base, floor, nextAbove, view } = rows;
  const { length } = view(base);
  const isByExperts = cap < base.best + floor || used.every(({ isAlone }) => isAlone);
  if (used.length === 0 || floor === -Infinity || !isByExperts) {
    for (let token = 0; token < length; token++) yield token;
    return;
  }
  const seen = new Set<number>();
  for (const { row } of used) {
    const least = row.best + floor - margin * (1 + Math.abs(row.best + floor));
    for (
      let token = nextAbove(row.at, 0, length, least);
      token < length;
      token = nextAbove(row.at, token + 1, length, least)
    ) {
      if (!seen.has(token)) yield token;
      seen.add(token);
    }
  }
}
