import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { describe, expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { accepted, answering, deltaOf, doneAfter, Gate, tokenOf } from "../support/fake-engine.js";
import { metricOf, startTestServer } from "../support/server.js";
import { connect, TestSocket } from "../support/socket.js";

const chat = {
  model: "both",
  messages: [{ role: "user", content: "hi" }],
  fusion: { trace: "weights" },
};
const create = (fields: object = {}) => ({ type: "response.create", response: { ...chat, ...fields } });

describe("a response", () => {
  it("goes from created to its one done", async () => {
    const server = await startTestServer();
    const socket = await connect(server.url);
    socket.send({ type: "response.create", event_id: "e1", response: { id: "r1", ...chat } });
    await socket.until("response.done");
    const traceId = server.engine.submitted[0]?.requestId;
    const [session, ...frames] = socket.frames;
    expect(session).toEqual({
      type: "session.created",
      session: {
        id: expect.stringMatching(/^sess-/) as string,
        models: ["both", "giant"],
        limits: { responses: 8, frame_bytes: 1024 * 1024 },
      },
    });
    const delta = (text: string, position: number) => ({
      type: "response.output_text.delta",
      response_id: "r1",
      choice_index: 0,
      delta: text,
      tokens: [expect.objectContaining({ position }) as object],
    });
    expect(frames).toEqual([
      {
        type: "response.created",
        response: { id: "r1", status: "in_progress", model: "both", trace_id: traceId },
      },
      delta("Hello", 7),
      delta(" world", 8),
      delta("", 9),
      { type: "response.output_text.done", response_id: "r1", choice_index: 0, text: "Hello world" },
      {
        type: "response.done",
        response: {
          id: "r1",
          status: "completed",
          output_text: "Hello world",
          choices: [{ index: 0, output_text: "Hello world", finish_reason: "stop" }],
          finish_reason: "stop",
          usage: {
            prompt_tokens: 7,
            completion_tokens: 3,
            total_tokens: 10,
            prompt_tokens_details: { cached_tokens: 3 },
            completion_tokens_details: { accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
            fusion: {
              nats: 0.5,
              flipped: 1,
              tokens: 3,
              certain: 0,
              contested: 0,
              unvouched: 0,
              base_passes: 3,
              skipped_share: 0.25,
            },
          },
        },
      },
    ]);
    const trace = await fetch(`${server.url}/v1/fusion/traces/${traceId}`);
    expect(await trace.json()).toMatchObject({ status: "completed", tokens: [{}, {}, {}] });
  });

  it("may be a legacy one, without records, cut short, or with logprobs", async () => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, deltaOf("Hi"), doneAfter(1, "length")];
    const socket = await connect(server.url);
    const response = { id: "text", model: "both", prompt: "x", fusion: { trace: "off" }, stream: true };
    socket.send({ type: "response.create", response });
    const done = await socket.until("response.done");
    expect(done.response).toMatchObject({ status: "incomplete", finish_reason: "length", output_text: "Hi" });
    expect(socket.of("response.output_text.delta")).toEqual([
      {
        type: "response.output_text.delta",
        response_id: "text",
        choice_index: 0,
        delta: "Hi",
        tokens: [],
      },
    ]);
    socket.send(create({ id: "logprobs", logprobs: true }));
    await socket.until("response.done", ({ response: { id } }) => id === "logprobs");
    expect(socket.of("response.output_text.delta").at(-1)).toMatchObject({
      logprobs: { content: [{ token: "Hi", bytes: [72, 105] }] },
    });
  });

  it("runs beside others on the socket, up to the limit", async () => {
    const server = await startTestServer();
    const gate = new Gate();
    server.engine.script = () => [accepted, deltaOf("a"), gate, deltaOf("b", 1), doneAfter(2)];
    const socket = await connect(server.url);
    const ids = Array.from({ length: 8 }, (_, index) => `r${index}`);
    for (const id of ids) socket.send(create({ id }));
    for (const id of ids)
      await socket.until("response.output_text.delta", ({ response_id }) => response_id === id);
    socket.send({ ...create({ id: "ninth" }), event_id: "too-many" });
    expect((await socket.until("error")).error).toMatchObject({
      code: "too_many_responses",
      type: "rate_limit_error",
      event_id: "too-many",
    });
    gate.open();
    for (const id of ids) {
      const { response } = await socket.until("response.done", (frame) => frame.response.id === id);
      expect(response).toMatchObject({ status: "completed", output_text: "ab" });
    }
    expect(socket.of("response.done")).toHaveLength(8);
    socket.send(create({ id: "r0" }));
    await socket.until("response.done", ({ response }) => response.id === "r0");
  });

  it("is cancelled by its id, alone", async () => {
    const server = await startTestServer();
    const gate = new Gate();
    server.engine.script = () => [accepted, deltaOf("a"), gate, doneAfter(1, "length")];
    const socket = await connect(server.url);
    socket.send(create({ id: "stays" }));
    socket.send(create({ id: "goes" }));
    await socket.until("response.output_text.delta", ({ response_id }) => response_id === "goes");
    socket.send({ type: "response.cancel", response_id: "goes" });
    const { response } = await socket.until("response.done");
    expect(response).toMatchObject({
      id: "goes",
      status: "cancelled",
      output_text: "a",
      finish_reason: null,
      usage: { prompt_tokens: 7, completion_tokens: 1, total_tokens: 8 },
    });
    expect(server.engine.cancelled).toHaveLength(1);
    gate.open();
    await socket.until("response.done", (frame) => frame.response.id === "stays");
    socket.send({ type: "response.cancel", event_id: "late", response_id: "goes" });
    expect((await socket.until("error")).error).toMatchObject({ param: "response_id", event_id: "late" });
    expect(socket.of("response.done")).toHaveLength(2);
  });

  it("fails once, with what the engine said", async () => {
    const server = await startTestServer();
    const socket = await connect(server.url);
    server.engine.script = () => [
      new ShouldersError("context_length_exceeded", "Too long.", { param: "messages" }),
    ];
    socket.send(create({ id: "long" }));
    const done = await socket.until("response.done");
    expect(done.response).toMatchObject({
      status: "failed",
      output_text: "",
      error: { code: "context_length_exceeded", message: "Too long.", param: "response.messages" },
    });
    server.engine.script = () => [accepted, deltaOf("a"), new ShouldersError("engine_died", "It died.")];
    socket.send(create({ id: "dead" }));
    const dead = await socket.until("response.done", ({ response }) => response.id === "dead");
    expect(dead.response).toMatchObject({
      status: "failed",
      output_text: "a",
      error: { code: "engine_died" },
    });
    server.engine.script = () => answering("ok");
    socket.send(create({ id: "next" }));
    await socket.until("response.done", ({ response }) => response.id === "next");
  });
});

