/** What is kept for an owner: a line of a log that only grows, but for what is forgotten. */
export interface Entry {
  /** Place in the log, from 1; later ones are larger. */
  seq: number;
  /** Unix time, ms. */
  at: number;
  /** Name of the key that it belongs to; nobody else sees it. */
  owner: string;
  kind: Kind;
  /** What entries of a kind are asked for by, together: a fusion config's id. */
  topic: string;
  /** What one entry is asked for by: a trace's id. Of several the newest counts. */
  key: string;
  /** JSON. */
  body: string;
}

/** `answer`: what was measured of its tokens; `debate`: what came of one; `response` and the others: what `/v1/responses` keeps. */
export const kinds = [
  "answer",
  "rating",
  "pin",
  "debate",
  "response",
  "item",
  "conversation",
  "conversation_item",
] as const;
export type Kind = (typeof kinds)[number];

export type NewEntry = Omit<Entry, "seq">;

/** Which entries: all that have every part that is given. */
export interface Place {
  owner: string;
  kind?: Kind;
  topic?: string;
  key?: string;
}

export interface Query extends Place {
  kind: Kind;
  /** Only entries whose place in the log is after this one, or before it. */
  after?: number;
  before?: number;
  /** Most entries. */
  limit: number;
  order: "oldest" | "newest";
  /** Only the newest entry of each key. */
  isLatest?: boolean;
}

/** What may stay of some kinds. */
export interface Retention {
  kinds: readonly Kind[];
  /** Unix time, ms: what is older goes. */
  oldest: number;
  /** Of all owners together; who has most loses his oldest first. */
  maxBytes: number;
}

/**
 * A log that outlives the process, and is shared where several servers use one. Every method throws what the
 * database throws. `news` are texts of at most 4,000 bytes for the other servers; where there are none it is dropped.
 */
export interface Store {
  /** All or none. Once it resolves, not even the end of the process loses them. */
  append(entries: readonly NewEntry[], news?: readonly string[]): Promise<void>;
  read(query: Query): Promise<Entry[]>;
  /** No entry is left of them. @returns how many they were */
  forget(place: Place, news?: readonly string[]): Promise<number>;
  /**
   * Where others may write to the log: tells their news, after what it is of can be read. null: some may have been
   * missed, as while the database was away.
   */
  listen?(listener: (news: string | null) => void): void;
  /** @returns how many went */
  trim(retention: Retention): Promise<number>;
  close(): Promise<void>;
}

/** About what an entry takes beside its body, bytes. */
export const entryBytes = 200;

export const bytesOf = ({ body }: Pick<Entry, "body">): number => entryBytes + Buffer.byteLength(body);

/** The most that any owner may have, so that all together have no more than `most`; Infinity: nobody has too much. */
export function evenShare(sizes: readonly number[], most: number): number {
  const sorted = [...sizes].sort((a, b) => a - b);
  let left = most;
  for (const [index, size] of sorted.entries()) {
    const share = left / (sorted.length - index);
    if (size > share) return Math.max(0, share);
    left -= size;
  }
  return Infinity;
}
