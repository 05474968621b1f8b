import { setImmediate } from "node:timers/promises";
import type { ShouldersError } from "../errors.js";
import type { Claim } from "./admission.js";
import { FairLine } from "../fair-line.js";

/** Texts of fewer characters, and fewer ids, are read between two steps without being noticed. */
const longestShort = 4_096;
/** About as many characters as a token stands for. */
const charactersPerToken = 4;
/** How long what is read on the event loop may keep it from others, ms. */
const sliceMs = 4;

/** What is to be read. */
export interface ReadingSize {
  characters: number;
  /** Number of tokens of what comes as ids. */
  tokens: number;
}

/** A prompt, for one answer or several, or a question: what has come and is not read yet. */
export class Entrant implements Claim {
  readonly party: string;
  readonly arrival: number;
  /** An estimate. */
  readonly tokens: number;
  readonly isLong: boolean;
  /** Ids of the answers that are still wanted. */
  readonly wanted: Set<string>;
  /** Never rejects, and leaves the entrance; asks `wanted` between its parts. */
  readonly read: (self: Entrant) => Promise<void>;
  readonly refuse: (id: string, error: ShouldersError) => void;

  constructor(
    parts: Pick<Entrant, "party" | "arrival" | "read" | "refuse"> & {
      ids: Iterable<string>;
      size: ReadingSize;
    },
  ) {
    const { characters, tokens } = parts.size;
    this.party = parts.party;
    this.arrival = parts.arrival;
    this.tokens = Math.ceil(characters / charactersPerToken) + tokens;
    this.isLong = Math.max(characters, tokens) > longestShort;
    this.wanted = new Set(parts.ids);
    this.read = parts.read;
    this.refuse = parts.refuse;
  }

  get places(): number {
    return this.wanted.size;
  }
}

/**
 * Where what came waits to be read. Long texts and short ones have lines of their own, so that nobody's sentence
 * waits for another's megabyte; in each line one is read at a time, and parties take turns.
 */
export class Entrance {
  readonly #lines = { short: new ReadingLine(), long: new ReadingLine() };
  /** Entrants by the ids of what is wanted. */
  readonly #entrants = new Map<string, Entrant>();

  get claims(): Entrant[] {
    return [...new Set(this.#entrants.values())];
  }

  get numPlaces(): number {
    return this.#entrants.size;
  }

  push(entrant: Entrant): void {
    for (const id of entrant.wanted) this.#entrants.set(id, entrant);
    this.#lineOf(entrant).push(entrant);
  }

  /** It is wanted no longer. What nobody wants is not read, or only to the end of the part that is being read. */
  cancel(id: string): void {
    const entrant = this.#entrants.get(id);
    this.#entrants.delete(id);
    entrant?.wanted.delete(id);
    if (entrant?.wanted.size === 0) this.#lineOf(entrant).remove(entrant);
  }

  /** @returns the ids that were still wanted */
  leave({ wanted }: Entrant): string[] {
    const ids = [...wanted];
    for (const id of ids) this.cancel(id);
    return ids;
  }

  clear(): void {
    for (const entrant of this.claims) this.leave(entrant);
  }

  #lineOf({ isLong }: Entrant): ReadingLine {
    return isLong ? this.#lines.long : this.#lines.short;
  }
}

class ReadingLine {
  readonly #line = new FairLine<Entrant>();
  #isReading = false;

  push(entrant: Entrant): void {
    this.#line.push(entrant);
    if (!this.#isReading) void this.#read();
  }

  remove(entrant: Entrant): void {
    this.#line.remove(entrant);
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    let sinceMs = performance.now();
    for (let next = this.#line.take(); next !== null; next = this.#line.take()) {
      await next.read(next);
      if (performance.now() - sinceMs < sliceMs) continue;
      await setImmediate();
      sinceMs = performance.now();
    }
    this.#isReading = false;
  }
}
