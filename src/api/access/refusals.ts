/** How long who was refused for want of room is told to wait, ms: the `Retry-After` of such an answer. */
const toldMs = 1000;

/**
 * When refusals for want of room go out. Who comes again before the time that he was told gets the next one late: as
 * long as its clients wait for that, a crowd that keeps no pause cannot busy the server with refusals.
 */
export class Refusals {
  readonly #now: () => number;
  readonly #random: () => number;
  /** Until when a party was told to wait, those told last at the end. */
  readonly #toldUntil = new Map<string, number>();

  /** @param now milliseconds. Both are a test's to choose. */
  constructor(now: () => number = () => performance.now(), random: () => number = Math.random) {
    this.#now = now;
    this.#random = random;
  }

  /** Counts a refusal of the party. @returns after how many ms it is to be sent */
  delayMs(party: string): number {
    const now = this.#now();
    for (const [other, until] of this.#toldUntil) {
      if (until > now) break;
      this.#toldUntil.delete(other);
    }
    const told = this.#toldUntil.get(party) ?? now;
    // Not all at once, lest they come again all at once.
    const delayMs = told > now ? toldMs * (0.5 + this.#random()) : 0;
    const until = Math.max(told, now + delayMs + toldMs);
    this.#toldUntil.delete(party);
    this.#toldUntil.set(party, until);
    return delayMs;
  }
}
