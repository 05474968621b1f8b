import { request } from "node:http";
import { connect as connectTcp } from "node:net";
import { Writable } from "node:stream";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startServer, type RunningServer } from "../../src/api/server.js";
import { parseApiKeys } from "../../src/config/api-keys.js";
import type { Engine } from "../../src/protocol/protocol.js";
import { ShouldersError } from "../../src/errors.js";
import { accepted, answering, doneAfter, tokenOf } from "../support/fake-engine.js";
import { expectConservation, sumOf } from "../support/metrics.js";
import { resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { metricOf, startTestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

const silent = pino({ level: "silent" });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("overload of the real server", () => {
  let engine: Engine;
  let server: RunningServer;
  let url: string;
  const sequences = 4;
  const maxWaiting = 8;

  beforeAll(async () => {
    const config = { context: { tokens: 512, sequences } };
    engine = await startRealEngine([resolvedConfig({ id: "giant", base: "giant", config })], { maxWaiting });
    server = await startServer({
      engine,
      host: "127.0.0.1",
      port: 0,
      log: silent,
      version: "0",
      closeGraceMs: 0,
    });
    url = `http://127.0.0.1:${server.address.port}`;
  });
  afterAll(async () => {
    await server.close();
    await engine.close();
  });

  interface Ending {
    status: number | "aborted";
    /** Answers that others got while it waited for its own. */
    numOvertaking: number;
    tokens: number;
    retryAfter: string | null;
  }

  let numAnswered = 0;

  async function ask(signal: AbortSignal | null): Promise<Ending> {
    const numBefore = numAnswered;
    const body = JSON.stringify({
      model: "giant",
      prompt: "Once upon a time",
      max_tokens: 48,
      logit_bias: { "0": -100, "1": -100, "2": -100, "3": -100 },
      fusion: { trace: "off" },
    });
    const ended = (status: Ending["status"], tokens: number, retryAfter: string | null = null) => ({
      status,
      tokens,
      retryAfter,
      numOvertaking: status === 200 ? numAnswered++ - numBefore : numAnswered - numBefore,
    });
    try {
      const headers = { "Content-Type": "application/json" };
      const response = await fetch(`${url}/v1/completions`, { method: "POST", headers, body, signal });
      const answer = (await response.json()) as { usage?: { completion_tokens: number } };
      return ended(
        response.status,
        answer.usage?.completion_tokens ?? 0,
        response.headers.get("retry-after"),
      );
    } catch {
      return ended("aborted", 0);
    }
  }

  it("ten times more than it can do: every request ends once, most with 429, and health answers", async () => {
    await ask(null);
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: 2 * sequences }, () => ask(null)));
    const perSecond = (2 * sequences * 1000) / (performance.now() - startedAt);
    const numRequests = Math.min(600, Math.ceil(3 * 10 * perSecond));
    const asked: Promise<Ending>[] = [];
    const health: number[] = [];
    for (let index = 0; index < numRequests; index++) {
      const leaves = index % 20 === 0;
      asked.push(ask(leaves ? AbortSignal.timeout(30) : null));
      if (index % 10 === 0) {
        const numBefore = numAnswered;
        expect((await fetch(`${url}/livez`)).status).toBe(200);
        health.push(numAnswered - numBefore);
      }
      await pause(1000 / (10 * perSecond));
    }
    const endings = await Promise.all(asked);
    const numOf = (status: Ending["status"]) => endings.filter((ending) => ending.status === status).length;
    expect(numOf(200) + numOf(429) + numOf("aborted")).toBe(numRequests);
    expect(numOf(200)).toBeGreaterThanOrEqual(sequences + maxWaiting);
    expect(numOf(429)).toBeGreaterThan(numRequests / 4);
    const refused = endings.filter(({ status }) => status === 429);
    expect(refused.every(({ retryAfter }) => Number(retryAfter) >= 1)).toBe(true);
    const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
    // Neither stands in the queue: one who does sees as many others answered as wait and run.
    expect(median(refused.map(({ numOvertaking }) => numOvertaking))).toBeLessThanOrEqual(sequences);
    expect(median(health)).toBeLessThanOrEqual(sequences);
    await expectConservation(url);
    await expect.poll(() => [engine.stats.running, engine.stats.waiting]).toEqual([0, 0]);
    expect((await ask(null)).status).toBe(200);
  });

  it("generated tokens are the sum of the usages", async () => {
    const before = await sumOf(url, "shoulders_generated_tokens_total");
    const endings = await Promise.all(Array.from({ length: 6 }, () => ask(null)));
    const told = endings.reduce((sum, { tokens }) => sum + tokens, 0);
    expect(told).toBe(6 * 48);
    expect((await sumOf(url, "shoulders_generated_tokens_total")) - before).toBe(told);
    expect(await sumOf(url, "shoulders_key_generated_tokens_total", 'key="anonymous"')).toBe(before + told);
  });
});

