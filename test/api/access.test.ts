import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { hashOf, parseApiKeys } from "../../src/config/api-keys.js";
import { createRoutes } from "../../src/api/routes.js";
import type { ApiContext } from "../../src/api/context.js";
import { accepted, answering, deltaOf, Gate } from "../support/fake-engine.js";
import { rawRequest, sendRaw, statusOf } from "../support/raw-http.js";
import { metricOf, startTestServer, type TestServer } from "../support/server.js";
import { TestSocket } from "../support/socket.js";

const annKey = "ann-secret-0123456789";
const bobKey = "bob-secret-0123456789";
const keys = parseApiKeys(`operator:ann=${annKey}\nbob=sha256:${hashOf(bobKey).toString("hex")}`, "test");
const chat = { model: "both", messages: [{ role: "user", content: "hi" }] };
const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });

/** Any context will do: only paths are looked at. */
const paths = [...new Set(createRoutes({} as ApiContext).map(({ path }) => path.replaceAll(/:\w+/g, "x")))];
const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
const isOpen = (method: string, path: string) =>
  ["GET", "HEAD"].includes(method) && ["/livez", "/readyz"].includes(path);

/** Other ways to write a path; none of them is one of the open paths. */
const spellings = (path: string): string[] => [
  path.toUpperCase(),
  `/${path}`,
  `${path}/`,
  `/.${path}`,
  `/x/..${path}`,
  path.replace(/^\/(.)/, (_, letter: string) => `/%${letter.charCodeAt(0).toString(16)}`),
  `${path}%2f`,
  `${path};a=b`,
  `http://localhost${path}`,
  `/livez/..${path}`,
  `/playground/..${path}`,
  `/playground/%2e%2e${path}`,
  `/livez%3f${path}`,
];

function upgradeOf(path: string, headers: readonly string[] = []): string {
  return [
    `GET ${path} HTTP/1.1`,
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    ...headers,
    "",
    "",
  ].join("\r\n");
}

describe("without a key", () => {
  it("every route, method and spelling is refused, but health and the page", async () => {
    const server = await startTestServer({ access: { keys } });
    const asked: [string, string][] = [];
    for (const path of [...paths, "/nothing", "/v1", "/playgroundx", "/playground"])
      for (const method of methods) if (!isOpen(method, path)) asked.push([method, path]);
    for (const path of paths) for (const spelled of spellings(path)) asked.push(["GET", spelled]);
    const open: string[] = [];
    for (const [method, path] of asked) {
      const answer = await sendRaw(server.url, rawRequest(`${method} ${path}`));
      if (statusOf(answer) !== 401) open.push(`${method} ${path}: ${answer.slice(0, 30)}`);
    }
    expect(open).toEqual([]);
    for (const path of ["/livez", "/readyz", "/livez?x=1"])
      expect(statusOf(await sendRaw(server.url, rawRequest(`GET ${path}`)))).toBe(200);
    expect(server.engine.submitted).toEqual([]);
  });

  it("no upgrade is taken, whatever its path", async () => {
    const server = await startTestServer({ access: { keys } });
    for (const path of ["/v1/stream", ...spellings("/v1/stream"), "/livez", "/", "/v1/stream?key=x"]) {
      const answer = await sendRaw(server.url, upgradeOf(path));
      // What needs no key is no WebSocket either.
      expect(statusOf(answer), path).toBe(["/livez", "/"].includes(path) ? 404 : 401);
    }
    // An offer of HTTP/2 is put aside, and with it nothing of the gate.
    const offer = rawRequest("GET /v1/models", ["Host: localhost", "Upgrade: h2c"]);
    expect(statusOf(await sendRaw(server.url, offer))).toBe(401);
  });

  it("a wrong one is refused in every form, and the answer says how", async () => {
    const server = await startTestServer({ access: { keys } });
    const wrong = ["", "Bearer", "Bearer ", `Bearer ${annKey}x`, `Bearer ${annKey.slice(1)}`, "Bearer é"];
    const hash = hashOf(annKey).toString("hex");
    for (const authorization of [
      ...wrong,
      annKey,
      `Basic ${annKey}`,
      `Bearer ${hash}`,
      `Bearer sha256:${hash}`,
    ]) {
      const answer = await sendRaw(
        server.url,
        rawRequest("GET /v1/models", ["Host: localhost", `Authorization: ${authorization}`]),
      );
      expect(statusOf(answer), authorization).toBe(401);
      expect(answer).toMatch(/www-authenticate: bearer/i);
      expect(answer).toContain('"code":"invalid_api_key"');
      expect(answer).not.toContain(annKey.slice(2));
    }
    expect(statusOf(await sendRaw(server.url, upgradeOf("/v1/stream", [`Authorization: Bearer x`])))).toBe(
      401,
    );
  });
});

