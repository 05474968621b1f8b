import { describe, expect, it } from "vitest";
import type { GeneratedToken, GenerationEvent, GenerationRequest } from "../../src/protocol/protocol.js";
import { TextStream } from "../../src/engine/text-stream.js";
import { ShouldersError } from "../../src/errors.js";
import type { Chunk } from "../support/chunk.js";
import { accepted, answering, deltaOf, doneAfter, Gate, tokenOf } from "../support/fake-engine.js";
import { readEvents, startTestServer, type TestServer } from "../support/server.js";

const messages = [{ role: "user", content: "hi" }];
const chat = { model: "both", messages };
const text = { model: "both", prompt: "hi" };

/** The events that the engine makes of tokens with these bytes. */
function eventsOf(pieces: Uint8Array[]): (request: GenerationRequest) => GenerationEvent[] {
  return ({ stop }) => {
    const stream = new TextStream<GeneratedToken>(stop);
    const events: GenerationEvent[] = [accepted];
    for (const [index, bytes] of pieces.entries()) {
      const released = stream.push(tokenOf(bytes, index), bytes);
      if (released.text !== "" || released.tokens.length > 0) events.push({ type: "delta", ...released });
      if (stream.stopFound !== null) return [...events, doneAfter(index + 1)];
    }
    return [...events, { type: "delta", ...stream.finish() }, doneAfter(pieces.length, "length")];
  };
}

const bytesOf = (content: string) => Array.from(Buffer.from(content), (byte) => Uint8Array.of(byte));

async function stream(server: TestServer, fields: object = {}): Promise<Chunk[]> {
  const response = await server.post("/v1/chat/completions", { ...chat, ...fields, stream: true });
  const events = await readEvents(response);
  expect(events.at(-1)).toBe("[DONE]");
  return events.slice(0, -1) as Chunk[];
}

const contentOf = (chunks: Chunk[]) => chunks.map(({ choices }) => choices[0]?.delta?.content ?? "").join("");

async function statusOf(server: TestServer, path: string, body: unknown): Promise<[number, string | null]> {
  const response = await server.post(path, body);
  const { error } = (await response.json()) as { error?: { param: string | null } };
  return [response.status, error?.param ?? null];
}

describe("a character that is split over tokens", () => {
  const content = "é日😀";

  it("is neither U+FFFD nor dropped", async () => {
    const server = await startTestServer();
    server.engine.script = eventsOf(bytesOf(content));
    const chunks = await stream(server);
    expect(contentOf(chunks)).toBe(content);
    for (const { choices } of chunks) expect(choices[0]?.delta?.content ?? "").not.toContain("\uFFFD");
  });

  it("has an entry of logprobs for each of its tokens, with the token's own bytes", async () => {
    const server = await startTestServer();
    server.engine.script = eventsOf(bytesOf(content));
    const entries = (await stream(server, { logprobs: true })).flatMap(
      ({ choices }) => choices[0]?.logprobs?.content ?? [],
    );
    expect(entries.map(({ bytes }) => bytes)).toEqual([...Buffer.from(content)].map((byte) => [byte]));
  });

  it("does not keep the role chunk back", async () => {
    const server = await startTestServer();
    server.engine.script = eventsOf(bytesOf(content));
    const [first] = await stream(server);
    expect(first?.choices[0]?.delta).toEqual({ role: "assistant", content: "" });
  });
});

it("no prefix of a stop string leaks, and held text is not lost when max_tokens hits", async () => {
  const server = await startTestServer();
  server.engine.script = eventsOf(bytesOf("one END two"));
  expect(contentOf(await stream(server, { stop: "END" }))).toBe("one ");
  server.engine.script = eventsOf(bytesOf("one EN"));
  expect(contentOf(await stream(server, { stop: "END" }))).toBe("one EN");
});

it("usage comes only when asked for, once, and with choices", async () => {
  const server = await startTestServer();
  expect((await stream(server)).every((chunk) => !("usage" in chunk))).toBe(true);
  const chunks = await stream(server, { stream_options: { include_usage: true } });
  expect(chunks.filter(({ usage }) => usage != null)).toHaveLength(1);
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 7 } });
  expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
});

it("an overflow is a 400, also of a stream", async () => {
  const server = await startTestServer();
  server.engine.script = () => [
    new ShouldersError("context_length_exceeded", "Too long.", { param: "messages" }),
  ];
  for (const isStream of [true, false])
    expect(await statusOf(server, "/v1/chat/completions", { ...chat, stream: isStream })).toEqual([
      400,
      "messages",
    ]);
});

