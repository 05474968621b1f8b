export interface StoreLimits {
  maxBytes: number;
  maxAgeMs: number;
  /** Milliseconds; a test's clock. */
  now?: () => number;
}

interface Entry<Value> {
  value: Value;
  /** Whose it is; nobody else sees it. */
  owner: string;
  bytes: number;
  begunAt: number;
}

/** What one owner has. */
interface Holding {
  bytes: number;
  /** Ids of what is his, oldest first. */
  ids: Set<string>;
}

/** What a store is told of its values. */
interface Hooks<Value> {
  /** Whether a value stays however old it is. Default: none does. */
  isRunning?: (value: Value) => boolean;
  /** A value has been dropped, for whatever reason. */
  onDrop?: (value: Value) => void;
}

/**
 * Values of owners, by id; bounded by age and, all together, by bytes: the owner who has most loses his oldest first, so
 * nobody's drive out those of an owner with less.
 */
export class OwnedStore<Value> {
  readonly #limits: Required<StoreLimits>;
  readonly #hooks: Required<Hooks<Value>>;
  /** All by id, oldest first. */
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #holdings = new Map<string, Holding>();
  #bytes = 0;

  constructor(limits: StoreLimits, hooks: Hooks<Value> = {}) {
    this.#limits = { now: Date.now, ...limits };
    this.#hooks = { isRunning: () => false, onDrop: () => undefined, ...hooks };
  }

  /** Of all values. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param id one that nothing in the store has */
  add(id: string, { owner, value, bytes }: { owner: string; value: Value; bytes: number }): void {
    const entry = { value, owner, bytes: 0, begunAt: this.#limits.now() };
    this.#entries.set(id, entry);
    const holding = this.#holdings.get(owner) ?? { bytes: 0, ids: new Set() };
    this.#holdings.set(owner, holding);
    holding.ids.add(id);
    this.#count(entry, bytes);
    this.purge();
  }

  /** Gives a value another id, that nothing in the store has. */
  rename(id: string, to: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#entries.set(to, entry);
    const ids = this.#holdings.get(entry.owner)?.ids;
    ids?.delete(id);
    ids?.add(to);
  }

  /** A value has come to hold so many bytes more. */
  grow(id: string, bytes: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#count(entry, bytes);
    this.purge();
  }

  /** Whoever's it is. */
  peek(id: string): Value | null {
    return this.#entries.get(id)?.value ?? null;
  }

  /** null: there is none, or it is another's. */
  get(id: string, owner: string): Value | null {
    this.purge();
    const entry = this.#entries.get(id);
    return entry?.owner === owner ? entry.value : null;
  }

  /** Newest first. */
  list(owner: string): Value[] {
    this.purge();
    const ids = [...(this.#holdings.get(owner)?.ids ?? [])].reverse();
    return ids.flatMap((id) => this.peek(id) ?? []);
  }

  /** @returns whether there was one of this owner */
  delete(id: string, owner: string): boolean {
    this.purge();
    const entry = this.#entries.get(id);
    if (entry?.owner !== owner) return false;
    this.#drop(id, entry);
    return true;
  }

  /** Drops what is too old, and the oldest of who has too much. */
  purge(): void {
    const oldest = this.#limits.now() - this.#limits.maxAgeMs;
    for (const [id, entry] of this.#entries) {
      if (entry.begunAt >= oldest) break;
      if (!this.#hooks.isRunning(entry.value)) this.#drop(id, entry);
    }
    while (this.#bytes > this.#limits.maxBytes) {
      const [most] = [...this.#holdings.values()].sort((a, b) => b.bytes - a.bytes);
      const [id] = most?.ids ?? [];
      const entry = this.#entries.get(id ?? "");
      if (id === undefined || entry === undefined) return;
      this.#drop(id, entry);
    }
  }

  #drop(id: string, entry: Entry<Value>): void {
    this.#entries.delete(id);
    const holding = this.#holdings.get(entry.owner);
    holding?.ids.delete(id);
    this.#count(entry, -entry.bytes);
    if (holding?.ids.size === 0) this.#holdings.delete(entry.owner);
    this.#hooks.onDrop(entry.value);
  }

  #count(entry: Entry<Value>, bytes: number): void {
    const holding = this.#holdings.get(entry.owner);
    if (holding) holding.bytes += bytes;
    entry.bytes += bytes;
    this.#bytes += bytes;
  }
}
