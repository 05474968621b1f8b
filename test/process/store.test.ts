import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { Journal } from "../../src/store/journal.js";
import { MemoryStore } from "../../src/store/memory-store.js";
import { PostgresStore } from "../../src/store/postgres-store.js";
import { SqliteStore } from "../../src/store/sqlite-store.js";
import type { NewEntry, Store } from "../../src/store/store.js";
import { lacksPostgres, TestPostgres } from "../support/postgres.js";
import { root } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const all = { owner: "ann", kind: "rating", limit: 1_000_000, order: "oldest" } as const;

const rating = (key: string, body = "{}"): NewEntry => ({
  ...{ at: Date.now(), owner: "ann", kind: "rating", topic: "both", key, body },
});

function directoryFor() {
  const directory = temporaryDirectory();
  onTestFinished(() => directory.remove());
  return directory;
}

/** A store that several may open; what opens it, and what a program of its own is told. */
interface Shared {
  open: () => Store;
  place: string;
}

const shared: Record<string, () => Promise<Shared>> = {
  SQLite: () => {
    const place = directoryFor().file("log.db");
    return Promise.resolve({ place, open: () => new SqliteStore(place) });
  },
  ...(!lacksPostgres && {
    Postgres: async () => {
      const postgres = new TestPostgres();
      onTestFinished(() => postgres.remove());
      await postgres.start();
      const place = await postgres.newDatabase();
      return { place, open: () => new PostgresStore(place) };
    },
  }),
};

describe.each(Object.entries(shared))("%s", (_name, make) => {
  it("killed while it writes, it has lost nothing that it said was safe, and has no gap", async () => {
    const { open, place } = await make();
    let last = 0;
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, ["test/support/store-writer.mjs", place], { cwd: root });
      let told = "";
      const enough = new Promise<void>((resolve) =>
        child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
          told += chunk;
          if (told.split("\n").length > 200 * (round + 1)) resolve();
        }),
      );
      const closed = once(child, "close");
      await enough;
      child.kill("SIGKILL");
      await closed;
      const safe = told.split("\n").slice(0, -1);
      const store = open();
      const kept = await store.read({ ...all, after: last });
      await store.close();
      const keys = kept.map(({ key }) => key);
      expect(keys).toEqual(expect.arrayContaining(safe));
      expect(keys).toEqual(keys.map((_, index) => String(index)));
      last = kept.at(-1)!.seq;
    }
  });

  it("two that write at once: whoever has read up to a place finds nothing new before it", async () => {
    const { open } = await make();
    const stores = [open(), open()];
    const reader = open();
    const writing = new AbortController();
    const writes = stores.map(async (store, of) => {
      for (let index = 0; index < 60; index++)
        await store.append([rating(`${of} ${index} a`), rating(`${of} ${index} b`)]);
    });
    const written = Promise.all(writes).finally(() => writing.abort());
    const read: string[] = [];
    let last = 0;
    const readOn = async () => {
      for (const entry of await reader.read({ ...all, after: last })) {
        read.push(entry.key);
        last = entry.seq;
      }
    };
    while (!writing.signal.aborted) await readOn();
    await written;
    await readOn();
    expect(read).toHaveLength(240);
    expect(read).toEqual((await reader.read(all)).map(({ key }) => key));
    await Promise.all([...stores, reader].map((store) => store.close()));
  });
});

it("what is forgotten is not in the file any more, and the file shrinks", async () => {
  const file = directoryFor().file("log.db");
  const store = new SqliteStore(file);
  const secret = "the secret of Ann";
  await store.append(
    Array.from({ length: 500 }, (_, index) => rating(String(index), JSON.stringify(secret.repeat(20)))),
  );
  await store.read(all);
  const size = () => statSync(file).size + (existsSync(`${file}-wal`) ? statSync(`${file}-wal`).size : 0);
  const before = size();
  expect(await store.forget({ owner: "ann" })).toBe(500);
  expect(size()).toBeLessThan(before / 2);
  for (const part of [file, `${file}-wal`])
    if (existsSync(part)) expect(readFileSync(part).includes(secret)).toBe(false);
  await store.close();
});