it("null is the default", async () => {
  const server = await startTestServer();
  const nulls = {
    temperature: null,
    n: null,
    stop: null,
    tools: null,
    response_format: null,
    seed: null,
    grammar: null,
  };
  expect((await server.post("/v1/chat/completions", { ...chat, ...nulls })).status).toBe(200);
});

it("n gives n choices, and their usage is summed", async () => {
  const server = await startTestServer();
  const answer = (await (await server.post("/v1/chat/completions", { ...chat, n: 3 })).json()) as Chunk;
  expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(answer.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 9 });
});

it("legacy logprobs are the four arrays", async () => {
  const server = await startTestServer();
  const answer = (await (await server.post("/v1/completions", { ...text, logprobs: 1 })).json()) as Chunk;
  expect(Object.keys(answer.choices[0]?.logprobs ?? {})).toEqual([
    "tokens",
    "token_logprobs",
    "top_logprobs",
    "text_offset",
  ]);
});

it("alternatives come only when asked for", async () => {
  const server = await startTestServer();
  server.engine.script = () => {
    const events = answering("a");
    for (const event of events)
      if (event.type === "delta") event.tokens.forEach((token) => (token.topLogprobs = []));
    return events;
  };
  const chunks = await stream(server, { logprobs: true });
  const entries = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []);
  expect(entries.map(({ token, top_logprobs }) => [token, top_logprobs])).toEqual([["a", []]]);
  expect(server.engine.submitted[0]?.topLogprobs).toBe(0);
});

it("echo is done, but not with a suffix", async () => {
  const server = await startTestServer();
  const echoed = (await (await server.post("/v1/completions", { ...text, echo: true })).json()) as Chunk;
  expect(echoed.choices[0]?.text).toBe("hiHello world");
  const both = { ...text, echo: true, suffix: "x" };
  expect(await statusOf(server, "/v1/completions", both)).toEqual([400, "echo"]);
});

it("an unknown model is a 404", async () => {
  const server = await startTestServer();
  expect(await statusOf(server, "/v1/chat/completions", { ...chat, model: "gpt-4o" })).toEqual([
    404,
    "model",
  ]);
});

it("GET /v1/models/{id} is there", async () => {
  const server = await startTestServer();
  expect(await (await fetch(`${server.url}/v1/models/both`)).json()).toMatchObject({
    id: "both",
    object: "model",
  });
});

it("malformed JSON is a 400, which no client tries again", async () => {
  const server = await startTestServer();
  expect(await statusOf(server, "/v1/chat/completions", '{"model":')).toEqual([400, null]);
});

it("a value out of range is refused, not clamped", async () => {
  const server = await startTestServer();
  for (const [field, value] of Object.entries({
    temperature: 2.1,
    top_p: 1.1,
    top_logprobs: 21,
    n: 17,
    max_tokens: -3,
  }))
    expect(await statusOf(server, "/v1/chat/completions", { ...chat, [field]: value })).toEqual([400, field]);
});

it("a bias outside the vocabulary is refused, not dropped", async () => {
  const server = await startTestServer();
  const body = { ...chat, logit_bias: { "980": 1 } };
  expect(await statusOf(server, "/v1/chat/completions", body)).toEqual([400, "logit_bias"]);
});

it("max_tokens: 0 reaches the engine as 0", async () => {
  const server = await startTestServer();
  server.engine.script = () => [accepted, doneAfter(0, "length")];
  const answer = (await (await server.post("/v1/completions", { ...text, max_tokens: 0 })).json()) as Chunk;
  expect(server.engine.submitted[0]?.maxTokens).toBe(0);
  expect(answer).toMatchObject({
    choices: [{ text: "", finish_reason: "length" }],
    usage: { completion_tokens: 0 },
  });
});

it('stop: "" asks for nothing, and ends nothing', async () => {
  const server = await startTestServer();
  expect(await statusOf(server, "/v1/chat/completions", { ...chat, stop: "" })).toEqual([200, null]);
  expect(server.engine.submitted[0]?.stop).toEqual([]);
});

it("a hang-up is seen on the response, when the request was read long ago", async () => {
  const server = await startTestServer();
  server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
  const controller = new AbortController();
  const { signal } = controller;
  const response = await server.post("/v1/chat/completions", { ...chat, stream: true }, { signal });
  await response.body?.getReader().read();
  expect(server.engine.cancelled).toEqual([]);
  controller.abort();
  await server.engine.untilCancelled(1);
});

it("a server that is told to close says so in a stream that it cuts", async () => {
  const server = await startTestServer({ closeGraceMs: 20 });
  server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
  const response = await server.post("/v1/chat/completions", { ...chat, stream: true });
  const events = readEvents(response);
  await Promise.all([server.close(), events]);
  expect((await events).at(-1)).toMatchObject({ error: { code: "server_closing" } });
});
