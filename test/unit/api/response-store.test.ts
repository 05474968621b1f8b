import { expect, it } from "vitest";
import { ResponseStore } from "../../../src/api/openai/response-store.js";
import { Journal } from "../../../src/store/journal.js";
import { MemoryStore } from "../../../src/store/memory-store.js";
import type { ResponseBody } from "../../../src/wire/response.js";
import type { ResponseItem } from "../../../src/wire/response-item.js";

const message = (id: string): ResponseItem => ({
  ...{ id, type: "message", status: "completed", role: "user" },
  content: [{ type: "input_text", text: "a".repeat(400) }],
});
/** As much of a response as the store looks at. */
const response = (id: string) => ({ id, output: [] }) as unknown as ResponseBody;

function storeWithin(limits: { maxBytes: number; maxAgeMs: number; now?: () => number }) {
  const journal: Journal = new Journal(new MemoryStore(), { retentions: () => [store.retention] });
  const store = new ResponseStore(journal, limits);
  return { journal, store };
}

it("bytes are bounded: the owner with most loses his oldest, and their items with them", async () => {
  const { journal, store } = storeWithin({ maxBytes: 8000, maxAgeMs: 60_000 });
  store.keep("ann", { response: response("a"), input: [message("item-a")] });
  for (let index = 0; index < 20; index++)
    store.keep("bob", { response: response(`b${index}`), input: [message(`item-b${index}`)] });
  await journal.purge();
  expect((await store.get("a", "ann"))?.input).toHaveLength(1);
  expect(await store.get("b0", "bob")).toBeNull();
  expect(await store.item("item-b0", "bob")).toBeNull();
  expect((await store.item("item-b19", "bob"))?.id).toBe("item-b19");
  expect(await store.item("item-b19", "ann")).toBeNull();
});

it("what is old is not found, before it goes; an item that a younger one has stays", async () => {
  let now = 0;
  const { journal, store } = storeWithin({ maxBytes: 1e6, maxAgeMs: 1000, now: () => now });
  store.keep("ann", { response: response("a"), input: [message("item")] });
  now = 600;
  store.keep("ann", { response: response("b"), input: [message("item")] });
  now = 1200;
  expect(await store.get("a", "ann")).toBeNull();
  expect((await store.item("item", "ann"))?.id).toBe("item");
  now = 2000;
  await journal.purge();
  expect(await store.item("item", "ann")).toBeNull();
  expect(await journal.read({ owner: "ann", kind: "item", limit: 10, order: "oldest" })).toEqual([]);
});