it("a file that is no database, or a folder that cannot be, refuses every call and says why", async () => {
  const directory = directoryFor();
  writeFileSync(directory.file("text.db"), "this is no database, however long it may be ".repeat(100));
  for (const file of [directory.file("text.db"), directory.file("text.db/log.db")]) {
    const store = new SqliteStore(file);
    await expect(store.append([rating("a")])).rejects.toMatchObject({ code: "store_unavailable" });
    await expect(store.read(all)).rejects.toMatchObject({ code: "store_unavailable" });
    await store.close();
  }
});

/** A store whose disk is full while the test says so. */
class FullStore extends MemoryStore {
  isFull = false;

  override append(entries: readonly NewEntry[]): Promise<void> {
    return this.isFull ? Promise.reject(new Error("database or disk is full")) : super.append(entries);
  }
}

it("a full disk turns writing off, is told once, and a purge that finds room turns it on", async () => {
  const store = new FullStore();
  const told: (string | null)[] = [];
  const journal = new Journal(store, { onTrouble: (reason) => told.push(reason) });
  await journal.write([rating("a")]);
  store.isFull = true;
  const writes = ["b", "c"].map((key) => journal.write([rating(key)]));
  for (const result of await Promise.allSettled(writes))
    expect(result).toMatchObject({ status: "rejected", reason: { code: "store_unavailable" } });
  await expect(journal.write([rating("d")])).rejects.toMatchObject({ status: 503 });
  await journal.purge();
  expect(journal.trouble).toMatch("full");
  store.isFull = false;
  await journal.purge();
  await journal.write([rating("e")]);
  expect((await journal.read(all)).map(({ key }) => key)).toEqual(["a", "e"]);
  expect(told).toEqual(["database or disk is full", null]);
  expect(await store.read({ owner: "", kind: "pin", limit: 9, order: "oldest" })).toEqual([]);
});

it("what cannot be read is told, also where nobody waits for it, and a purge tries again", async () => {
  let isBroken = true;
  const broken: Store = Object.assign(new MemoryStore(), {
    read: () => (isBroken ? Promise.reject(new Error("the file is malformed")) : Promise.resolve([])),
  });
  const told: (string | null)[] = [];
  const journal = new Journal(broken, { onTrouble: (reason) => told.push(reason) });
  await expect(journal.read(all)).rejects.toThrow("malformed");
  expect(journal.trouble).toMatch("malformed");
  isBroken = false;
  await journal.purge();
  expect(await journal.read(all)).toEqual([]);
  expect(told).toEqual(["the file is malformed", null]);
});

it("a disk that hangs holds nobody up, and what waits for it is bounded", async () => {
  const hanging: Store = Object.assign(new MemoryStore(), {
    append: () => new Promise<void>(() => undefined),
  });
  const journal = new Journal(hanging);
  const outcomes: string[] = [];
  for (let index = 0; index < 20; index++)
    void journal
      .write([rating(String(index), "x".repeat(2 ** 20))])
      .catch((error: unknown) => outcomes.push(String(error)));
  await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect(outcomes.length).toBe(5);
  expect(outcomes[0]).toMatch("too much waits");
});

it("a file that may grow no further ends writing, not the process", async () => {
  const file = directoryFor().file("log.db");
  // The kernel refuses to write past so many blocks, as it does where a disk is full.
  const script = `
    const { SqliteStore } = await import("./dist/store/sqlite-store.js");
    const store = new SqliteStore(${JSON.stringify(file)});
    const place = { at: 1, owner: "ann", kind: "rating", topic: "both", key: "a" };
    let numKept = 0, told = "";
    try { for (;;) { await store.append([{ ...place, body: "x".repeat(10000) }]); numKept++; } }
    catch (error) { told = error.code; }
    const read = await store.read({ owner: "ann", kind: "rating", limit: 1e6, order: "oldest" });
    console.log(JSON.stringify({ told, numKept, numRead: read.length }));
    await store.close().catch(() => undefined);`;
  const child = spawn(
    "sh",
    ["-c", 'ulimit -f 2048 && exec "$0" --input-type=module -e "$1"', process.execPath, script],
    {
      cwd: root,
    },
  );
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (printed += chunk));
  await once(child, "close");
  const { told, numKept, numRead } = JSON.parse(printed) as {
    told: string;
    numKept: number;
    numRead: number;
  };
  expect(told).toBe("store_unavailable");
  expect(numKept).toBeGreaterThan(10);
  expect(numRead).toBe(numKept);
});