describe("with a key", () => {
  it("all is as without keys, and the key's name is the owner", async () => {
    const server = await startTestServer({ access: { keys } });
    for (const [key, owner] of [
      [annKey, "ann"],
      [bobKey, "bob"],
    ] as const) {
      const headers = { "Content-Type": "application/json", ...bearer(key) };
      expect((await server.post("/v1/chat/completions", chat, { headers })).status).toBe(200);
      expect(server.engine.submitted.at(-1)?.owner).toBe(owner);
      const socket = new WebSocket(`${server.url.replace("http", "ws")}/v1/stream`, { headers: bearer(key) });
      await once(socket, "message");
      socket.send(JSON.stringify({ type: "response.create", response: chat }));
      await server.engine.untilSubmitted(server.engine.submitted.length + 1);
      expect(server.engine.submitted.at(-1)?.owner).toBe(owner);
      socket.close();
    }
    expect((await fetch(`${server.url}/v1/models`, { headers: bearer(annKey) })).status).toBe(200);
    const lower = { Authorization: `bearer ${annKey}` };
    expect((await fetch(`${server.url}/v1/models`, { headers: lower })).status).toBe(200);
    const metrics = await (await fetch(`${server.url}/metrics`, { headers: bearer(annKey) })).text();
    expect(metrics).toMatch(/shoulders_key_requests_total\{key="bob",outcome="ok"\} [12]/);
    expect(metrics).not.toContain("secret");
    const own = await (await fetch(`${server.url}/metrics`, { headers: bearer(bobKey) })).text();
    expect(own).toContain('shoulders_key_requests_total{key="bob",');
    expect(own).toContain("shoulders_requests_total{");
    expect(own).not.toMatch(/"ann"/);
  });

  it("nobody sees another's traces", async () => {
    const kept = { ...chat, fusion: { keep_trace: "weights" } };
    const server = await startTestServer({ access: { keys } });
    const headers = { "Content-Type": "application/json", ...bearer(annKey) };
    const { id } = (await (await server.post("/v1/chat/completions", kept, { headers })).json()) as {
      id: string;
    };
    const get = (path: string, key: string) => fetch(server.url + path, { headers: bearer(key) });
    for (const path of [`/v1/fusion/traces/${id}`, `/v1/fusion/traces/${id}/events`]) {
      expect((await get(path, annKey)).status).toBe(200);
      expect((await get(path, bobKey)).status).toBe(404);
    }
    expect(await (await get("/v1/fusion/traces", bobKey)).json()).toMatchObject({ data: [] });
    expect(await (await get("/v1/fusion/traces", annKey)).json()).toMatchObject({ data: [{ id }] });
  });

  it("it may come in the headers of other APIs", async () => {
    const server = await startTestServer({ access: { keys } });
    for (const name of ["x-api-key", "api-key"]) {
      const ask = (key: string) => fetch(`${server.url}/v1/models`, { headers: { [name]: key } });
      expect([(await ask(annKey)).status, (await ask("other")).status], name).toEqual([200, 401]);
    }
  });

  it("a browser shows it as a subprotocol, which does not come back", async () => {
    const server = await startTestServer({ access: { keys } });
    const url = `${server.url.replace("http", "ws")}/v1/stream`;
    const socket = new WebSocket(url, ["realtime", `openai-insecure-api-key.${annKey}`]);
    await once(socket, "message");
    expect(socket.protocol).toBe("realtime");
    socket.close();
  });
});

