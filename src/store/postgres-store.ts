import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { ShouldersError } from "../errors.js";
import { PostgresNews } from "./postgres-news.js";
import { bytesOf, evenShare, type Entry, type NewEntry, type Place, type Query } from "./store.js";
import type { Retention, Store } from "./store.js";

const tables = `
  CREATE TABLE shoulders_entries (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at BIGINT NOT NULL, owner TEXT NOT NULL,
    kind TEXT NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL, bytes BIGINT NOT NULL, body TEXT NOT NULL
  );
  CREATE INDEX ON shoulders_entries (owner, kind, key, seq);
  CREATE INDEX ON shoulders_entries (owner, kind, topic, seq);
  CREATE INDEX ON shoulders_entries (kind, owner, seq, bytes, at);
`;

/** Numbers of Postgres's advisory locks: this program's, for tables and entries, and for dropping what is old. */
const locks = { append: 0x5304_1de1, trim: 0x5304_1de2 };

const insert = `
  INSERT INTO shoulders_entries (at, owner, kind, topic, key, bytes, body)
  SELECT at, owner, kind, topic, key, bytes, body
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[])
    WITH ORDINALITY AS given (at, owner, kind, topic, key, bytes, body, place)
  ORDER BY place`;

// Numbers that JavaScript has exactly.
const columns = "seq::float8, at::float8, owner, kind, topic, key, body";

/** No younger entry has the key of `e`. */
const latest = `seq = (SELECT MAX(seq) FROM shoulders_entries
  WHERE owner = e.owner AND kind = e.kind AND key = e.key)`;

/** All that an owner has, but for his newest that fit into his share. */
const excess = `DELETE FROM shoulders_entries WHERE seq IN (
  SELECT seq FROM (SELECT seq, SUM(bytes) OVER (ORDER BY seq DESC) AS kept
    FROM shoulders_entries WHERE kind = ANY($1) AND owner = $2) AS own WHERE kept > $3::float8)`;

/** How long the database may take to connect, for a lock, and for an answer, ms. */
const patienceMs = 5000;

/**
 * The log in a PostgreSQL database that servers share. Appends of all servers come one after the other, so whoever has
 * read up to a place will find nothing new before it.
 */
export class PostgresStore implements Store {
  readonly #pool: pg.Pool;
  readonly #options: pg.PoolConfig;
  /** By which this server knows its own news. */
  readonly #id = randomUUID();
  #news: PostgresNews | null = null;
  #hasTables = false;

