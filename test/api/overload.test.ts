import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunningServer } from "../../src/api/server.js";
import type { Engine } from "../../src/protocol/protocol.js";
import { expectConservation, sumOf } from "../support/metrics.js";
import { resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { serve } from "../support/server.js";

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
    ({ server, url } = await serve(engine));
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
