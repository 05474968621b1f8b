import type { CursorView } from "./scheduler.js";

/** What the choice sees of a sequence. */
export interface StepCandidate {
  party: string;
  /** It has not had its rows since it got its place. */
  isReading: boolean;
  cursors: readonly Pick<CursorView, "numRemaining">[];
}

/**
 * Who takes part in a step. Beside a party that runs several answers, the only answer of another has its prompt read in
 * a step of its own where it is short: its first token does not wait for the rows and prompts of all the others, who
 * wait for that one short step. Never twice in a row.
 */
export class FirstSteps {
  #isOwn = false;

  /** Whether the step that was chosen last leaves others out. */
  get isOwn(): boolean {
    return this.#isOwn;
  }

  /** @param mostTokens what others wait for at most, in tokens of a model */
  choose<S extends StepCandidate>(sequences: readonly S[], mostTokens: number): readonly S[] {
    const newcomers = this.#isOwn ? [] : fitting(newcomersOf(sequences), mostTokens);
    this.#isOwn = newcomers.length > 0;
    return this.#isOwn ? newcomers : sequences;
  }
}

/** Those that have no token yet and are their party's only ones, where another party runs several. */
function newcomersOf<S extends StepCandidate>(sequences: readonly S[]): S[] {
  const numOf = new Map<string, number>();
  for (const { party } of sequences) numOf.set(party, (numOf.get(party) ?? 0) + 1);
  if (Math.max(...numOf.values()) < 2) return [];
  return sequences.filter(({ party, isReading }) => isReading && numOf.get(party) === 1);
}

function fitting<S extends StepCandidate>(sequences: readonly S[], mostTokens: number): S[] {
  let left = mostTokens;
  return sequences.filter(({ cursors }) => {
    const numTokens = Math.max(...cursors.map(({ numRemaining }) => numRemaining));
    if (numTokens > left) return false;
    left -= numTokens;
    return true;
  });
}
