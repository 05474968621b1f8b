import pg from "pg";

/** How often the connection is tried, or made anew, ms. */
const lookEveryMs = 2000;

/** Listens to what other servers tell over the database; a lost connection is made anew. */
export class PostgresNews {
  static readonly channel = "shoulders_news";
  readonly #options: pg.ClientConfig;
  /** null: something may have been missed. */
  readonly #listener: (news: string | null) => void;
  readonly #looks: NodeJS.Timeout;
  #client: pg.Client | null = null;
  #looking: Promise<void>;

  constructor(options: pg.ClientConfig, listener: (news: string | null) => void) {
    this.#options = options;
    this.#listener = listener;
    this.#looking = this.#look();
    this.#looks = setInterval(() => {
      this.#looking = this.#looking.then(() => this.#look());
    }, lookEveryMs);
    this.#looks.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#looks);
    await this.#looking;
    this.#drop(this.#client);
  }

  /** Never throws: what cannot be reached is looked for again. */
  async #look(): Promise<void> {
    // A connection whose other end is gone is silent for ever.
    if (this.#client !== null) await this.#client.query("SELECT 1").catch(() => this.#drop(this.#client));
    if (this.#client !== null) return;
    const client = new pg.Client(this.#options);
    client.on("notification", ({ payload = "" }) => this.#listener(payload));
    client.on("error", () => this.#drop(client));
    client.on("end", () => this.#drop(client));
    this.#client = client;
    try {
      await client.connect();
      await client.query(`LISTEN ${PostgresNews.channel}`);
      this.#listener(null);
    } catch {
      this.#drop(client);
    }
  }

  /** Nobody waits for its end: the other side may be gone. */
  #drop(client: pg.Client | null): void {
    if (client === null || this.#client !== client) return;
    this.#client = null;
    client.end().catch(() => undefined);
  }
}