describe("readers that stall", () => {
  const chat = { model: "both", messages: [{ role: "user", content: "hi" }] };

  it("ten streams that nobody reads cost little, are dropped, and slow nobody", async () => {
    const numDeltas = 1000;
    const server = await startTestServer({ drainTimeoutMs: 3_000, traceBytes: 1_000_000 });
    server.engine.script = (asked) =>
      asked.maxTokens === 1
        ? answering("fine")
        : (function* () {
            yield accepted;
            for (let index = 0; index < numDeltas; index++)
              yield { type: "delta", text: "x".repeat(50_000), tokens: [tokenOf("x", index)] };
            yield doneAfter(numDeltas);
          })();
    const { hostname, port } = new URL(server.url);
    const body = JSON.stringify({ ...chat, stream: true, fusion: { trace: "off" } });
    const before = process.memoryUsage().rss;
    for (let index = 0; index < 10; index++) {
      const socket = connectTcp(Number(port), hostname);
      socket.pause();
      socket.on("error", () => undefined);
      onTestFinished(() => void socket.destroy());
      socket.write(
        `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
          `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    }
    await server.engine.untilSubmitted(10);
    expect((await server.post("/v1/chat/completions", { ...chat, max_tokens: 1 })).status).toBe(200);
    expect(server.engine.cancelled).toEqual([]);
    await server.engine.untilCancelled(10);
    // Ten times 50 MB, had they been written without looking.
    expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000);
    expect(server.engine.numYielded).toBeLessThan((10 * numDeltas) / 2);
    const aborted = 'shoulders_requests_total{route="/v1/chat/completions",model="both",outcome="aborted"}';
    await expect.poll(() => metricOf(server, aborted)).toBe(10);
    await expectConservation(server.url);
  });

  it("a whole answer that nobody reads is dropped, and one that is read slowly is not", async () => {
    const server = await startTestServer({ drainTimeoutMs: 1_000, traceBytes: 1_000_000 });
    // More than the buffers of both ends take.
    const text = "x".repeat(40_000_000);
    server.engine.script = () => [accepted, { type: "delta", text, tokens: [tokenOf("x", 0)] }, doneAfter(1)];
    const { hostname, port } = new URL(server.url);
    const body = JSON.stringify({ ...chat, fusion: { trace: "off" } });
    const ask = () => {
      const socket = connectTcp(Number(port), hostname);
      socket.pause().on("error", () => undefined);
      onTestFinished(() => void socket.destroy());
      socket.write(
        `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
          `Connection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
      return socket;
    };
    const never = ask();
    const slow = ask();
    let numRead = 0;
    slow.on("data", (part) => {
      numRead += part.length;
      // In all, longer than the reader may stand still.
      if (numRead < text.length / 2) setTimeout(() => slow.resume(), 10);
      slow.pause();
      if (numRead >= text.length / 2) slow.resume();
    });
    slow.resume();
    const outcome = (name: string) =>
      metricOf(
        server,
        `shoulders_requests_total{route="/v1/chat/completions",model="both",outcome="${name}"}`,
      );
    await expect.poll(() => outcome("aborted")).toBe(1);
    await expect.poll(() => outcome("ok")).toBe(1);
    expect(numRead).toBeGreaterThan(text.length);
    expect(never.bytesRead).toBeLessThan(text.length);
    await expectConservation(server.url);
  });

  it("a body that never comes does not keep others waiting", async () => {
    const server = await startTestServer();
    const { hostname, port } = new URL(server.url);
    for (let index = 0; index < 50; index++) {
      const half = request({ hostname, port, path: "/v1/chat/completions", method: "POST" });
      half.on("error", () => undefined);
      half.setHeader("Content-Type", "application/json").setHeader("Content-Length", "1000").write("{");
      onTestFinished(() => void half.destroy());
    }
    expect((await server.post("/v1/chat/completions", chat)).status).toBe(200);
  });
});

describe("secrets", () => {
  const canaries = {
    prompt: "canary-prompt-4711",
    answer: "canary-answer-4711",
    key: "canary-key-0123456789",
    wrongKey: "canary-wrong-0123456789",
    path: "/canary/path/model.gguf",
    field: "canary-field",
  };

  it("come out nowhere: no error, log line or metric has them", async () => {
    const out: string[] = [];
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        out.push(`log: ${chunk.toString()}`);
        done();
      },
    });
    const keys = parseApiKeys(`ann=${canaries.key}`, "test");
    const server = await startTestServer({ log: pino({ level: "debug" }, sink), access: { keys } });
    const headersOf = (key: string) => ({
      "Content-Type": "application/json",
      Authorization: `Bearer ${key}`,
    });
    const say = async (path: string, body: unknown, key = canaries.key) => {
      const response = await server.post(path, body, { headers: headersOf(key) });
      const text = await response.text();
      if (response.status !== 200) out.push(`answer: ${text}`);
      out.push(`headers: ${JSON.stringify([...response.headers])}`);
    };
    const chat = {
      model: "both",
      messages: [{ role: "user", content: canaries.prompt }],
      user: canaries.prompt,
    };
    server.engine.script = () => answering(canaries.answer);
    const routes = [
      "/v1/chat/completions",
      "/v1/completions",
      "/v1/responses",
      "/v1/fusion/explain",
      "/tokenize",
    ];
    for (const path of [...routes, `/v1/${canaries.field}`, `/v1/fusion/solve?x=${canaries.field}`]) {
      await say(path, chat);
      await say(path, chat, canaries.wrongKey);
      await say(path, { ...chat, temperature: canaries.prompt, stop: [canaries.prompt, 1] });
      await say(path, `{"prompt": "${canaries.prompt}" nonsense`);
      await say(path, JSON.stringify(canaries.prompt));
    }
    for (const failure of [
      new TypeError(`Cannot read ${canaries.field}`),
      new ShouldersError("internal", "Broken.", { cause: new Error(canaries.field) }),
    ]) {
      server.engine.script = () => {
        throw failure;
      };
      const lengthBefore = out.length;
      await say("/v1/chat/completions", chat);
      await say("/v1/chat/completions", { ...chat, stream: true });
      // What broke inside is for the log; the wire has none of it.
      for (const line of out.splice(lengthBefore)) if (!line.startsWith("log:")) out.push(line);
    }
    const socket = await connect(server.url, { headers: headersOf(canaries.key) });
    socket.send({ type: "response.create", response: { ...chat, temperature: canaries.prompt } });
    socket.send(`{"${canaries.prompt}`);
    await socket.until("error", ({ error }) => error.code === "invalid_json");
    out.push(...socket.of("error").map((frame) => JSON.stringify(frame)));
    out.push(await (await fetch(`${server.url}/metrics`, { headers: headersOf(canaries.key) })).text());
    const configs = await fetch(`${server.url}/v1/fusion/configs`, { headers: headersOf(canaries.key) });
    out.push(await configs.text());
    await server.close();
    const all = out.join("\n");
    for (const canary of Object.values(canaries)) expect(all).not.toContain(canary);
    expect(all).not.toMatch(/\/somewhere\/private|node_modules|\n? +at .*:\d+:\d+/);
    expect(all).toContain('"key":"ann"');
    const ends = out.filter((line) => line.includes('"msg":"request ended"'));
    expect(ends.length).toBeGreaterThan(30);
  });
});