  /** @param url `postgres://user@host/database`; nothing is asked of it before the first call */
  constructor(url: string) {
    this.#options = {
      connectionString: url,
      application_name: "shoulders",
      keepAlive: true,
      connectionTimeoutMillis: patienceMs,
      query_timeout: patienceMs,
      // The database gives up, too: what nobody waits for must hold no lock.
      statement_timeout: patienceMs,
      lock_timeout: patienceMs,
      idle_in_transaction_session_timeout: patienceMs,
    };
    this.#pool = new pg.Pool({ ...this.#options, max: 4, allowExitOnIdle: true });
    // A connection that ends: its call fails by itself, and the next makes another.
    this.#pool.on("error", () => undefined);
    this.#pool.on("connect", (client) => client.on("error", () => undefined));
  }

  append(entries: readonly NewEntry[], news: readonly string[] = []): Promise<void> {
    const column = <Value>(of: (entry: NewEntry) => Value) => entries.map(of);
    if (entries.length === 0) return this.#use((client) => this.#tell(client, news));
    return this.#inTransaction(async (client) => {
      // Places in the log are given, and seen, in this order.
      await client.query("SELECT pg_advisory_xact_lock($1)", [locks.append]);
      await client.query(insert, [
        ...[column(({ at }) => at), column(({ owner }) => owner), column(({ kind }) => kind)],
        ...[
          column(({ topic }) => topic),
          column(({ key }) => key),
          column(bytesOf),
          column(({ body }) => body),
        ],
      ]);
      await this.#tell(client, news);
    });
  }

  async read({ after, before, limit, order, isLatest = false, ...place }: Query): Promise<Entry[]> {
    const { where, values } = condition(place);
    const bounds = [
      ...(after === undefined ? [] : [["seq >", after] as const]),
      ...(before === undefined ? [] : [["seq <", before] as const]),
    ];
    const all = [
      ...where,
      ...bounds.map(([text], index) => `${text} $${values.length + index + 1}`),
      ...(isLatest ? [latest] : []),
    ].join(" AND ");
    const given = [...values, ...bounds.map(([, value]) => value), limit];
    const sql = `SELECT ${columns} FROM shoulders_entries AS e WHERE ${all}
      ORDER BY e.seq ${order === "newest" ? "DESC" : "ASC"} LIMIT $${given.length}`;
    return this.#use(async (client) => (await client.query<Entry>(sql, given)).rows);
  }

  forget(place: Place, news: readonly string[] = []): Promise<number> {
    const { where, values } = condition(place);
    return this.#inTransaction(async (client) => {
      const sql = `DELETE FROM shoulders_entries WHERE ${where.join(" AND ")}`;
      const { rowCount } = await client.query(sql, values);
      await this.#tell(client, news);
      return rowCount ?? 0;
    });
  }

  trim({ kinds, oldest, maxBytes }: Retention): Promise<number> {
    return this.#inTransaction(async (client) => {
      const mine = await client.query<{ mine: boolean }>("SELECT pg_try_advisory_xact_lock($1) AS mine", [
        locks.trim,
      ]);
      // Another server is at it.
      if (mine.rows[0]?.mine !== true) return 0;
      const old = "DELETE FROM shoulders_entries WHERE kind = ANY($1) AND at < $2::float8";
      let numGone = (await client.query(old, [kinds, oldest])).rowCount ?? 0;
      const { rows } = await client.query<{ owner: string; bytes: number }>(
        `SELECT owner, SUM(bytes)::float8 AS bytes FROM shoulders_entries WHERE kind = ANY($1) GROUP BY owner`,
        [kinds],
      );
      const share = evenShare(
        rows.map(({ bytes }) => bytes),
        maxBytes,
      );
      for (const { owner, bytes } of rows)
        if (bytes > share) numGone += (await client.query(excess, [kinds, owner, share])).rowCount ?? 0;
      return numGone;
    });
  }

  listen(listener: (news: string | null) => void): void {
    this.#news ??= new PostgresNews(this.#options, (text) => {
      if (text === null) listener(null);
      else if (!text.startsWith(this.#id)) listener(text.slice(this.#id.length));
    });
  }

  async close(): Promise<void> {
    await this.#news?.close();
    // A database that hangs says no goodbye.
    const patience = new AbortController();
    await Promise.race([this.#pool.end(), delay(patienceMs, undefined, { signal: patience.signal })]);
    patience.abort();
  }

  async #tell(client: pg.PoolClient, news: readonly string[]): Promise<void> {
    if (news.length === 0) return;
    const own = news.map((text) => this.#id + text);
    await client.query("SELECT pg_notify($1, text) FROM unnest($2::text[]) AS text", [
      PostgresNews.channel,
      own,
    ]);
  }

  #inTransaction<Result>(run: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
    return this.#use(async (client) => {
      await client.query("BEGIN");
      const result = await run(client);
      await client.query("COMMIT");
      return result;
    });
  }

  /** What fails costs its connection, which ends a transaction, too: how far it came is not known. */
  async #use<Result>(run: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
    try {
      const client = await this.#pool.connect();
      let isSound = false;
      try {
        if (!this.#hasTables) await makeTables(client);
        this.#hasTables = true;
        const result = await run(client);
        isSound = true;
        return result;
      } finally {
        client.release(!isSound);
      }
    } catch (thrown) {
      // Whoever made the database anew has no tables.
      this.#hasTables = false;
      throw unusable(thrown);
    }
  }
}

async function makeTables(client: pg.PoolClient): Promise<void> {
  // Of the catalogue itself: what Postgres remembers of names may be older than the lock.
  const has = `SELECT EXISTS (SELECT FROM pg_class
    WHERE relname = 'shoulders_entries' AND pg_table_is_visible(oid)) AS has`;
  if ((await client.query<{ has: boolean }>(has)).rows[0]?.has === true) return;
  await client.query("BEGIN");
  await client.query("SELECT pg_advisory_xact_lock($1)", [locks.append]);
  // Another server may have made them meanwhile.
  if ((await client.query<{ has: boolean }>(has)).rows[0]?.has !== true) await client.query(tables);
  await client.query("COMMIT");
}

/** Which entries a place means, for `WHERE`. */
function condition(place: Place): { where: string[]; values: unknown[] } {
  const parts = (["owner", "kind", "topic", "key"] as const).flatMap((name) => {
    const value = place[name];
    // A text in Postgres has no such character; nothing that is kept is called so.
    return value === undefined ? [] : [{ name, value: value.includes("\0") ? null : value }];
  });
  return {
    where: parts.map(({ name }, index) => `${name} = $${index + 1}`),
    values: parts.map(({ value }) => value),
  };
}

function unusable(thrown: unknown): ShouldersError {
  // Of a name with several addresses all of which fail, the errors are inside, and the message is empty.
  const all = thrown instanceof AggregateError ? (thrown.errors as unknown[]) : [thrown];
  const reason = all.map((one) => (one instanceof Error ? one.message : String(one))).join("; ");
  return new ShouldersError(
    "store_unavailable",
    `the database of --database-url cannot be used now: ${reason}`,
  );
}
