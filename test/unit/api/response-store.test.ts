import { expect, it } from "vitest";
import { ResponseStore } from "../../../src/api/openai/response-store.js";
import type { ResponseBody } from "../../../src/wire/response.js";
import type { ResponseItem } from "../../../src/wire/response-item.js";

const message = (id: string): ResponseItem => ({
  ...{ id, type: "message", status: "completed", role: "user" },
  content: [{ type: "input_text", text: "a".repeat(400) }],
});
/** As much of a response as the store looks at. */
const response = (id: string) => ({ id, output: [] }) as unknown as ResponseBody;

it("bytes are bounded: the owner with most loses his oldest, and their items with them", () => {
  const store = new ResponseStore({ maxBytes: 5000, maxAgeMs: 1000 });
  store.keep("ann", response("a"), [message("item-a")]);
  for (let index = 0; index < 20; index++)
    store.keep("bob", response(`b${index}`), [message(`item-b${index}`)]);
  expect(store.bytes).toBeLessThanOrEqual(5000);
  expect(store.get("a", "ann")?.input).toHaveLength(1);
  expect(store.get("b0", "bob")).toBeNull();
  expect(store.item("item-b0", "bob")).toBeNull();
  expect(store.item("item-b19", "bob")?.id).toBe("item-b19");
  expect(store.item("item-b19", "ann")).toBeNull();
});

it("what is old goes; an item that a younger one has stays", () => {
  let now = 0;
  const store = new ResponseStore({ maxBytes: 1e6, maxAgeMs: 1000, now: () => now });
  store.keep("ann", response("a"), [message("item")]);
  now = 600;
  store.keep("ann", response("b"), [message("item")]);
  now = 1200;
  expect(store.get("a", "ann")).toBeNull();
  expect(store.item("item", "ann")?.id).toBe("item");
  now = 2000;
  store.purge();
  expect(store.bytes).toBe(0);
  expect(store.item("item", "ann")).toBeNull();
});
