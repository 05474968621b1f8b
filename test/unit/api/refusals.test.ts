import { once } from "node:events";
import type { AddressInfo } from "node:net";
import express from "express";
import { describe, expect, it, onTestFinished } from "vitest";
import { Refusals } from "../../../src/api/access/refusals.js";
import { errorHandler } from "../../../src/api/middleware/errors.js";
import { type ErrorCode, ShouldersError } from "../../../src/errors.js";
function desk() {
  const clock = { nowMs: 0, random: 0.5 };
  return {
    clock,
    refusals: new Refusals(
      () => clock.nowMs,
      () => clock.random,
    ),
  };
}

describe("Refusals", () => {
  it("sends at once to who kept the time that he was told, as often as he comes", () => {
    const { clock, refusals } = desk();
    for (let count = 0; count < 5; count++) {
      expect(refusals.delayMs("a")).toBe(0);
      clock.nowMs += 1000;
    }
  });

  it("sends late to who comes before that, and to nobody else", () => {
    const { clock, refusals } = desk();
    expect(refusals.delayMs("a")).toBe(0);
    clock.nowMs = 999;
    expect(refusals.delayMs("a")).toBe(1000);
    expect(refusals.delayMs("b")).toBe(0);
    clock.random = 0;
    expect(refusals.delayMs("a")).toBe(500);
  });

  it("counts the time that was told from when the late one goes out", () => {
    const { clock, refusals } = desk();
    refusals.delayMs("a");
    clock.random = 0.9;
    expect(refusals.delayMs("a")).toBe(1400);
    clock.random = 0;
    expect(refusals.delayMs("a")).toBe(500);
    clock.nowMs = 2399;
    expect(refusals.delayMs("a")).toBeGreaterThan(0);
    clock.nowMs = 2399 + 1500;
    expect(refusals.delayMs("a")).toBe(0);
  });
});

/** Answers `GET /CODE` by the error of that code, and holds refusals back for so many ms each. */
async function refusing(delaysMs: number[]): Promise<string> {
  const app = express();
  app.use((request, response) => {
    Object.assign(response.locals, {
      requestId: "r",
      owner: request.get("x-owner") ?? "p",
      outcome: null,
      error: null,
    });
    throw new ShouldersError(request.path.slice(1) as ErrorCode, "No.");
  });
  app.use(errorHandler({ delayMs: () => delaysMs.shift() ?? 0 }));
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("the error handler", () => {
  it("holds a refusal for want of room back, and nothing else", async () => {
    const delaysMs = [2 ** 31 - 1];
    const url = await refusing(delaysMs);
    let isAnswered = false;
    const leaving = new AbortController();
    const held = fetch(`${url}/queue_full`, { signal: leaving.signal }).then(
      () => (isAnswered = true),
      () => undefined,
    );
    await expect.poll(() => delaysMs.length).toBe(0);
    expect((await fetch(`${url}/rate_limited`)).status).toBe(429);
    expect((await fetch(`${url}/queue_full`)).status).toBe(429);
    expect(isAnswered).toBe(false);
    leaving.abort();
    await held;
  });

  it("holds nothing back where there are no keys", async () => {
    const delaysMs = [2 ** 31 - 1];
    const url = await refusing(delaysMs);
    const response = await fetch(`${url}/queue_full`, { headers: { "X-Owner": "anonymous" } });
    expect([response.status, delaysMs.length]).toEqual([429, 1]);
  });

  it("sends what it held back as it would have sent it at once", async () => {
    const url = await refusing([0, 1]);
    const answers = [];
    for (let count = 0; count < 2; count++) {
      const response = await fetch(`${url}/queue_full`);
      answers.push([response.status, response.headers.get("retry-after"), await response.json()]);
    }
    expect(answers[0]).toEqual([
      429,
      "1",
      { error: expect.objectContaining({ code: "queue_full" }) as unknown },
    ]);
    expect(answers[1]).toEqual(answers[0]);
  });
});
