import { ShouldersError } from "../errors.js";
import { bytesOf, type Entry, type NewEntry, type Place, type Query } from "./store.js";
import type { Retention, Store } from "./store.js";

/** What other servers with the same log should know. */
export interface News {
  /** Who listens to it. */
  topic: string;
  body: unknown;
}

interface Pending {
  entries: readonly NewEntry[];
  news: readonly string[];
  bytes: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export interface JournalOptions {
  /** What may stay, asked anew each time. */
  retentions?: () => Retention[];
  /** What has gone wrong, once; null: writing works again. */
  onTrouble?: (reason: string | null) => void;
}

/** Bytes that may wait to be written: a disk that hangs must not fill the memory. */
const mostPendingBytes = 16 * 1024 * 1024;

/** Under this owner, which no key has, it is tried whether writing works. */
const nobody = "";

/**
 * What writes to a store beside the answers: nothing waits for it that does not ask to. What comes while the store
 * writes goes into one transaction. The first write or read that fails ends writing, until a purge finds that it works
 * again.
 */
export class Journal {
  readonly #store: Store;
  readonly #options: Required<JournalOptions>;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #isWriting = false;
  /** Settles when the newest write is over, well or not. */
  #newest: Promise<void> = Promise.resolve();
  #trouble: string | null = null;
  #purging: Promise<void> | null = null;
  #isClosed = false;
  readonly #listeners: { topic: string; tell: (body: unknown) => void }[] = [];

  constructor(store: Store, options: JournalOptions = {}) {
    this.#store = store;
    this.#options = { retentions: () => [], onTrouble: () => undefined, ...options };
    store.listen?.((text) => {
      const news = text === null ? null : (JSON.parse(text) as News);
      for (const { topic, tell } of this.#listeners)
        if (news === null || news.topic === topic) tell(news?.body ?? null);
    });
  }

  /** Whether other servers may write to the same log. */
  get isShared(): boolean {
    return this.#store.listen !== undefined;
  }

  /** @param tell null: news may have been missed */
  onNews(topic: string, tell: (body: unknown) => void): void {
    this.#listeners.push({ topic, tell });
  }

  /** Why nothing is written now; null: all is well. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /**
   * Resolves when the entries outlive the process.
   * @throws ShouldersError `store_unavailable`
   */
  async write(entries: readonly NewEntry[], ...news: News[]): Promise<void> {
    if (this.#trouble !== null) throw unavailable(this.#trouble);
    const bytes = entries.reduce((sum, entry) => sum + bytesOf(entry), 0);
    if (this.#pendingBytes + bytes > mostPendingBytes) throw unavailable("too much waits to be written");
    this.#pendingBytes += bytes;
    const written = new Promise<void>((resolve, reject) =>
      this.#pending.push({ entries, news: news.map(textOf), bytes, resolve, reject }),
    );
    this.#newest = written.catch(() => undefined);
    if (!this.#isWriting) void this.#writeAll();
    await written;
  }

  /** Sees all that was written before. @throws ShouldersError `store_unavailable` */
  async read(query: Query): Promise<Entry[]> {
    await this.#newest;
    try {
      return await this.#store.read(query);
    } catch (thrown) {
      // Who reads beside the answers has nobody to tell.
      this.#setTrouble(reasonOf(thrown));
      throw thrown;
    }
  }

  /** The newest entry of a place; null: there is none. @throws ShouldersError `store_unavailable` */
  async find(place: Place & Pick<Query, "kind">): Promise<Entry | null> {
    const [entry = null] = await this.read({ ...place, limit: 1, order: "newest" });
    return entry;
  }

  /** @returns how many entries went @throws ShouldersError `store_unavailable` */
  async forget(place: Place, ...news: News[]): Promise<number> {
    await this.#newest;
    return this.#store.forget(place, news.map(textOf));
  }

  /** Drops what may not stay, and tries anew what has failed. Never throws. */
  purge(): Promise<void> {
    this.#purging ??= this.#purgeNow().finally(() => (this.#purging = null));
    return this.#purging;
  }

  async close(): Promise<void> {
    await this.#newest;
    this.#isClosed = true;
    await this.#store.close();
  }

  async #purgeNow(): Promise<void> {
    await this.#newest;
    try {
      for (const retention of this.#options.retentions()) await this.#store.trim(retention);
      if (this.#trouble === null) return;
      const probe = { at: Date.now(), owner: nobody, topic: "", key: "", body: "{}" };
      await this.#store.append([{ ...probe, kind: "pin" }]);
      await this.#store.forget({ owner: nobody });
      this.#setTrouble(null);
    } catch (thrown) {
      this.#setTrouble(reasonOf(thrown));
    }
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    // What comes in one turn of the event loop is one transaction.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      const batch = this.#pending.splice(0);
      try {
        if (this.#trouble !== null) throw unavailable(this.#trouble);
        await this.#store.append(
          batch.flatMap(({ entries }) => entries),
          batch.flatMap(({ news }) => news),
        );
        batch.forEach(({ resolve }) => resolve());
      } catch (thrown) {
        this.#setTrouble(reasonOf(thrown));
        batch.forEach(({ reject }) => reject(unavailable(reasonOf(thrown))));
      }
      this.#pendingBytes -= batch.reduce((sum, { bytes }) => sum + bytes, 0);
    }
    this.#isWriting = false;
  }

  #setTrouble(reason: string | null): void {
    if (this.#isClosed || (reason === null) === (this.#trouble === null)) return;
    this.#trouble = reason;
    this.#options.onTrouble(reason);
  }
}

const textOf = (news: News): string => JSON.stringify(news);

const reasonOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

function unavailable(reason: string): ShouldersError {
  return new ShouldersError(
    "store_unavailable",
    `Feedback is off, and nothing new is kept: ${reason.replace(/\.$/, "")}. The server's log has more.`,
  );
}
