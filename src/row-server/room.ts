import { invariant, ShouldersError } from "../errors.js";

/** What a session has reserved: sequences of the context, and how many tokens they may hold together. */
export interface Room {
  sequenceIds: readonly number[];
  cells: number;
}

/** Divides a context among sessions: who was let in never runs out of it because of another. */
export class Rooms {
  readonly #freeIds: number[];
  #freeCells: number;

  constructor(numSequences: number, numCells: number) {
    this.#freeIds = Array.from({ length: numSequences }, (_, index) => index);
    this.#freeCells = numCells;
  }

  get free(): { sequences: number; cells: number } {
    return { sequences: this.#freeIds.length, cells: this.#freeCells };
  }

  /** @throws ShouldersError `too_many_connections`: others have it. */
  reserve(sequences: number, cells: number): Room {
    if (sequences > this.#freeIds.length || cells > this.#freeCells)
      throw new ShouldersError(
        "too_many_connections",
        `${sequences} sequences of ${cells} tokens in all are asked for; ${this.#freeIds.length} sequences and ` +
          `${this.#freeCells} tokens are free. Start the row server with more (--sequences, --cells), or lower ` +
          "context.tokens and context.sequences of the config, or the engine's --cache-sequences.",
      );
    this.#freeCells -= cells;
    return { sequenceIds: this.#freeIds.splice(0, sequences), cells };
  }

  release({ sequenceIds, cells }: Room): void {
    invariant(!this.#freeIds.some((id) => sequenceIds.includes(id)), "a room is released once");
    this.#freeIds.push(...sequenceIds);
    this.#freeCells += cells;
  }
}
