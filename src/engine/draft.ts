/** Who made a draft: it is given, found in a text of the answer's own, or drawn from a row of an expert or the reference. */
export type DraftSource = "given" | "text" | "expert";

/** A token that may come next. */
export interface Draft {
  readonly token: number;
  readonly source: DraftSource;
  /** Experts settle it, if all drafts before it are right: no row of the base is needed for it. */
  readonly isCertain: boolean;
}

/** Whether it may be wrong, and nobody asked for it. */
export function isGuess({ source, isCertain }: Draft): boolean {
  return source !== "given" && !isCertain;
}

/** Tokens as drafts that may be wrong. */
export function draftsOf(tokens: readonly number[], source: DraftSource): Draft[] {
  return tokens.map((token) => ({ token, source, isCertain: false }));
}