describe("hosts and origins", () => {
  const hostStatus = async (server: TestServer, ...headers: string[]) =>
    statusOf(await sendRaw(server.url, rawRequest("GET /livez", headers)));

  it("only names of this server are answered", async () => {
    const server = await startTestServer({ access: { allowedHosts: ["Shoulders.example"] } });
    for (const host of [
      "localhost",
      "localhost:1",
      "127.0.0.1:8080",
      "[::1]:80",
      "10.1.2.3",
      "SHOULDERS.example:443",
      "host.docker.internal:8080",
      "app.localhost",
      hostname(),
      `${hostname()}.local:1`,
    ])
      expect(await hostStatus(server, `Host: ${host}`), host).toBe(200);
    for (const host of [
      "evil.example",
      "localhost.evil.example",
      "internal",
      "evil.internal.example",
      ".internal",
      "x.local",
      "127.0.0.1.nip.example",
      "[::1].x",
      "a b",
      "x@localhost",
    ])
      expect(await hostStatus(server, `Host: ${host}`), host).toBe(403);
    expect(await hostStatus(server, "Host: localhost", "Host: evil.example")).toBe(400);
    expect(await hostStatus(server, "Host: ")).toBe(400);
    expect(await hostStatus(server)).toBe(400);
    expect(statusOf(await sendRaw(server.url, "GET /livez HTTP/1.0\r\n\r\n"))).toBe(200);
    expect(statusOf(await sendRaw(server.url, "GET /livez HTTP/1.0\r\nHost: evil.example\r\n\r\n"))).toBe(
      403,
    );
    const absolute = (authority: string) =>
      sendRaw(server.url, rawRequest(`GET http://${authority}/livez`, ["Host: localhost"]));
    expect(statusOf(await absolute("localhost"))).toBe(200);
    expect(statusOf(await absolute("evil.example"))).toBe(403);
    expect(
      statusOf(await sendRaw(server.url, upgradeOf("/v1/stream").replace("localhost", "evil.example"))),
    ).toBe(403);
  });

  it("pages of other sites are refused, over HTTP and WebSocket", async () => {
    const server = await startTestServer();
    const ask = (origin: string) => fetch(`${server.url}/v1/models`, { headers: { Origin: origin } });
    expect((await ask(server.url)).status).toBe(200);
    for (const origin of ["https://evil.example", "null", "http://localhost:1", "file://"]) {
      const response = await ask(origin);
      expect(response.status, origin).toBe(403);
      expect(response.headers.get("access-control-allow-origin")).toBeNull();
      const { socket } = new TestSocket(server.url, { origin });
      const [, refused] = (await once(socket, "unexpected-response")) as [unknown, { statusCode: number }];
      expect(refused.statusCode).toBe(403);
    }
    const preflight = await fetch(`${server.url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: { Origin: "https://evil.example", "Access-Control-Request-Method": "POST" },
    });
    expect(preflight.status).toBe(403);
  });

  it("a listed origin may, exactly, with the key that everyone needs", async () => {
    const origin = "https://app.example";
    const server = await startTestServer({ access: { keys, allowedOrigins: [origin] } });
    const preflight = await fetch(`${server.url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: {
        Origin: origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toContain("x-stainless-os");
    const headers = { "Content-Type": "application/json", Origin: origin };
    const refused = await server.post("/v1/chat/completions", chat, { headers });
    expect(refused.status).toBe(401);
    const answer = await server.post("/v1/chat/completions", chat, {
      headers: { ...headers, ...bearer(annKey) },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
    expect(answer.headers.get("vary")).toContain("Origin");
    for (const other of ["https://app.example.evil", "http://app.example", "https://app.example:8443"])
      expect((await fetch(`${server.url}/livez`, { headers: { Origin: other } })).status).toBe(403);
  });
});

describe("limits of a key", () => {
  const ask = (server: TestServer, key: string) =>
    server.post("/v1/chat/completions", chat, {
      headers: { "Content-Type": "application/json", ...bearer(key) },
    });

  it("requests a minute", async () => {
    const server = await startTestServer({ access: { keys, requestsPerMinute: 3 } });
    const statuses: number[] = [];
    for (let index = 0; index < 5; index++) statuses.push((await ask(server, annKey)).status);
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
    const refused = await ask(server, annKey);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(18);
    expect(await refused.json()).toMatchObject({ error: { code: "rate_limited", type: "rate_limit_error" } });
    expect((await ask(server, bobKey)).status).toBe(200);
    // Whoever watches the server is not counted.
    for (let index = 0; index < 5; index++)
      expect((await fetch(`${server.url}/metrics`, { headers: bearer(bobKey) })).status).toBe(200);
  });

  it("requests at a time, over both transports", async () => {
    const server = await startTestServer({ access: { keys, concurrentRequests: 2 } });
    const gate = new Gate();
    server.engine.script = () => [accepted, gate, ...answering("a").slice(1)];
    const running = ask(server, annKey);
    const socket = new WebSocket(`${server.url.replace("http", "ws")}/v1/stream`, {
      headers: bearer(annKey),
    });
    const frames: string[] = [];
    socket.on("message", (data: Buffer) => frames.push(data.toString()));
    await once(socket, "open");
    const create = JSON.stringify({ type: "response.create", response: chat });
    socket.send(create);
    await server.engine.untilSubmitted(2);
    expect((await ask(server, annKey)).status).toBe(429);
    socket.send(create);
    await expect.poll(() => frames.join("\n")).toContain("rate_limited");
    gate.open();
    expect((await running).status).toBe(200);
    await expect.poll(() => frames.join("\n")).toContain("response.done");
    expect((await ask(server, annKey)).status).toBe(200);
    socket.close();
  });
});

describe("messages that two servers could read differently", () => {
  it("are refused, and the connection is closed", async () => {
    const server = await startTestServer();
    const post =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    const bytes = [
      `${post}Transfer-Encoding: xchunked\r\nConnection: close\r\n\r\n0\r\n\r\n`,
      `${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
      `${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}`,
      `${post}Content-Length: -1\r\n\r\n`,
      `${post}X: a\nb\r\nConnection: close\r\nContent-Length: x\r\n\r\n`,
      "GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n",
      "GET /li vez HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /livez HTTP/9.1\r\nHost: localhost\r\n\r\n",
      "\u0016\u0003\u0001\u0000\u0001",
    ];
    for (const message of bytes) {
      const answer = await sendRaw(server.url, message);
      expect(statusOf(answer), JSON.stringify(message)).toBe(400);
      expect(answer).toContain('"code":"invalid_request"');
    }
    const long = await sendRaw(
      server.url,
      rawRequest("GET /livez", ["Host: localhost", `X: ${"x".repeat(17_000)}`]),
    );
    expect(statusOf(long)).toBe(431);
    expect(long).toContain('"code":"headers_too_large"');
    const fits = rawRequest("GET /livez", ["Host: localhost", `X: ${"x".repeat(16_000)}`]);
    expect(statusOf(await sendRaw(server.url, fits))).toBe(200);
    expect(await metricOf(server, "shoulders_requests_started_total")).toBe(1);
  });

  it("after an answer that is over they are told so; into one that is not, nothing is written", async () => {
    const server = await startTestServer();
    const { hostname, port } = new URL(server.url);
    const socket = connectTcp(Number(port), hostname).setEncoding("latin1");
    let text = "";
    socket.on("data", (part: string) => (text += part));
    socket.write("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await expect.poll(() => text).toContain('"object":"list"');
    text = "";
    socket.write("nonsense\r\n\r\n");
    await once(socket, "close");
    expect(statusOf(text)).toBe(400);

    const never = new Gate();
    server.engine.script = () => [accepted, deltaOf("a"), never];
    const body = JSON.stringify({ ...chat, stream: true });
    const stream = await sendRaw(
      server.url,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      { after: '"content":"a"', bytes: "nonsense\r\n\r\n" },
    );
    expect(stream.match(/HTTP\/1\.1/g)).toHaveLength(1);
    await server.engine.untilCancelled(1);
  });
});
