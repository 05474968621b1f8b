import { connect as connectTcp } from "node:net";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import type { RunningServer } from "../../src/api/server.js";
import type { Engine } from "../../src/protocol/protocol.js";
import { expectConservation, sumOf } from "../support/metrics.js";
import { resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { serve } from "../support/server.js";
import { connect } from "../support/socket.js";

/** Readers that take nothing, of the real engine's longest events: full traces. */

let engine: Engine;
let server: RunningServer;
let url: string;
const sequences = 4;
const numTokens = 1_500;

beforeAll(async () => {
  const experts = { trivia: "dwarf-trivia", sums: "dwarf-sums" };
  const config = { context: { tokens: 2048, sequences } };
  const both = resolvedConfig({ id: "both", base: "giant", reference: "dwarf", experts, config });
  engine = await startRealEngine([both]);
  ({ server, url } = await serve(engine, { drainTimeoutMs: 3_000 }));
});

afterAll(async () => {
  await server.close();
  await engine.close();
});

// Nothing ends it but the cap.
const endless = {
  model: "both",
  prompt: "The",
  max_tokens: numTokens,
  temperature: 0,
  logit_bias: { "0": -100, "1": -100, "2": -100 },
  fusion: { trace: "full" },
};

async function answered(): Promise<number> {
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...endless, max_tokens: 4, fusion: { trace: "off" } }),
  });
  await response.text();
  return response.status;
}

it("are paused, cost little, are dropped, and slow nobody", { timeout: 120_000 }, async () => {
  const before = process.memoryUsage().rss;
  const { port } = new URL(url);
  const body = JSON.stringify({ ...endless, stream: true });
  for (let index = 0; index < 2; index++) {
    const socket = connectTcp(Number(port), "127.0.0.1");
    socket.pause();
    socket.on("error", () => undefined);
    onTestFinished(() => void socket.destroy());
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
  const stream = await connect(url);
  stream.send({ type: "response.create", response: { id: "slow", ...endless } });
  await stream.until("response.created");
  stream.socket.pause();
  await expect.poll(() => engine.stats.running, { timeout: 20_000 }).toBe(3);
  expect(await answered()).toBe(200);
  // Dropped long before their answers were whole.
  await expect.poll(() => engine.stats.running, { timeout: 60_000 }).toBe(0);
  const generated = await sumOf(url, "shoulders_generated_tokens_total");
  expect(generated).toBeLessThan(3 * numTokens);
  expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
  expect(await answered()).toBe(200);
  await expectConservation(url);
});
