import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseApiKeys } from "../../src/config/api-keys.js";
import { accepted, answering, deltaOf, doneAfter, Gate, tokenOf } from "../support/fake-engine.js";
import { expectConservation } from "../support/metrics.js";
import { rawRequest, sendRaw, statusOf } from "../support/raw-http.js";
import { metricOf, startTestServer, type TestServer } from "../support/server.js";
import { connect as connectStream } from "../support/socket.js";

/** Peers that hold their connections: what the server does about each, and that health answers meanwhile. */

const chat = JSON.stringify({ model: "both", messages: [{ role: "user", content: "hi" }] });
const post = (body: string, ...headers: string[]) =>
  [
    "POST /v1/chat/completions HTTP/1.1",
    "Host: localhost",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...headers,
    "",
    body,
  ].join("\r\n");
const upgrade = (...headers: string[]) =>
  [
    "GET /v1/stream HTTP/1.1",
    "Host: localhost",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    ...headers,
    "",
    "",
  ].join("\r\n");

interface Peer {
  socket: Socket;
  received: () => string;
}

/** Never closes by itself, not even when the server has closed its side. */
async function open(server: TestServer, bytes = "", localAddress = "127.0.0.1"): Promise<Peer> {
  const { hostname, port } = new URL(server.url);
  const socket = connect({ port: Number(port), host: hostname, localAddress, allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  let text = "";
  socket.setEncoding("latin1").on("data", (part: string) => (text += part));
  socket.on("error", () => undefined);
  await once(socket, "connect");
  if (bytes !== "") socket.write(bytes);
  return { socket, received: () => text };
}

const quick = {
  headersMs: 300,
  requestMs: 600,
  connectionCheckMs: 50,
  keepAliveConnectionMs: 300,
  lingerMs: 100,
  drainTimeoutMs: 300,
  socketPingMs: 100,
  socketCloseMs: 100,
};
const closed = (server: TestServer, reason: string) =>
  metricOf(server, `shoulders_connections_closed_total{reason="${reason}"}`);
/** Of the server, but for the one that asks. */
const numOpen = async (server: TestServer) => {
  const answer = await sendRaw(server.url, rawRequest("GET /metrics"));
  return Number(/^shoulders_connections (\d+)$/m.exec(answer)?.[1]) - 1;
};
const livez = async (server: TestServer, localAddress?: string) => {
  const { socket, received } = await open(server, rawRequest("GET /livez"), localAddress);
  if (!socket.readableEnded) await once(socket, "end");
  socket.destroy();
  return statusOf(received());
};

const key = "ann-secret-0123456789";
const authorization = `Authorization: Bearer ${key}`;

describe("a peer that never closes", () => {
  const states: [string, string][] = [
    ["says nothing", ""],
    ["sends half a line", "GET /li"],
    ["sends half a header", "GET /livez HTTP/1.1\r\nHost: loc"],
    ["sends half a body", post(chat, authorization).slice(0, -5)],
    ["sends half a body without a key", post(chat).slice(0, -5)],
    ["sends a body with an end that never comes", post(chat, "Transfer-Encoding: chunked").slice(0, -5)],
    ["speaks TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["sends headers past their bound", `GET /livez HTTP/1.1\r\nX: ${"x".repeat(20_000)}`],
    ["is refused an upgrade without a key", upgrade()],
    ["is refused an upgrade elsewhere", upgrade(authorization).replace("/v1/stream", "/v1/other")],
    ["is refused an upgrade of another site", upgrade(authorization, "Origin: https://other.example")],
    ["is refused an upgrade that is none", upgrade(authorization).replace("Version: 13", "Version: 12")],
    ["stays after an answer", "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ["stays after an answer and half a request", "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /l"],
    ["stays after its last answer", rawRequest("GET /livez")],
    ["opens a WebSocket and answers no ping", upgrade(authorization)],
    ["asks to connect elsewhere", "CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\n\r\n"],
  ];

  it("loses its connection, in whatever state", async () => {
    const server = await startTestServer({ ...quick, access: { keys: parseApiKeys(`ann=${key}`, "test") } });
    const peers = await Promise.all(
      states.flatMap(([, bytes]) => [
        open(server, bytes),
        // The same, with its own side closed.
        open(server, bytes).then((peer) => (peer.socket.end(), peer)),
      ]),
    );
    const answer = await sendRaw(server.url, rawRequest("GET /metrics", ["Host: localhost", authorization]));
    expect(statusOf(answer)).toBe(200);
    const rest = async () => {
      const text = await sendRaw(server.url, rawRequest("GET /metrics", ["Host: localhost", authorization]));
      return Number(/^shoulders_connections (\d+)$/m.exec(text)?.[1]) - 1;
    };
    await expect.poll(rest).toBe(0);
    expect(peers).toHaveLength(2 * states.length);
  });

  it("has its answer first", async () => {
    const server = await startTestServer({ ...quick, access: { keys: parseApiKeys(`ann=${key}`, "test") } });
    const statuses: [string, number][] = [
      ["GET /livez HTTP/1.1\r\nHost: loc", 408],
      ["\x16\x03\x01", 400],
      [upgrade(), 401],
      [upgrade(authorization).replace("/v1/stream", "/v1/other"), 404],
      [post(chat).slice(0, -5), 401],
    ];
    for (const [bytes, status] of statuses) {
      const { socket, received } = await open(server, bytes);
      await once(socket, "end");
      expect(statusOf(received()), bytes).toBe(status);
    }
  });

  it("does not read its answer", async () => {
    const server = await startTestServer(quick);
    server.engine.script = () => [
      accepted,
      { type: "delta", text: "x".repeat(20_000_000), tokens: [tokenOf("x", 0)] },
      doneAfter(1),
    ];
    const { socket } = await open(server, post(chat));
    socket.pause();
    await expect.poll(() => closed(server, "unread")).toBe(1);
    await expect.poll(() => numOpen(server)).toBe(0);
  });
});

describe("when all places are taken", () => {
  it("those that wait give way, those that are answered do not", async () => {
    const server = await startTestServer({ connections: 32 });
    const gate = new Gate();
    server.engine.script = () => [accepted, deltaOf("a"), gate, doneAfter(1)];
    const asked = await open(server, post(chat));
    await server.engine.untilSubmitted(1);
    for (let index = 0; index < 100; index++) await open(server);
    for (let index = 0; index < 5; index++) expect(await livez(server)).toBe(200);
    expect(await numOpen(server)).toBeLessThanOrEqual(32);
    expect(await closed(server, "silent")).toBeGreaterThan(80);
    gate.open();
    await expect.poll(asked.received).toContain('"finish_reason"');
  });

  it("no address takes the places of another", async () => {
    const server = await startTestServer({ connections: 32 });
    const others = [];
    for (let index = 0; index < 8; index++) others.push(await open(server, "", "127.0.0.2"));
    for (let index = 0; index < 100; index++) await open(server);
    for (const { socket } of others) {
      socket.write(rawRequest("GET /livez"));
      await once(socket, "end");
    }
    expect(others.map(({ received }) => statusOf(received()))).toEqual(others.map(() => 200));
  });

  it("and are busy, health is answered, and nothing else", async () => {
    const server = await startTestServer({ connections: 16 });
    server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
    for (let index = 0; index < 14; index++) await open(server, post(chat), `127.0.0.${1 + (index % 2)}`);
    await server.engine.untilSubmitted(14);
    for (let index = 0; index < 20; index++) await open(server);
    expect(await livez(server)).toBe(200);
    for (const bytes of [rawRequest("GET /readyz"), rawRequest("GET /v1/models"), upgrade()]) {
      const answer = await sendRaw(server.url, bytes);
      expect(statusOf(answer)).toBe(bytes.includes("readyz") ? 200 : 503);
      expect(answer).toContain("Connection: close");
    }
  });

  it("one key's requests leave places to the others", async () => {
    const bob = "bob-secret-0123456789";
    const keys = parseApiKeys(`ann=${key},bob=${bob}`, "test");
    const server = await startTestServer({ connections: 32, access: { keys } });
    server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
    for (let index = 0; index < 7; index++) await open(server, post(chat, authorization));
    await server.engine.untilSubmitted(7);
    const refused = await sendRaw(server.url, post(chat, authorization, "Connection: close"));
    expect(statusOf(refused)).toBe(429);
    server.engine.script = () => answering("ok");
    const served = post(chat, `Authorization: Bearer ${bob}`, "Connection: close");
    expect(statusOf(await sendRaw(server.url, served))).toBe(200);
  });

  it("thousands of idle connections: health answers", async () => {
    const server = await startTestServer({ connections: 256 });
    for (let round = 0; round < 20; round++)
      await Promise.all(Array.from({ length: 100 }, () => open(server).then(({ socket }) => socket.unref())));
    expect(await livez(server)).toBe(200);
    await expectConservation(server.url);
  });
});

describe("WebSockets", () => {
  const bob = "bob-secret-0123456789";
  const keys = parseApiKeys(`ann=${key},bob=${bob}`, "test");
  const as = (secret: string) => ({ headers: { Authorization: `Bearer ${secret}` } });

  it("a key with many loses one to a key with fewer, those that are idle first", async () => {
    const server = await startTestServer({ ...quick, socketPingMs: 30_000, sockets: 4, access: { keys } });
    server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
    const anns = [];
    for (let index = 0; index < 4; index++) anns.push(await connectStream(server.url, as(key)));
    anns[3]?.send({ type: "response.create", response: JSON.parse(chat) as object });
    await anns[3]?.until("response.created");
    expect(statusOf(await sendRaw(server.url, upgrade(authorization)))).toBe(429);
    await connectStream(server.url, as(bob));
    expect(await anns[2]?.closed()).toBe(1013);
    await connectStream(server.url, as(bob));
    expect(await anns[1]?.closed()).toBe(1013);
    // Two each: nobody is above the other.
    expect(statusOf(await sendRaw(server.url, upgrade(`Authorization: Bearer ${bob}`)))).toBe(429);
    expect(anns[3]?.socket.readyState).toBe(1);
  });
});

describe("behind an open answer", () => {
  const pipelined = async (server: TestServer, second: string) => {
    const gate = new Gate();
    server.engine.script = () => [accepted, deltaOf("first"), gate, doneAfter(1)];
    const peer = await open(server, post(chat) + second);
    await server.engine.untilSubmitted(1);
    // The second has been read by then.
    await livez(server);
    expect(peer.received()).toBe("");
    server.engine.script = () => answering("second");
    gate.open();
    return peer;
  };

  it("an upgrade waits", async () => {
    const server = await startTestServer();
    const { received } = await pipelined(server, upgrade());
    await expect.poll(received).toContain("session.created");
    expect(received()).toMatch(/^HTTP\/1\.1 200 [^]*first[^]*HTTP\/1\.1 101 /);
  });

  it("a refused upgrade waits", async () => {
    const server = await startTestServer({ lingerMs: 50 });
    const { received } = await pipelined(server, upgrade("Origin: https://other.example"));
    await expect.poll(received).toContain("origin_forbidden");
    expect(received()).toMatch(/^HTTP\/1\.1 200 [^]*first[^]*HTTP\/1\.1 403 /);
  });

  it("an offer of HTTP/2 is answered in its turn, and what comes after it", async () => {
    const server = await startTestServer();
    const offer = post(
      chat,
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: h2c",
      "HTTP2-Settings: AAEAAEAA",
    );
    const { received } = await pipelined(server, offer + rawRequest("GET /livez"));
    await expect.poll(received).toContain('"status":"ok"');
    expect(received()).toMatch(/first[^]*second[^]*"status":"ok"/);
    await expectConservation(server.url);
  });

  it("a stream that is read slowly goes on before an upgrade", async () => {
    const server = await startTestServer();
    server.engine.script = () => [
      accepted,
      ...Array.from({ length: 200 }, () => ({
        type: "delta" as const,
        text: "x".repeat(50_000),
        tokens: [tokenOf("x", 0)],
      })),
      doneAfter(200),
    ];
    const streamed = JSON.stringify({
      ...(JSON.parse(chat) as object),
      stream: true,
      fusion: { trace: "off" },
    });
    const { socket, received } = await open(server);
    socket.pause();
    socket.write(post(streamed) + upgrade());
    await server.engine.untilSubmitted(1);
    socket.resume();
    await expect.poll(received).toContain("session.created");
    expect(received().indexOf("[DONE]")).toBeGreaterThan(10_000_000);
  });

  it("the time for reading one answer is not the next one's", async () => {
    const server = await startTestServer({ drainTimeoutMs: 150 });
    const gate = new Gate();
    let numAsked = 0;
    server.engine.script = () =>
      numAsked++ === 0 ? answering("first") : [accepted, deltaOf("second"), gate, doneAfter(1)];
    const { socket, received } = await open(server, post(chat) + post(chat, "Connection: close"));
    await expect.poll(received).toContain("first");
    // Longer than a reader of the first may stand still.
    await new Promise((resolve) => setTimeout(resolve, 400));
    gate.open();
    if (!socket.readableEnded) await once(socket, "end");
    expect(received()).toMatch(/first[^]*second/);
  });
});

it("an expectation that nobody knows is refused at the gate, and counted", async () => {
  const server = await startTestServer({ access: { keys: parseApiKeys(`ann=${key}`, "test") } });
  const ask = (...headers: string[]) =>
    sendRaw(server.url, post(chat, "Expect: miracles", "Connection: close", ...headers));
  expect(statusOf(await ask())).toBe(401);
  expect(await ask(authorization)).toMatch(/^HTTP\/1\.1 417 [^]*"expectation_failed"/);
  const metrics = await sendRaw(server.url, rawRequest("GET /metrics", ["Host: localhost", authorization]));
  expect(metrics).toMatch(/^shoulders_requests_started_total 2$/m);
  expect(
    statusOf(
      await sendRaw(server.url, post(chat, authorization, "Expect: 100-continue", "Connection: close")),
    ),
  ).toBe(100);
});

it("the gate sees every header, however many there are", async () => {
  const server = await startTestServer();
  const many = Array.from({ length: 2_500 }, () => "a:");
  expect(statusOf(await sendRaw(server.url, rawRequest("GET /livez", ["Host: localhost", ...many])))).toBe(
    200,
  );
  const second = rawRequest("GET /livez", ["Host: localhost", ...many, "Host: other.example"]);
  expect(statusOf(await sendRaw(server.url, second))).toBe(400);
});
