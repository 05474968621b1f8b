import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { ShouldersError } from "../errors.js";
import type { Call } from "./sqlite-log.js";
import type { Entry, NewEntry, Place, Query, Retention, Store } from "./store.js";

export interface ToLog {
  id: number;
  call: Call;
}

type FromLog = { id: number } & ({ value: unknown } | { error: string });

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

/** A SQLite file behind a thread of its own: whatever the disk does, the event loop goes on. */
export class SqliteStore implements Store {
  readonly #thread: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #ended: Error | null = null;

  /** Makes the file, and its folder. Where that fails, every call says why. */
  constructor(file: string) {
    // Of the build, also where this file runs as it was written.
    this.#thread = new Worker(new URL("../../dist/store/sqlite-thread.js", import.meta.url), {
      workerData: file,
      // Not those of whoever started this process.
      execArgv: [],
    });
    this.#thread.on("message", (message: FromLog) => this.#answer(message));
    this.#thread.on("error", (error) => this.#end(unusable(reasonOf(error))));
    this.#thread.on("exit", () => this.#end(unusable("its thread has ended")));
    // What is to be written is waited for by whoever wrote it.
    this.#thread.unref();
  }

  async append(entries: readonly NewEntry[]): Promise<void> {
    await this.#call({ method: "append", entries });
  }

  read(query: Query): Promise<Entry[]> {
    return this.#call({ method: "read", query }) as Promise<Entry[]>;
  }

  forget(place: Place): Promise<number> {
    return this.#call({ method: "forget", place }) as Promise<number>;
  }

  trim(retention: Retention): Promise<number> {
    return this.#call({ method: "trim", retention }) as Promise<number>;
  }

  async close(): Promise<void> {
    if (this.#ended !== null) return;
    const exit = once(this.#thread, "exit");
    await this.#call({ method: "close" });
    this.#thread.ref();
    await exit;
  }

  #call(call: Call): Promise<unknown> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#thread.ref();
      this.#thread.postMessage({ id, call } satisfies ToLog);
    });
  }

  #answer(message: FromLog): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (this.#waiting.size === 0) this.#thread.unref();
    if ("error" in message) waiting?.reject(unusable(message.error));
    else waiting?.resolve(message.value);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}

const reasonOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

const unusable = (reason: string): ShouldersError =>
  new ShouldersError("store_unavailable", `What is kept between starts cannot be used now: ${reason}.`);
