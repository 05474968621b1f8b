import { mkdirSync } from "node:fs";
import path from "node:path";
import Database from "libsql";
import { bytesOf, evenShare, type Entry, type NewEntry, type Place, type Query } from "./store.js";
import type { Retention } from "./store.js";

/** A call of a store, as it crosses to the thread. */
export type Call =
  | { method: "append"; entries: readonly NewEntry[] }
  | { method: "read"; query: Query }
  | { method: "forget"; place: Place }
  | { method: "trim"; retention: Retention }
  | { method: "close" };

const tables = `
  CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL,
    topic TEXT NOT NULL, key TEXT NOT NULL, bytes INTEGER NOT NULL, body TEXT NOT NULL
  );
  CREATE INDEX IF NOT EXISTS by_key ON entries (owner, kind, key, seq);
  CREATE INDEX IF NOT EXISTS by_topic ON entries (owner, kind, topic, seq);
  CREATE INDEX IF NOT EXISTS by_size ON entries (kind, owner, seq, bytes, at);
`;

const columns = "seq, at, owner, kind, topic, key, body";

/** No younger entry has the key of `e`. */
const latest = "seq = (SELECT MAX(seq) FROM entries WHERE owner = e.owner AND kind = e.kind AND key = e.key)";

/** How long another process may hold the file, ms. */
const patienceMs = 5000;

/** The log as a SQLite file, which several processes of one machine may share. Every call blocks until it is done. */
export class SqliteLog {
  readonly #db: Database.Database;

  /** @throws what the system or SQLite says of a file that cannot be opened or written */
  constructor(file: string) {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    this.#db = new Database(file, { timeout: patienceMs });
    // Of a new file: what is deleted leaves the disk.
    this.#db.pragma("auto_vacuum = INCREMENTAL");
    // A commit is in the file's log when it returns: the end of this process does not lose it.
    this.#db.pragma("journal_mode = WAL");
    this.#db.pragma("synchronous = NORMAL");
    this.#db.pragma("secure_delete = ON");
    this.#db.exec(tables);
  }

  run(call: Call): unknown {
    switch (call.method) {
      case "append": {
        this.#append(call.entries);
        return;
      }
      case "read":
        return this.#read(call.query);
      case "forget":
        return this.#forget(call.place);
      case "trim":
        return this.#trim(call.retention);
      case "close":
        return void this.#db.close();
    }
  }

  #append(entries: readonly NewEntry[]): void {
    const insert = this.#db.prepare(
      "INSERT INTO entries (at, owner, kind, topic, key, bytes, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    this.#inTransaction(() => {
      for (const entry of entries) {
        const { at, owner, kind, topic, key, body } = entry;
        insert.run(at, owner, kind, topic, key, bytesOf(entry), body);
      }
    });
  }

  #read({ after, before, limit, order, isLatest = false, ...place }: Query): Entry[] {
    const { where, values } = condition(place);
    const bounds = [
      ...(after === undefined ? [] : [["seq > ?", after] as const]),
      ...(before === undefined ? [] : [["seq < ?", before] as const]),
    ];
    const all = [where, ...bounds.map(([text]) => text), ...(isLatest ? [latest] : [])].join(" AND ");
    const direction = order === "newest" ? "DESC" : "ASC";
    const sql = `SELECT ${columns} FROM entries AS e WHERE ${all} ORDER BY seq ${direction} LIMIT ?`;
    return this.#db.prepare(sql).all(...values, ...bounds.map(([, value]) => value), limit) as Entry[];
  }

  #forget(place: Place): number {
    const { where, values } = condition(place);
    const { changes } = this.#db.prepare(`DELETE FROM entries WHERE ${where}`).run(...values);
    if (changes > 0) this.#shrink();
    return changes;
  }

  #trim({ kinds, oldest, maxBytes }: Retention): number {
    const isMeant = `kind IN (${kinds.map(() => "?").join(", ")})`;
    const sum = `SELECT owner, SUM(bytes) AS bytes FROM entries WHERE ${isMeant} GROUP BY owner`;
    // All that an owner has, but for his newest that fit into his share.
    const excess = `SELECT seq FROM (SELECT seq, SUM(bytes) OVER (ORDER BY seq DESC) AS kept
      FROM entries WHERE ${isMeant} AND owner = ?) WHERE kept > ?`;
    let numGone = 0;
    this.#inTransaction(() => {
      const age = this.#db.prepare(`DELETE FROM entries WHERE ${isMeant} AND at < ?`);
      numGone += age.run(...kinds, oldest).changes;
      const sizes = this.#db.prepare(sum).all(...kinds) as { owner: string; bytes: number }[];
      const share = evenShare(
        sizes.map(({ bytes }) => bytes),
        maxBytes,
      );
      const cut = this.#db.prepare(`DELETE FROM entries WHERE seq IN (${excess})`);
      for (const { owner, bytes } of sizes)
        if (bytes > share) numGone += cut.run(...kinds, owner, share).changes;
    });
    if (numGone > 0) this.#shrink();
    return numGone;
  }

  /** Gives the system back what is free, and leaves nothing of it in the file's log. */
  #shrink(): void {
    this.#db.pragma("incremental_vacuum");
    this.#db.pragma("wal_checkpoint(TRUNCATE)");
  }

  #inTransaction(run: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      run();
      this.#db.exec("COMMIT");
    } catch (thrown) {
      // SQLite has rolled back by itself where the disk is full.
      if (this.#db.inTransaction) this.#db.exec("ROLLBACK");
      throw thrown;
    }
  }
}

/** Which entries a place means, for `WHERE`. */
function condition(place: Place): { where: string; values: string[] } {
  const parts = (["owner", "kind", "topic", "key"] as const).flatMap((name) => {
    const value = place[name];
    return value === undefined ? [] : [{ name, value }];
  });
  return {
    where: parts.map(({ name }) => `${name} = ?`).join(" AND "),
    values: parts.map(({ value }) => value),
  };
}
