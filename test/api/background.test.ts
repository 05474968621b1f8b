import OpenAI from "openai";
import { expect, it } from "vitest";
import { parseApiKeys } from "../../src/config/api-keys.js";
import { ShouldersError } from "../../src/errors.js";
import type { Store } from "../../src/store/store.js";
import { MemoryStore } from "../../src/store/memory-store.js";
import { accepted, answering, deltaOf, Gate } from "../support/fake-engine.js";
import { startTestServer, type TestServer } from "../support/server.js";

/** Responses that run in the background, by the official SDK. */

const responsesOf = ({ url }: TestServer, apiKey = "unused") =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 }).responses;
const asked = { model: "both", input: "hi", background: true };

/** A server whose answers wait in their middle. */
async function startWaiting(options: Parameters<typeof startTestServer>[0] = {}) {
  const server = await startTestServer(options);
  const [begin, go] = [new Gate(), new Gate()];
  server.engine.script = () => {
    const [first, ...rest] = answering("Hello", " world");
    return [first!, begin, rest[0]!, go, ...rest.slice(1)];
  };
  return { server, responses: responsesOf(server), begin, go };
}

async function until<T>(read: () => Promise<T>, isDone: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await read();
    if (isDone(value)) return value;
  }
}

it("is answered when it is taken, and told as it goes on", async () => {
  const { responses, begin, go } = await startWaiting();
  const queued = await responses.create({ ...asked, metadata: { a: "b" } });
  expect(queued).toMatchObject({ status: "queued", background: true, output: [], metadata: { a: "b" } });
  expect((await responses.retrieve(queued.id)).status).toBe("queued");
  await expect(
    responses.create({ model: "both", input: "more", previous_response_id: queued.id }),
  ).rejects.toThrow(/not over/);
  begin.open();
  const read = () => responses.retrieve(queued.id);
  expect((await until(read, ({ status }) => status !== "queued")).status).toBe("in_progress");
  go.open();
  const whole = await until(read, ({ status }) => status !== "in_progress");
  expect(whole).toMatchObject({
    status: "completed",
    output_text: "Hello world",
    usage: { output_tokens: 3 },
  });
  const next = await responses.create({ model: "both", input: "more", previous_response_id: queued.id });
  expect((await responses.inputItems.list(next.id)).data).toHaveLength(3);
});

it("a stream that is left goes on, and is followed from where it was", async () => {
  const { responses, begin, go } = await startWaiting();
  begin.open();
  const stream = await responses.create({ ...asked, stream: true });
  const seen: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of stream) {
    seen.push(event);
    if (event.type === "response.output_text.delta") break;
  }
  const [first] = seen;
  const { id } = (first as OpenAI.Responses.ResponseCreatedEvent).response;
  const follow = async (starting_after?: number) => {
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    const query = { stream: true as const, ...(starting_after !== undefined && { starting_after }) };
    for await (const event of await responses.retrieve(id, query)) events.push(event);
    return events;
  };
  const rest = follow(seen.at(-1)!.sequence_number);
  const all = follow();
  go.open();
  const whole = [...seen, ...(await rest)];
  expect(whole.map(({ sequence_number }) => sequence_number)).toEqual(whole.map((_, index) => index));
  expect(whole.slice(0, 3).map(({ type }) => type)).toEqual([
    "response.created",
    "response.queued",
    "response.in_progress",
  ]);
  expect(whole.at(-1)).toMatchObject({ type: "response.completed", response: { id, status: "completed" } });
  expect(await all).toEqual(whole);
  // Also when it is over, of what is kept.
  expect(
    await until(
      () => follow(),
      (events) => events.length > 0,
    ),
  ).toEqual(whole);
  expect(await follow(whole.length - 2)).toHaveLength(1);
});

it("is cancelled, once or twice; what is not in the background is not", async () => {
  const { server, responses, begin } = await startWaiting();
  begin.open();
  const { id } = await responses.create(asked);
  await until(
    () => responses.retrieve(id),
    ({ status }) => status === "in_progress",
  );
  const cancelled = await responses.cancel(id);
  expect(cancelled).toMatchObject({ id, status: "cancelled", output: [{ status: "incomplete" }] });
  expect(server.engine.cancelled).toEqual([id]);
  expect(await responses.cancel(id)).toEqual(cancelled);
  server.engine.script = () => answering("a");
  const plain = await responses.create({ model: "both", input: "hi" });
  await expect(responses.cancel(plain.id)).rejects.toThrow(/only background/);
  await expect(responses.cancel("resp_1")).rejects.toMatchObject({ status: 404 });
  await expect(async () => {
    for await (const event of await responses.retrieve(id, { stream: true })) expect(event).toBeNull();
  }).rejects.toThrow(/asked for as a stream/);
});

it("what the engine refuses has its status, and what fails later is told as failed", async () => {
  const server = await startTestServer();
  const responses = responsesOf(server);
  server.engine.script = () => [new ShouldersError("queue_full", "Full.")];
  await expect(responses.create(asked)).rejects.toMatchObject({ status: 429 });
  server.engine.script = () => [accepted, deltaOf("a"), new ShouldersError("engine_died", "It died.")];
  const { id } = await responses.create(asked);
  const failed = await until(
    () => responses.retrieve(id),
    ({ status }) => status === "failed",
  );
  expect(failed.error).toEqual({ code: "server_error", message: "It died." });
  await expect(responses.create({ ...asked, store: false })).rejects.toMatchObject({ param: "background" });
});

it("one that its server did not live to end is told as failed; a deleted one is not kept", async () => {
  const store = new MemoryStore();
  let isKilled = false;
  const kept: Store = {
    append: (entries) => (isKilled ? Promise.reject(new Error("killed")) : store.append(entries)),
    read: (query) => store.read(query),
    forget: (place) => store.forget(place),
    trim: (retention) => store.trim(retention),
    close: () => Promise.resolve(),
  };
  const { server, responses } = await startWaiting({ store: kept });
  const [first, second] = [await responses.create(asked), await responses.create(asked)];
  await responses.delete(second.id);
  await expect(responses.retrieve(second.id)).rejects.toMatchObject({ status: 404 });
  // What is written of it while it closes is lost, as where a process is killed.
  isKilled = true;
  await server.close();
  const after = responsesOf(await startTestServer({ store }));
  expect(await after.retrieve(first.id)).toMatchObject({
    status: "failed",
    error: { message: /started again/ },
  });
});

it("a key has as many as it may have requests, and nobody sees another's", async () => {
  const keys = parseApiKeys("ann=0123456789abcdef,bob=fedcba9876543210", "test");
  const { server, begin, go } = await startWaiting({ access: { keys, concurrentRequests: 2 } });
  const [ann, bob] = [responsesOf(server, "0123456789abcdef"), responsesOf(server, "fedcba9876543210")];
  const { id } = await ann.create(asked);
  await ann.create(asked);
  await expect(ann.create(asked)).rejects.toThrow(/2 responses of this key run in the background/);
  expect((await bob.create(asked)).status).toBe("queued");
  await expect(bob.retrieve(id)).rejects.toMatchObject({ status: 404 });
  await expect(bob.cancel(id)).rejects.toMatchObject({ status: 404 });
  await expect(bob.delete(id)).rejects.toMatchObject({ status: 404 });
  begin.open();
  go.open();
  const whole = await until(
    () => ann.retrieve(id),
    ({ status }) => status === "completed",
  );
  expect(whole.output_text).toBe("Hello world");
});