describe("frames", () => {
  it("that are wrong are answered, and the socket lives", async () => {
    const server = await startTestServer();
    const socket = await connect(server.url);
    const wrong: [unknown, object][] = [
      ["{", { code: "invalid_json" }],
      ["", { code: "invalid_json" }],
      [[], { code: "invalid_request" }],
      [null, { code: "invalid_request" }],
      [
        { type: "nonsense", event_id: "e" },
        { code: "invalid_request", param: "type", event_id: "e" },
      ],
      [{ type: "response.create" }, { param: "response" }],
      [{ type: "ping", even_id: "e" }, { param: "even_id" }],
      [create({ id: "a b" }), { param: "response.id" }],
      [create({ model: "nope" }), { code: "model_not_found", param: "response.model" }],
      [create({ temperature: 3 }), { code: "invalid_request", param: "response.temperature" }],
      [create({ tools: [{}] }), { code: "invalid_request", param: "response.tools.0.type" }],
      [create({ n: 17 }), { code: "invalid_request", param: "response.n" }],
      [create({ functions: [{}] }), { code: "invalid_request", param: "response.functions.0.name" }],
      [{ type: "response.create", response: { model: "both" } }, { param: "response.prompt" }],
      [{ type: "response.cancel", response_id: "nobody" }, { param: "response_id" }],
    ];
    for (const [frame] of wrong) socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
    socket.send({ type: "ping", event_id: "p" });
    expect(await socket.until("pong")).toEqual({ type: "pong", event_id: "p" });
    expect(socket.of("error").map(({ error }) => error)).toMatchObject(wrong.map(([, error]) => error));
    expect(server.engine.submitted).toEqual([]);
  });

  it("that are binary end it with 1003, too large ones with 1009", async () => {
    const server = await startTestServer();
    const binary = await connect(server.url);
    binary.socket.send(Buffer.from("{}"));
    expect(await binary.closed()).toBe(1003);
    const large = await connect(server.url);
    large.send("x".repeat(1024 * 1024 + 1));
    expect(await large.closed()).toBe(1009);
    const atLimit = await connect(server.url);
    atLimit.send("x".repeat(1024 * 1024));
    expect((await atLimit.until("error")).error.code).toBe("invalid_json");
  });

  it("with a running id are refused", async () => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, new Gate()];
    const socket = await connect(server.url);
    socket.send(create({ id: "twin" }));
    socket.send(create({ id: "twin" }));
    expect((await socket.until("error")).error).toMatchObject({ param: "response.id" });
    expect(server.engine.submitted).toHaveLength(1);
  });
});

