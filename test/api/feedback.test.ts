import { expect, it, onTestFinished } from "vitest";
import { MemoryStore } from "../../src/store/memory-store.js";
import { SqliteStore } from "../../src/store/sqlite-store.js";
import type { NewEntry } from "../../src/store/store.js";
import { hashOf } from "../../src/config/api-keys.js";
import { connect } from "../support/socket.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const chat = { model: "both", messages: [{ role: "user", content: "a secret question" }] };
const path = "/v1/fusion/feedback";

interface Caller {
  answer: (fields?: object) => Promise<string>;
  ask: (
    method: string,
    path: string,
    body?: object,
  ) => Promise<{ status: number; body: Record<string, unknown> }>;
}

function callerOf(server: TestServer, key?: string): Caller {
  const headers = { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
  const ask: Caller["ask"] = async (method, to, body) => {
    const sent = { method, headers, ...(body && { body: JSON.stringify(body) }) };
    const response = await fetch(server.url + to, sent);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const answer = async (fields = {}) =>
    (await ask("POST", "/v1/chat/completions", { ...chat, ...fields })).body["id"] as string;
  return { answer, ask };
}

it("an answer is rated by score or by thumb, listed, summed up, and taken back", async () => {
  const { answer, ask } = callerOf(await startTestServer());
  const [first, second] = [await answer(), await answer()];
  expect(await ask("POST", path, { trace: first, rating: "up" })).toMatchObject({
    status: 201,
    body: { object: "fusion.feedback", trace: first, model: "both", score: 1, spans: [], policy: null },
  });
  await ask("POST", path, { trace: second, score: 0.25, spans: [{ from: 0, to: 2, score: 0 }] });
  expect((await ask("GET", path)).body).toMatchObject({
    data: [{ trace: second, spans: [{ from: 0, to: 2, score: 0 }] }, { trace: first }],
    has_more: false,
    summary: { both: { ratings: 2, mean: 0.625 } },
  });
  expect((await ask("GET", `${path}?limit=1&after=${second}`)).body).toMatchObject({
    data: [{ trace: first }],
  });
  expect((await ask("GET", `${path}/${second}`)).body).toMatchObject({ score: 0.25 });
  expect((await ask("DELETE", `${path}/${second}`)).body).toEqual({
    ...{ object: "fusion.feedback", trace: second, deleted: true },
  });
  expect((await ask("DELETE", `${path}/${second}`)).status).toBe(404);
  expect((await ask("GET", path)).body).toMatchObject({ data: [{ trace: first }] });
});

it("a second rating of an answer replaces the first, and moves nothing", async () => {
  const { answer, ask } = callerOf(await startTestServer());
  const [first, second] = [await answer(), await answer()];
  await ask("POST", path, { trace: first, score: 0 });
  await ask("POST", path, { trace: second, score: 0 });
  for (const score of [0.4, 0.4, 0.8]) await ask("POST", path, { trace: first, score });
  expect((await ask("GET", path)).body).toMatchObject({
    data: [
      { trace: second, score: 0 },
      { trace: first, score: 0.8 },
    ],
    summary: { both: { ratings: 2, mean: 0.4 } },
  });
});

it("what is wrong is refused and named", async () => {
  const { answer, ask } = callerOf(await startTestServer());
  const trace = await answer();
  const wrong: [object, string][] = [
    [{ trace }, "score"],
    [{ trace, score: 1, rating: "up" }, "score"],
    [{ trace, score: 2 }, "score"],
    [{ trace, score: 1, spans: [{ from: 2, to: 2, score: 1 }] }, "spans.0.to"],
    [{ trace, score: 1, spans: [{ from: 0, to: 99, score: 1 }] }, "spans.0.to"],
    [{ score: 1 }, "trace"],
  ];
  for (const [body, param] of wrong)
    expect(await ask("POST", path, body)).toMatchObject({ status: 400, body: { error: { param } } });
  expect(await ask("POST", path, { trace: "chatcmpl-no", score: 1 })).toMatchObject({
    status: 404,
    body: { error: { code: "trace_not_found", param: "trace" } },
  });
});

it("nobody rates, sees or deletes another's", async () => {
  const keys = ["ann", "bob"].map((name) => ({ name, sha256: hashOf(`key-of-${name}`) }));
  const server = await startTestServer({ access: { keys } });
  const [ann, bob] = [callerOf(server, "key-of-ann"), callerOf(server, "key-of-bob")];
  const trace = await ann.answer();
  expect((await bob.ask("POST", path, { trace, score: 0 })).status).toBe(404);
  await ann.ask("POST", path, { trace, score: 1 });
  expect((await bob.ask("GET", path)).body).toMatchObject({ data: [], summary: {} });
  expect((await bob.ask("DELETE", `${path}/${trace}`)).status).toBe(404);
  await bob.ask("DELETE", path);
  expect((await ann.ask("GET", path)).body).toMatchObject({ data: [{ trace, score: 1 }] });
  expect((await ann.ask("DELETE", path)).body).toEqual({ object: "fusion.feedback", forgotten: 2 });
  expect((await ann.ask("POST", path, { trace, score: 1 })).status).toBe(404);
});

/** What a server keeps. */
class WatchedStore extends MemoryStore {
  readonly written: NewEntry[] = [];
  isFull = false;

  override append(entries: readonly NewEntry[]): Promise<void> {
    if (this.isFull) return Promise.reject(new Error("database or disk is full"));
    this.written.push(...entries);
    return super.append(entries);
  }
}

it("no text is kept, nor a note, unless a setting says so", async () => {
  for (const keepsTexts of [false, true]) {
    const store = new WatchedStore();
    const { answer, ask } = callerOf(await startTestServer({ store, keepsTexts }));
    const rated = await ask("POST", path, { trace: await answer(), score: 1, note: "my own words" });
    const kept = JSON.stringify(store.written);
    for (const text of ["a secret question", "Hello world", "my own words"])
      expect(kept.includes(text)).toBe(keepsTexts);
    expect(rated.body["note"]).toBe(keepsTexts ? "my own words" : null);
    expect(rated.body["fusion"]).toEqual(keepsTexts ? undefined : { ignored: ["note"] });
  }
});

it("a full disk turns feedback off and says so; answers go on", async () => {
  const store = new WatchedStore();
  const { answer, ask } = callerOf(await startTestServer({ store }));
  const trace = await answer();
  await ask("POST", path, { trace, score: 1 });
  expect((await ask("GET", "/readyz")).body).toMatchObject({ feedback: { status: "on" } });
  store.isFull = true;
  expect(await ask("POST", path, { trace, score: 0 })).toMatchObject({
    status: 503,
    body: { error: { code: "store_unavailable", message: expect.stringMatching("disk is full") as string } },
  });
  expect(await answer()).toMatch(/^chatcmpl-/);
  expect((await ask("GET", "/readyz")).body).toMatchObject({
    status: "ok",
    feedback: { status: "off", reason: "database or disk is full" },
  });
  const response = await ask("POST", "/v1/responses", { model: "both", input: "hi", store: true });
  expect(response.body).toMatchObject({ status: "completed", store: false });
});

it("a server that takes no feedback keeps nothing, and says so", async () => {
  const store = new WatchedStore();
  const { answer, ask } = callerOf(await startTestServer({ store, takesFeedback: false }));
  expect((await ask("POST", path, { trace: await answer(), score: 1 })).status).toBe(503);
  expect((await ask("GET", "/readyz")).body).toMatchObject({ feedback: { status: "off" } });
  expect(store.written.filter(({ kind }) => kind === "answer")).toEqual([]);
});

it("answers are rated, and responses go on, after a restart", async () => {
  const directory = temporaryDirectory();
  onTestFinished(() => directory.remove());
  const open = () => startTestServer({ store: new SqliteStore(directory.file("log.db")) });
  const before = await open();
  const caller = callerOf(before);
  const trace = await caller.answer();
  const first = (await caller.ask("POST", "/v1/responses", { model: "both", input: "hi" })).body;
  await before.close();
  const after = await open();
  const { ask } = callerOf(after);
  expect((await ask("POST", path, { trace, score: 0.5 })).status).toBe(201);
  const { id } = first as { id: string };
  expect((await ask("GET", `/v1/responses/${id}`)).body).toEqual(first);
  const next = await ask("POST", "/v1/responses", { model: "both", input: "and?", previous_response_id: id });
  expect(next.status).toBe(200);
  expect(after.engine.submitted.at(-1)?.prompt).toMatchObject({
    messages: [{ content: "hi" }, { role: "assistant", content: "Hello world" }, { content: "and?" }],
  });
  expect((await ask("DELETE", `/v1/responses/${id}`)).status).toBe(200);
  expect((await ask("GET", `/v1/responses/${id}`)).status).toBe(404);
});

it("over a WebSocket, too", async () => {
  const server = await startTestServer();
  const trace = await callerOf(server).answer();
  const socket = await connect(server.url);
  const ask = async (frame: object) => {
    const numBefore = socket.frames.length;
    socket.send(frame);
    await expect.poll(() => socket.frames.length).toBe(numBefore + 1);
    return socket.frames.at(-1);
  };
  expect(await ask({ type: "feedback.create", event_id: "e1", trace, rating: "down" })).toMatchObject({
    type: "feedback.created",
    event_id: "e1",
    feedback: { trace, score: 0 },
  });
  expect(await ask({ type: "feedback.list" })).toMatchObject({
    type: "feedback.listed",
    feedback: { data: [{ trace }], summary: { both: { ratings: 1, mean: 0 } } },
  });
  expect(await ask({ type: "feedback.delete", trace })).toMatchObject({ type: "feedback.deleted" });
  expect(await ask({ type: "feedback.delete", event_id: "e2", trace })).toMatchObject({
    type: "error",
    error: { code: "trace_not_found", event_id: "e2" },
  });
  expect(await ask({ type: "feedback.create", trace })).toMatchObject({
    type: "error",
    error: { param: "score" },
  });
});
