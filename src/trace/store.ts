import { EventEmitter, once } from "node:events";
import type { TokenRecord } from "../wire/token-record.js";
import type { TraceEvent, TraceHeader, TraceStatus } from "../wire/trace.js";
import type { UsageRecord } from "../wire/usage.js";
import { OwnedStore, type StoreLimits } from "./owned-store.js";

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
  /** Records as JSON: compact, and their length is what the bound on bytes counts. */
  tokens: string[];
  changes: EventEmitter;
}

/** Most characters of records in one event, but for the record that passes them. */
const eventCharacters = 64 * 1024;

/** Rough size of an entry without its tokens. */
const headerBytes = 512;

/** Traces of recent completions, running ones included. */
export class TraceStore {
  readonly #entries: OwnedStore<Entry>;

  constructor(limits: StoreLimits) {
    this.#entries = new OwnedStore(limits, {
      isRunning: ({ header }) => header.status === "in_progress",
      onDrop: ({ changes }) => changes.emit("change"),
    });
  }

  get bytes(): number {
    return this.#entries.bytes;
  }

  begin({
    owner,
    ...trace
  }: Pick<TraceHeader, "id" | "model" | "created" | "level" | "prompt_tokens"> & { owner: string }): void {
    const changes = new EventEmitter();
    changes.setMaxListeners(0);
    const value: Entry = {
      header: { ...trace, object: "fusion.trace", status: "in_progress", finish_reason: null, usage: null },
      tokens: [],
      changes,
    };
    this.#entries.add(trace.id, { owner, value, bytes: headerBytes });
  }

  /** Does nothing when the trace has been dropped meanwhile. */
  append(id: string, records: readonly TokenRecord[]): void {
    const entry = this.#entries.peek(id);
    if (entry === null || records.length === 0) return;
    const lines = records.map((record) => JSON.stringify(record));
    entry.tokens.push(...lines);
    this.#entries.grow(
      id,
      lines.reduce((sum, line) => sum + line.length, 0),
    );
    entry.changes.emit("change");
  }

  end(id: string, ending: TraceEnding): void {
    const entry = this.#entries.peek(id);
    if (entry === null) return;
    entry.header = { ...entry.header, ...ending };
    entry.changes.emit("change");
  }

  /** Gives a trace another id, that no other has; does nothing when it has been dropped. */
  rename(id: string, to: string): void {
    const entry = this.#entries.peek(id);
    if (entry === null) return;
    entry.header = { ...entry.header, id: to };
    this.#entries.rename(id, to);
    entry.changes.emit("change");
  }

  get(id: string, owner: string): StoredTrace | null {
    const entry = this.#entries.get(id, owner);
    if (entry === null) return null;
    const recordAt = (index: number) => this.#entries.peek(id)?.tokens[index] ?? null;
    return { header: entry.header, numTokens: entry.tokens.length, recordAt };
  }

  /** Newest first. */
  list(owner: string): TraceHeader[] {
    return this.#entries.list(owner).map(({ header }) => header);
  }

  /** Everything so far, then what comes, until the completion ends or its trace is dropped. */
  async *follow(id: string, signal: AbortSignal): AsyncGenerator<StoredEvent, void> {
    const entry = this.#entries.peek(id);
    if (entry === null) return;
    yield { type: "trace.started", trace: entry.header };
    let numSeen = 0;
    while (!signal.aborted) {
      const records = recordsFrom(entry.tokens, numSeen);
      numSeen += records.length;
      if (records.length > 0) yield { type: "trace.tokens", records };
      else if (entry.header.status !== "in_progress") {
        yield { type: "trace.ended", trace: entry.header };
        return;
      } else if (this.#entries.peek(id) !== entry) return;
      else await once(entry.changes, "change", { signal }).catch(() => undefined);
    }
  }

  /** Drops what is too old, and the oldest of who has too much. */
  purge(): void {
    this.#entries.purge();
  }
}

function recordsFrom(tokens: readonly string[], start: number): string[] {
  let [end, size] = [start, 0];
  while (end < tokens.length && size < eventCharacters) size += tokens[end++]?.length ?? 0;
  return tokens.slice(start, end);
}
