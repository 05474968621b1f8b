import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import pg from "pg";
import { temporaryDirectory, type TemporaryDirectory } from "./temporary-directory.js";

/** Where Debian keeps the programs of Postgres' server; null: there are none. */
function findPrograms(): string | null {
  const versions = "/usr/lib/postgresql";
  const found = existsSync(versions)
    ? readdirSync(versions).map((version) => `${versions}/${version}/bin`)
    : [];
  const folders = [...found, ...(process.env["PATH"] ?? "").split(path.delimiter)];
  return folders.find((folder) => existsSync(path.join(folder, "initdb"))) ?? null;
}

const programs = findPrograms();

/** Whether tests with a real Postgres are left out: CI installs it, and never leaves them out. */
export const lacksPostgres = programs === null && !process.env["CI"];
if (lacksPostgres)
  console.warn("tests with Postgres are left out: there is no initdb (apt-get install postgresql-15)");

// Postgres refuses to run as root.
const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/** A real Postgres of a test's own, in a temporary folder, reached by a socket in it. */
export class TestPostgres {
  readonly #directory: TemporaryDirectory = temporaryDirectory();
  #server: ChildProcess | null = null;
  #numDatabases = 0;

  constructor() {
    chmodSync(this.#directory.path, 0o777);
    mkdirSync(this.#directory.file("socket"));
    chmodSync(this.#directory.file("socket"), 0o777);
    const options = ["--username=shoulders", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
    execFileSync(`${programs}/initdb`, ["-D", this.#data, ...options], { ...user, stdio: "pipe" });
  }

  /** Runs until it is stopped. */
  async start(): Promise<void> {
    const options = ["-D", this.#data, "-k", this.#directory.file("socket"), "-h", "", "-F"];
    const server = spawn(`${programs}/postgres`, options, {
      ...user,
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#server = server;
    process.once("exit", () => this.signal("SIGKILL"));
    let said = "";
    await new Promise<void>((resolve, reject) => {
      server.once("exit", () => reject(new Error(said)));
      server.stderr.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        if (said.includes("ready to accept connections")) resolve();
      });
    });
  }

  /** To all of its processes, each of which has a group of its own; SIGSTOP: it says nothing any more. */
  signal(signal: NodeJS.Signals): void {
    const { pid, exitCode } = this.#server ?? {};
    if (pid === undefined || exitCode !== null) return;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    for (const one of [pid, ...children.filter(Boolean).map(Number)]) process.kill(one, signal);
  }

  /** At once, as where its machine fails. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === null || server.exitCode !== null) return;
    const exit = once(server, "exit");
    this.signal("SIGCONT");
    server.kill("SIGQUIT");
    await exit;
  }

  async remove(): Promise<void> {
    await this.stop();
    this.#directory.remove();
  }

  /** @returns the URL of a new database */
  async newDatabase(): Promise<string> {
    const name = `test_${++this.#numDatabases}`;
    await this.query(this.#urlOf("postgres"), `CREATE DATABASE ${name}`);
    return this.#urlOf(name);
  }

  async query(url: string, sql: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  get #data(): string {
    return this.#directory.file("data");
  }

  #urlOf(database: string): string {
    return `postgres://shoulders@/${database}?host=${this.#directory.file("socket")}`;
  }
}
