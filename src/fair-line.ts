/** A line in which parties take turns: one's hundred stand behind each other, and another's one beside them. */
export class FairLine<W extends { party: string }> {
  /** The party whose turn it is first. */
  readonly #waitingOf = new Map<string, W[]>();

  get isEmpty(): boolean {
    return this.#waitingOf.size === 0;
  }

  push(one: W): void {
    const waiting = this.#waitingOf.get(one.party);
    if (waiting) waiting.push(one);
    else this.#waitingOf.set(one.party, [one]);
  }

  remove(one: W): void {
    const waiting = this.#waitingOf.get(one.party) ?? [];
    const at = waiting.indexOf(one);
    if (at >= 0) waiting.splice(at, 1);
    if (waiting.length === 0) this.#waitingOf.delete(one.party);
  }

  /** The first of the party whose turn it is; the party goes behind the others. */
  take(): W | null {
    const [next] = this.#waitingOf;
    if (next === undefined) return null;
    const [party, waiting] = next;
    const one = waiting.shift() ?? null;
    this.#waitingOf.delete(party);
    if (waiting.length > 0) this.#waitingOf.set(party, waiting);
    return one;
  }
}
