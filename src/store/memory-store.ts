import { bytesOf, evenShare, type Entry, type NewEntry, type Place, type Query } from "./store.js";
import type { Retention, Store } from "./store.js";

const isAt = (entry: Entry, { owner, kind, topic, key }: Place): boolean =>
  entry.owner === owner &&
  (kind === undefined || entry.kind === kind) &&
  (topic === undefined || entry.topic === topic) &&
  (key === undefined || entry.key === key);

/** A log that ends with the process. */
export class MemoryStore implements Store {
  #entries: Entry[] = [];
  #lastSeq = 0;

  append(entries: readonly NewEntry[]): Promise<void> {
    for (const entry of entries) this.#entries.push({ ...entry, seq: ++this.#lastSeq });
    return Promise.resolve();
  }

  read({ after = 0, before = Infinity, limit, order, isLatest = false, ...place }: Query): Promise<Entry[]> {
    const found = this.#entries.filter(
      (entry) =>
        entry.seq > after && entry.seq < before && isAt(entry, place) && (!isLatest || this.#isLatest(entry)),
    );
    return Promise.resolve((order === "newest" ? found.reverse() : found).slice(0, limit));
  }

  forget(place: Place): Promise<number> {
    return Promise.resolve(this.#drop((entry) => isAt(entry, place)));
  }

  trim({ kinds, oldest, maxBytes }: Retention): Promise<number> {
    const isMeant = ({ kind }: Entry) => kinds.includes(kind);
    const numOld = this.#drop((entry) => isMeant(entry) && entry.at < oldest);
    const sizes = new Map<string, number>();
    for (const entry of this.#entries.filter(isMeant))
      sizes.set(entry.owner, (sizes.get(entry.owner) ?? 0) + bytesOf(entry));
    const share = evenShare([...sizes.values()], maxBytes);
    const isTooMuch = (entry: Entry) => {
      const size = sizes.get(entry.owner) ?? 0;
      if (!isMeant(entry) || size <= share) return false;
      sizes.set(entry.owner, size - bytesOf(entry));
      return true;
    };
    return Promise.resolve(numOld + this.#drop(isTooMuch));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #isLatest({ seq, owner, kind, key }: Entry): boolean {
    return seq === this.#entries.findLast((entry) => isAt(entry, { owner, kind, key }))?.seq;
  }

  #drop(isDropped: (entry: Entry) => boolean): number {
    const before = this.#entries.length;
    this.#entries = this.#entries.filter((entry) => !isDropped(entry));
    return before - this.#entries.length;
  }
}
