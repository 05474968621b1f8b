/** Deaths within this time count. */
const windowMs = 60_000;
const numFree = 3;
const maxDelayMs = 30_000;

/** How often the child has died of late, and how long the next one waits for it. */
export class Deaths {
  #times: number[] = [];

  get count(): number {
    return this.#times.length;
  }

  get areMany(): boolean {
    return this.count >= numFree;
  }

  get delayMs(): number {
    const excess = this.count - numFree;
    return excess > 0 ? Math.min(maxDelayMs, 1000 * 2 ** excess) : 0;
  }

  add(): void {
    const now = Date.now();
    this.#times = [...this.#times.filter((time) => now - time < windowMs), now];
  }

  forget(): void {
    this.#times = [];
  }
}
