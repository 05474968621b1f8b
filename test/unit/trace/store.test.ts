import { describe, expect, it } from "vitest";
import { TraceStore, type StoredEvent } from "../../../src/trace/store.js";
import { tokenOf } from "../../support/fake-engine.js";

const usage = {
  prompt_tokens: 1,
  completion_tokens: 1,
  total_tokens: 2,
  prompt_tokens_details: { cached_tokens: 0 },
  completion_tokens_details: { accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
  fusion: {
    nats: 0,
    flipped: 0,
    tokens: 0,
    certain: 0,
    contested: 0,
    unvouched: 0,
    base_passes: 0,
    skipped_share: 0,
  },
};
const header = (id: string) => ({
  id,
  model: "both",
  created: 1,
  level: "full" as const,
  prompt_tokens: 1,
});
const begun = (id: string) => ({ ...header(id), owner: "ann" });
const ended = { status: "completed", finish_reason: "stop", usage } as const;
const { record } = tokenOf("a");
const recordBytes = JSON.stringify(record).length;

describe("bounds", () => {
  it("the oldest traces go when there is too much", () => {
    const store = new TraceStore({ maxBytes: 2 * (512 + recordBytes), maxAgeMs: 1000 });
    for (const id of ["a", "b"]) {
      store.begin(begun(id));
      store.append(id, [record]);
      store.end(id, ended);
    }
    expect(store.list("ann").map(({ id }) => id)).toEqual(["b", "a"]);
    store.begin(begun("c"));
    expect(store.list("ann").map(({ id }) => id)).toEqual(["c", "b"]);
    expect(store.bytes).toBe(2 * 512 + recordBytes);
    expect(store.get("a", "ann")).toBeNull();
  });

  it("of several owners the one with most loses his oldest, and nobody else loses any", () => {
    const store = new TraceStore({ maxBytes: 6 * (512 + recordBytes), maxAgeMs: 1000 });
    const keep = (id: string, owner: string) => {
      store.begin({ ...header(id), owner });
      store.append(id, [record]);
      store.end(id, ended);
    };
    keep("a0", "ann");
    keep("a1", "ann");
    for (let index = 0; index < 50; index++) keep(`b${index}`, "bob");
    expect(store.list("ann").map(({ id }) => id)).toEqual(["a1", "a0"]);
    expect(store.list("bob").map(({ id }) => id)).toEqual(["b49", "b48", "b47", "b46"]);
    for (let index = 2; index < 50; index++) keep(`a${index}`, "ann");
    expect([store.list("ann").length, store.list("bob").length]).toEqual([3, 3]);
    expect(store.bytes).toBe(6 * (512 + recordBytes));
  });

  it("one trace alone stays within them, and nothing breaks when it goes", async () => {
    const store = new TraceStore({ maxBytes: 1000, maxAgeMs: 1000 });
    store.begin(begun("a"));
    const events = store.follow("a", new AbortController().signal);
    expect((await events.next()).value).toMatchObject({ type: "trace.started" });
    const next = events.next();
    store.append("a", [record, record, record]);
    expect(store.bytes).toBe(0);
    store.append("a", [record]);
    store.end("a", ended);
    expect((await next).value).toMatchObject({ type: "trace.tokens" });
    expect((await events.next()).done).toBe(true);
    expect(store.get("a", "ann")).toBeNull();
  });

  it("old ones go, running ones stay", () => {
    let now = 0;
    const store = new TraceStore({ maxBytes: 1e6, maxAgeMs: 1000, now: () => now });
    store.begin(begun("running"));
    store.begin(begun("ended"));
    store.end("ended", ended);
    now = 1000;
    store.begin(begun("young"));
    expect(store.list("ann")).toHaveLength(3);
    now = 1001;
    expect(store.list("ann").map(({ id }) => id)).toEqual(["young", "running"]);
    store.end("running", ended);
    expect(store.list("ann").map(({ id }) => id)).toEqual(["young"]);
  });
});

describe("readers", () => {
  it("nobody sees the traces of another owner", () => {
    const store = new TraceStore({ maxBytes: 10_000, maxAgeMs: 1000 });
    store.begin(begun("a"));
    store.begin({ ...begun("b"), owner: "bob" });
    expect(store.list("bob").map(({ id }) => id)).toEqual(["b"]);
    expect([store.get("a", "bob"), store.get("b", "ann")]).toEqual([null, null]);
  });

  it("a trace is a copy of what was appended", () => {
    const store = new TraceStore({ maxBytes: 1e6, maxAgeMs: 1000 });
    store.begin(begun("a"));
    store.append("a", [record]);
    const stored = store.get("a", "ann");
    expect(stored).toMatchObject({
      header: {
        ...header("a"),
        object: "fusion.trace",
        status: "in_progress",
        finish_reason: null,
        usage: null,
      },
      numTokens: 1,
    });
    expect(stored?.recordAt(0)).toBe(JSON.stringify(record));
    store.append("unknown", [record]);
    store.end("unknown", ended);
    expect(store.list("ann")).toHaveLength(1);
  });

  it("two who follow see the same, each at its own pace", async () => {
    const store = new TraceStore({ maxBytes: 1e6, maxAgeMs: 1000 });
    store.begin(begun("a"));
    const { signal } = new AbortController();
    const early = store.follow("a", signal);
    await early.next();
    store.append("a", [record]);
    store.append("a", [record]);
    const late = store.follow("a", signal);
    store.end("a", ended);
    const rest: StoredEvent[] = [];
    for await (const event of early) rest.push(event);
    expect(rest.map(({ type }) => type)).toEqual(["trace.tokens", "trace.ended"]);
    const all: StoredEvent[] = [];
    for await (const event of late) all.push(event);
    expect(all.slice(1)).toEqual(rest);
    expect(rest[0]).toMatchObject({ records: [JSON.stringify(record), JSON.stringify(record)] });
  });

  it("a long trace comes in several events, a reader of it keeps nothing that was dropped", async () => {
    const store = new TraceStore({ maxBytes: 200_000, maxAgeMs: 1000 });
    store.begin(begun("a"));
    const records = Array.from({ length: 200 }, (_, position) => ({ ...record, position }));
    store.append("a", records);
    store.end("a", ended);
    const stored = store.get("a", "ann");
    const events: StoredEvent[] = [];
    for await (const event of store.follow("a", new AbortController().signal)) events.push(event);
    const parts = events.flatMap((event) => (event.type === "trace.tokens" ? [event.records] : []));
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts) expect(part.join("").length).toBeLessThan(70_000);
    expect(parts.flat()).toEqual(records.map((one) => JSON.stringify(one)));
    store.begin(begun("b"));
    store.append(
      "b",
      Array.from({ length: 400 }, () => record),
    );
    expect(stored?.recordAt(0)).toBeNull();
  });

  it("one who leaves is let go", async () => {
    const store = new TraceStore({ maxBytes: 1e6, maxAgeMs: 1000 });
    store.begin(begun("a"));
    const controller = new AbortController();
    const events = store.follow("a", controller.signal);
    await events.next();
    const next = events.next();
    controller.abort();
    expect((await next).done).toBe(true);
    expect((await store.follow("nothing", controller.signal).next()).done).toBe(true);
  });
});
