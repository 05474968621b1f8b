import type { CodePoints } from "./code-points.js";

/** What a regular expression is made of. */
export type Expression =
  | { type: "set"; points: CodePoints }
  | { type: "sequence"; parts: readonly Expression[] }
  | { type: "choice"; branches: readonly Expression[] }
  /** `most` null: any number of times. */
  | { type: "repeat"; part: Expression; least: number; most: number | null }
  /** `^`: nothing stands before. */
  | { type: "start" }
  /** `$`: nothing stands after. */
  | { type: "end" };

export const empty: Expression = { type: "sequence", parts: [] };

export const set = (points: CodePoints): Expression => ({ type: "set", points });
export const sequence = (...parts: readonly Expression[]): Expression => ({ type: "sequence", parts });
export const choice = (...branches: readonly Expression[]): Expression => ({ type: "choice", branches });
export const repeat = (part: Expression, least: number, most: number | null): Expression => ({
  type: "repeat",
  part,
  least,
  most,
});

/** The reason why a language cannot be held to: it is not regular, or takes too much to write down. */
export class NotRegular extends Error {}
