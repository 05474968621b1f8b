import { request } from "node:http";
import { connect as connectTcp } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { accepted, answering, doneAfter, tokenOf } from "../support/fake-engine.js";
import { expectConservation } from "../support/metrics.js";
import { metricOf, startTestServer } from "../support/server.js";

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
