import { expect, it } from "vitest";
import { GrammarDesk } from "../../src/api/completion/grammar-desk.js";
import { doublingSchema } from "../support/doubling-schema.js";
import { FakeEngine } from "../support/fake-engine.js";
import { startTestServer } from "../support/server.js";
import { TestSocket } from "../support/socket.js";

/** Grammars that take long are written beside the server: nobody else waits for them. */

const properties = (count: number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`p${index}`, { type: "string", maxLength: 3 }]),
  );
/** Some 70 KB of JSON. */
const many = properties(1500);
const tools = [{ type: "function", function: { name: "f", parameters: { properties: many } } }];
const formatOf = (schema: object) => ({
  type: "json_schema" as const,
  json_schema: { name: "s", schema: { ...schema } },
});
const chat = (fields: object) => ({
  model: "both",
  messages: [{ role: "user", content: "hi" }],
  ...fields,
});
const path = "/v1/chat/completions";

it("are as those that are written at once", async () => {
  const server = await startTestServer();
  const response = await server.post(path, chat({ tools, tool_choice: "required" }));
  expect(response.status).toBe(200);
  const grammar = server.engine.submitted.at(-1)?.grammar ?? "";
  for (const name of [`p0`, `p1499`]) expect(grammar).toContain(name);
});

it("say what is wrong with the field that the client knows", async () => {
  const server = await startTestServer();
  const refused = await server.post(path, chat({ response_format: formatOf(doublingSchema) }));
  expect(refused.status).toBe(400);
  const { error } = (await refused.json()) as { error: { param: string; message: string } };
  expect(error.param).toBe("response_format");
  expect(error.message).toContain("take too long to read");

  const wrong = { properties: { ...many, q: { type: "strin" } } };
  const body = {
    model: "both",
    input: "hi",
    text: { format: { type: "json_schema", name: "s", schema: wrong } },
  };
  const response = await server.post("/v1/responses", body);
  expect(response.status).toBe(400);
  const told = (await response.json()) as { error: { param: string } };
  expect(told.error.param).toBe("text.format.schema.properties.q.type");
});

it("hold nobody else up: what is asked later is answered before", async () => {
  const server = await startTestServer();
  const ends: string[] = [];
  const ask = async (name: string, ...asked: Parameters<typeof server.post>) => {
    const response = await server.post(...asked);
    await response.text();
    ends.push(name);
  };
  await Promise.all([
    ask("heavy", path, chat({ response_format: formatOf(doublingSchema) })),
    ask("light", path, chat({ response_format: formatOf({ type: "object" }) })),
  ]);
  expect(ends).toEqual(["light", "heavy"]);
});

it("of many of one party's, another party waits for one", async () => {
  await using desk = new GrammarDesk();
  const task = { body: { response_format: formatOf(doublingSchema) }, tools: null };
  const { signal } = new AbortController();
  const ends: string[] = [];
  await Promise.all(
    ["many", "many", "many", "one"].map(async (party) => {
      await desk.write({ party, signal }, task);
      ends.push(party);
    }),
  );
  expect(ends).toEqual(["many", "one", "many", "many"]);
});

it("are dropped with the client that asked", async () => {
  const server = await startTestServer();
  const leaving = new AbortController();
  const left = server.post(path, chat({ response_format: formatOf(doublingSchema) }), {
    signal: leaving.signal,
  });
  // It is being written once another was answered that came later.
  expect((await server.post(path, chat({}))).status).toBe(200);
  leaving.abort();
  await expect(left).rejects.toThrow();
  const next = await server.post(path, chat({ tools, tool_choice: "required" }));
  expect(next.status).toBe(200);
  expect(server.engine.submitted).toHaveLength(2);
});

it("may be cancelled on a WebSocket, and are begun there", async () => {
  const server = await startTestServer({ engine: new FakeEngine() });
  const socket = new TestSocket(server.url);
  await socket.until("session.created");
  const create = (id: string, fields: object) =>
    socket.send({ type: "response.create", response: { id, ...chat(fields) } });
  create("a", { response_format: formatOf(doublingSchema) });
  socket.send({ type: "response.cancel", response_id: "a" });
  const cancelled = await socket.until("error");
  expect(cancelled.error.message).toContain("cancelled before it began");
  create("b", { tools, tool_choice: "required" });
  const done = await socket.until("response.done");
  expect(done.response.id).toBe("b");
  expect(done.response.status).toBe("completed");
});
