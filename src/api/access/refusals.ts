/** How long who was refused for want of room is told to wait, ms: the `Retry-After` of such an answer. */
const toldMs = 1000;

/**
 * When refusals for want of room go out. A key that comes again before the time that it was told gets the next one
 * late: as long as its clients wait for that, a crowd that keeps no pause cannot busy the server with refusals.
 */
export class Refusals {
  readonly #now: () => number;
  readonly #random: () => number;
  /** Until when a key was told to wait, those told last at the end. */
  readonly #toldUntil = new Map<string, number>();

  /** @param now milliseconds. Both are a test's to choose. */
  constructor(now: () => number = () => performance.now(), random: () => number = Math.random) {
    this.#now = now;
    this.#random = random;
  }

  /** Counts a refusal of the key. @returns after how many ms it is to be sent */
  delayMs(owner: string): number {
    const now = this.#now();
    for (const [other, until] of this.#toldUntil) {
      if (until > now) break;
      this.#toldUntil.delete(other);
    }
    const told = this.#toldUntil.get(owner) ?? now;
    // Not all at once, lest they come again all at once.
    const delayMs = told > now ? toldMs * (0.5 + this.#random()) : 0;
    const until = Math.max(told, now + delayMs + toldMs);
    this.#toldUntil.delete(owner);
    this.#toldUntil.set(owner, until);
    return delayMs;
  }
}
