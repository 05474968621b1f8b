import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { MemoryStore } from "../../src/store/memory-store.js";
import { PostgresStore } from "../../src/store/postgres-store.js";
import { SqliteStore } from "../../src/store/sqlite-store.js";
import { bytesOf, evenShare, kinds, type NewEntry, type Store } from "../../src/store/store.js";
import { lacksPostgres, TestPostgres } from "../support/postgres.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

let directory: TemporaryDirectory;
let postgres: TestPostgres;

beforeAll(async () => {
  if (lacksPostgres) return;
  postgres = new TestPostgres();
  await postgres.start();
});
afterAll(async () => {
  if (!lacksPostgres) await postgres.remove();
});

const stores: Record<string, () => Store | Promise<Store>> = {
  memory: () => new MemoryStore(),
  SQLite: () => new SqliteStore(directory.file("new/log.db")),
  ...(!lacksPostgres && { Postgres: async () => new PostgresStore(await postgres.newDatabase()) }),
};

const entry = (key: string, fields: Partial<NewEntry> = {}): NewEntry => ({
  ...{ at: 1000, owner: "ann", kind: "rating", topic: "both", key, body: JSON.stringify({ of: key }) },
  ...fields,
});
const oldest = { limit: 100, order: "oldest" } as const;
const anns = { owner: "ann", kind: "rating" } as const;

describe.each(Object.entries(stores))("a store in %s", (name, open) => {
  let store: Store;
  beforeEach(async () => {
    directory = temporaryDirectory();
    store = await open();
  });
  afterEach(async () => {
    await store.close();
    directory.remove();
  });
  const keysOf = async (query: Parameters<Store["read"]>[0]) =>
    (await store.read(query)).map(({ key }) => key);

  it("gives back what was put in, in order, each with a later place", async () => {
    await store.append([entry("a"), entry("b", { body: '{"text":"ä\\u0000"}' })]);
    await store.append([entry("c", { topic: "giant" })]);
    const read = await store.read({ ...anns, ...oldest });
    expect(read.map((kept) => ({ ...kept, seq: 0 }))).toEqual([
      { ...entry("a"), seq: 0 },
      { ...entry("b", { body: '{"text":"ä\\u0000"}' }), seq: 0 },
      { ...entry("c", { topic: "giant" }), seq: 0 },
    ]);
    const places = read.map(({ seq }) => seq);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(new Set(places).size).toBe(3);
  });

  it("is asked by owner, kind, topic, key, place and order", async () => {
    await store.append([entry("a"), entry("b", { topic: "giant" }), entry("a", { kind: "answer" })]);
    await store.append([entry("a", { owner: "bob" }), entry("c")]);
    expect(await keysOf({ ...anns, ...oldest })).toEqual(["a", "b", "c"]);
    expect(await keysOf({ ...anns, limit: 2, order: "newest" })).toEqual(["c", "b"]);
    expect(await keysOf({ ...anns, topic: "giant", ...oldest })).toEqual(["b"]);
    expect(await keysOf({ ...anns, key: "a", ...oldest })).toEqual(["a"]);
    const [first] = await store.read({ ...anns, ...oldest });
    expect(await keysOf({ ...anns, after: first!.seq, ...oldest })).toEqual(["b", "c"]);
    expect(await keysOf({ ...anns, before: first!.seq + 1, ...oldest })).toEqual(["a"]);
    expect(await keysOf({ owner: "bob", kind: "answer", ...oldest })).toEqual([]);
  });

  it("tells the newest of each key alone where that is asked for", async () => {
    await store.append([entry("a"), entry("b"), entry("a", { body: "2" }), entry("a", { kind: "answer" })]);
    const latest = await store.read({ ...anns, ...oldest, isLatest: true });
    expect(latest.map(({ key, body }) => [key, body])).toEqual([
      ["b", '{"of":"b"}'],
      ["a", "2"],
    ]);
  });

  it("has nothing under a name that no text can be, or that is like a query", async () => {
    await store.append([entry("a")]);
    for (const key of ["\0", "a\0", "' OR 1=1 --", "\ud800"])
      expect(await keysOf({ ...anns, key, ...oldest })).toEqual([]);
    expect(await store.forget({ owner: "ann", key: "\0" })).toBe(0);
    expect(await keysOf({ ...anns, ...oldest })).toEqual(["a"]);
  });

  // There is nothing that memory would refuse.
  it.skipIf(name === "memory")("puts in all or nothing", async () => {
    const broken = [entry("a"), { ...entry("b"), at: null as unknown as number }];
    await expect(store.append(broken)).rejects.toMatchObject({ code: "store_unavailable" });
    expect(await keysOf({ ...anns, ...oldest })).toEqual([]);
    await store.append([entry("c")]);
    expect(await keysOf({ ...anns, ...oldest })).toEqual(["c"]);
  });

  it("forgets an owner without a trace, or a part of what he has", async () => {
    await store.append(kinds.map((kind) => entry("a", { kind })));
    await store.append([entry("a", { topic: "giant" }), entry("a", { owner: "bob" })]);
    expect(await store.forget({ ...anns, topic: "giant" })).toBe(1);
    expect(await store.forget({ owner: "ann" })).toBe(kinds.length);
    for (const kind of kinds) expect(await store.read({ owner: "ann", kind, ...oldest })).toEqual([]);
    expect(await keysOf({ owner: "bob", kind: "rating", ...oldest })).toEqual(["a"]);
    expect(await store.forget({ owner: "ann" })).toBe(0);
  });

  it("drops what is too old, and of who has most the oldest", async () => {
    await store.append([entry("old", { at: 1 }), entry("old", { at: 1, kind: "response" })]);
    await store.append(["b0", "b1", "b2", "b3"].map((key) => entry(key, { owner: "bob" })));
    await store.append([entry("a0")]);
    const size = bytesOf(entry("b0"));
    expect(await store.trim({ kinds: ["rating"], oldest: 2, maxBytes: 3 * size })).toBe(3);
    expect(await keysOf({ owner: "bob", kind: "rating", ...oldest })).toEqual(["b2", "b3"]);
    expect(await keysOf({ ...anns, ...oldest })).toEqual(["a0"]);
    expect(await keysOf({ owner: "ann", kind: "response", ...oldest })).toEqual(["old"]);
  });
});

it("what is too much is taken from who has most", () => {
  expect(evenShare([10, 20, 30], 60)).toBe(Infinity);
  expect(evenShare([10, 20, 30], 50)).toBe(20);
  expect(evenShare([10, 20, 30], 40)).toBe(15);
  expect(evenShare([10], 0)).toBe(0);
  expect(evenShare([], 5)).toBe(Infinity);
});
