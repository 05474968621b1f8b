import { EventEmitter, once } from "node:events";
import type { TokenRecord } from "../wire/token-record.js";
import type { TraceEvent, TraceHeader, TraceStatus } from "../wire/trace.js";
import type { UsageRecord } from "../wire/usage.js";

export type TraceEnding = Pick<TraceHeader, "finish_reason"> & {
  status: Exclude<TraceStatus, "in_progress">;
  usage: UsageRecord;
};

/** An event of a trace, its records as JSON. */
export type StoredEvent =
  Exclude<TraceEvent, { type: "trace.tokens" }> | { type: "trace.tokens"; records: readonly string[] };

/** A trace as it lies here: nothing is copied for whoever reads it. */
export interface StoredTrace {
  header: TraceHeader;
  /** Tokens so far. */
  numTokens: number;
  /** The record of a token, as JSON; null: the trace has been dropped meanwhile. */
  recordAt(index: number): string | null;
}

interface Entry {
  header: TraceHeader;
  /** Whose completion it was; nobody else sees it. */
  owner: string;
  /** Records as JSON: compact, and their length is what the bound on bytes counts. */
  tokens: string[];
  bytes: number;
  begunAt: number;
  changes: EventEmitter;
}

/** What one owner has. */
interface Holding {
  bytes: number;
  /** Ids of its traces, oldest first. */
  ids: Set<string>;
}

/** Most characters of records in one event, but for the record that passes them. */
const eventCharacters = 64 * 1024;

/** Rough size of an entry without its tokens. */
const headerBytes = 512;

export interface TraceStoreLimits {
  maxBytes: number;
  maxAgeMs: number;
  /** Milliseconds; a test's clock. */
  now?: () => number;
}

/**
 * Traces of recent completions, running ones included; bounded by age and, all together, by bytes: the owner who has
 * most loses his oldest first, so nobody's drive out those of an owner with less.
 */
export class TraceStore {
  readonly #limits: Required<TraceStoreLimits>;
  /** All traces by id, in the order in which the completions began. */
  readonly #entries = new Map<string, Entry>();
  readonly #holdings = new Map<string, Holding>();
  #bytes = 0;

  constructor(limits: TraceStoreLimits) {
    this.#limits = { now: Date.now, ...limits };
  }

  get bytes(): number {
    return this.#bytes;
  }

  begin({
    owner,
    ...trace
  }: Pick<TraceHeader, "id" | "model" | "created" | "level" | "prompt_tokens"> & { owner: string }): void {
    const changes = new EventEmitter();
    changes.setMaxListeners(0);
    const entry: Entry = {
      header: { ...trace, object: "fusion.trace", status: "in_progress", finish_reason: null, usage: null },
      owner,
      tokens: [],
      bytes: 0,
      begunAt: this.#limits.now(),
      changes,
    };
    this.#entries.set(trace.id, entry);
    const holding = this.#holdings.get(owner) ?? { bytes: 0, ids: new Set() };
    this.#holdings.set(owner, holding);
    holding.ids.add(trace.id);
    this.#count(entry, headerBytes);
    this.purge();
  }

  /** Does nothing when the trace has been dropped meanwhile. */
  append(id: string, records: readonly TokenRecord[]): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || records.length === 0) return;
    for (const record of records) {
      const json = JSON.stringify(record);
      entry.tokens.push(json);
      this.#count(entry, json.length);
    }
    this.purge();
    entry.changes.emit("change");
  }

  end(id: string, ending: TraceEnding): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.header = { ...entry.header, ...ending };
    entry.changes.emit("change");
  }

  get(id: string, owner: string): StoredTrace | null {
    this.purge();
    const entry = this.#entries.get(id);
    if (entry?.owner !== owner) return null;
    const recordAt = (index: number) => this.#entries.get(id)?.tokens[index] ?? null;
    return { header: entry.header, numTokens: entry.tokens.length, recordAt };
  }

  /** Newest first. */
  list(owner: string): TraceHeader[] {
    this.purge();
    const own = [...this.#entries.values()].filter((entry) => entry.owner === owner);
    return own.map(({ header }) => header).reverse();
  }

  /** Everything so far, then what comes, until the completion ends or its trace is dropped. */
  async *follow(id: string, signal: AbortSignal): AsyncGenerator<StoredEvent, void> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    yield { type: "trace.started", trace: entry.header };
    let numSeen = 0;
    while (!signal.aborted) {
      const records = recordsFrom(entry.tokens, numSeen);
      numSeen += records.length;
      if (records.length > 0) yield { type: "trace.tokens", records };
      else if (entry.header.status !== "in_progress") {
        yield { type: "trace.ended", trace: entry.header };
        return;
      } else if (this.#entries.get(id) !== entry) return;
      else await once(entry.changes, "change", { signal }).catch(() => undefined);
    }
  }

  /** Drops what is too old, and the oldest of who has too much. */
  purge(): void {
    const oldest = this.#limits.now() - this.#limits.maxAgeMs;
    for (const [id, entry] of this.#entries) {
      if (entry.begunAt >= oldest) break;
      if (entry.header.status !== "in_progress") this.#drop(id, entry);
    }
    while (this.#bytes > this.#limits.maxBytes) {
      const [most] = [...this.#holdings.values()].sort((a, b) => b.bytes - a.bytes);
      const [id] = most?.ids ?? [];
      const entry = this.#entries.get(id ?? "");
      if (id === undefined || entry === undefined) return;
      this.#drop(id, entry);
    }
  }

  #drop(id: string, entry: Entry): void {
    const { owner, bytes, changes } = entry;
    this.#entries.delete(id);
    const holding = this.#holdings.get(owner);
    holding?.ids.delete(id);
    this.#count(entry, -bytes);
    if (holding?.ids.size === 0) this.#holdings.delete(owner);
    changes.emit("change");
  }

  #count(entry: Entry, bytes: number): void {
    const holding = this.#holdings.get(entry.owner);
    if (holding) holding.bytes += bytes;
    entry.bytes += bytes;
    this.#bytes += bytes;
  }
}

function recordsFrom(tokens: readonly string[], start: number): string[] {
  let [end, size] = [start, 0];
  while (end < tokens.length && size < eventCharacters) size += tokens[end++]?.length ?? 0;
  return tokens.slice(start, end);
}