describe("the connection", () => {
  it("its end cancels every response", async () => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
    const socket = await connect(server.url);
    for (const id of ["a", "b", "c"]) socket.send(create({ id }));
    await server.engine.untilSubmitted(3);
    socket.socket.terminate();
    await server.engine.untilCancelled(3);
  });

  it("is refused elsewhere, and to pages of other sites", async () => {
    const server = await startTestServer();
    const statusOf = async (options: { origin?: string; path?: string }) => {
      const { socket } = new TestSocket(server.url, options);
      const [, response] = (await once(socket, "unexpected-response")) as [unknown, { statusCode: number }];
      return response.statusCode;
    };
    expect(await statusOf({ path: "/v1/elsewhere" })).toBe(404);
    expect(await statusOf({ origin: "https://evil.example" })).toBe(403);
    expect(await statusOf({ origin: "null" })).toBe(403);
    const own = new TestSocket(server.url, { origin: server.url });
    await own.until("session.created");
  });

  it("is there before the models are, and says that they are not", async () => {
    const server = await startTestServer();
    server.engine.description = null;
    const socket = await connect(server.url);
    socket.send(create());
    expect((await socket.until("error")).error.code).toBe("engine_not_ready");
  });

  it("is pinged, and ends when nobody answers", async () => {
    const server = await startTestServer({ socketPingMs: 400 });
    const alive = await connect(server.url);
    await once(alive.socket, "ping");
    await once(alive.socket, "ping");
    const { hostname, port } = new URL(server.url);
    const mute = connectTcp(Number(port), hostname);
    mute.write(
      "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    mute.resume();
    await once(mute, "close");
    expect(alive.socket.readyState).toBe(alive.socket.OPEN);
  });

  it("of one who does not read is dropped, others go on", async () => {
    const server = await startTestServer({ drainTimeoutMs: 50 });
    const numDeltas = 2000;
    server.engine.script = (request) =>
      request.maxTokens === 1
        ? answering("fine")
        : (function* () {
            yield accepted;
            for (let index = 0; index < numDeltas; index++)
              yield { type: "delta", text: "x".repeat(50_000), tokens: [tokenOf("x", index)] };
            yield doneAfter(numDeltas);
          })();
    const slow = await connect(server.url);
    slow.socket.pause();
    slow.send(create());
    await server.engine.untilCancelled(1);
    expect(server.engine.numYielded).toBeLessThan(numDeltas);
    const other = await connect(server.url);
    other.send(create({ max_tokens: 1 }));
    await other.until("response.done");
    slow.socket.resume();
    expect(await slow.closed()).toBe(1013);
    expect(
      await metricOf(server, 'shoulders_requests_total{route="/v1/stream",model="both",outcome="aborted"}'),
    ).toBe(1);
  });

  it("of one who asks without reading is dropped", async () => {
    const server = await startTestServer({ socketHardMarkBytes: 1000, socketCloseMs: 50 });
    const socket = await connect(server.url);
    socket.socket.pause();
    const ping = JSON.stringify({ type: "ping", event_id: "x".repeat(128) });
    const send = () => new Promise((resolve) => socket.socket.send(ping, resolve));
    // Answers fill the buffers of both ends, then the server's own; the connection breaks under the client.
    while (socket.socket.readyState === socket.socket.OPEN)
      await Promise.race([Promise.all(Array.from({ length: 100 }, send)), socket.closed()]);
    expect(await socket.closed()).toBe(1006);
  });
});
