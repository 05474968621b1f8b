import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { RunningServer } from "../../src/api/server.js";
import { hashOf } from "../../src/config/api-keys.js";
import type { Engine } from "../../src/protocol/protocol.js";
import { expectConservation, expectTokensOfUsages, sumOf } from "../support/metrics.js";
import { faultyEntry, resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { serve } from "../support/server.js";
import { connect } from "../support/socket.js";

/** The promises of the server when its real engine breaks, or its clients leave. */

const config = resolvedConfig({
  id: "giant",
  base: "giant",
  config: { context: { tokens: 512, sequences: 8 } },
});
/** As many tokens as fit: the end of sequence is forbidden. */
const endless = {
  model: "giant",
  prompt: "Once upon a time",
  max_tokens: 480,
  logit_bias: { "0": -100, "1": -100, "2": -100, "3": -100 },
  fusion: { trace: "off" },
};
const greedy = { model: "giant", prompt: "The birth year of", max_tokens: 24, temperature: 0 };

let engine: Engine;
let server: RunningServer;
let url: string;

const post = (body: object, init: RequestInit = {}) =>
  fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...init,
  });

const textOf = async (body: object = greedy) =>
  ((await (await post(body)).json()) as { choices: { text: string }[] }).choices[0]?.text;

async function serveFaulty(settings: Parameters<typeof startRealEngine>[1] = {}): Promise<void> {
  engine = await startRealEngine([config], settings, faultyEntry);
  ({ server, url } = await serve(engine, { keptTrace: "weights" }));
}

const aborted = () => sumOf(url, "shoulders_requests_total", 'outcome="aborted"');

describe("an engine that breaks under 16 streams", () => {
  beforeEach(() => serveFaulty());
  afterEach(async () => {
    await server.close();
    await engine.close();
  });

  it.each(["SIGKILL", "SIGSEGV", "SIGABRT", "hang"] as const)(
    "%s: every stream says so, none ends as if it were whole, and the next engine answers alike",
    async (fault) => {
      const before = await textOf();
      const streams = await Promise.all(Array.from({ length: 8 }, () => post({ ...endless, stream: true })));
      const socket = await connect(url);
      for (let index = 0; index < 8; index++)
        socket.send({ type: "response.create", response: { id: `r${index}`, ...endless } });
      const texts = streams.map((stream) => stream.text());
      await expect.poll(() => engine.stats.running + engine.stats.waiting).toBe(16);
      const pid = engine.description?.pid ?? 0;
      // A stopped child is one that hangs: its parent sees no step.
      process.kill(pid, fault === "hang" ? "SIGSTOP" : fault);
      for (const text of await Promise.all(texts)) {
        expect(text).toMatch(/data: \{"error":.*"code":"engine_died".*\n\n$/);
        expect(text).not.toContain("[DONE]");
      }
      for (let index = 0; index < 8; index++) {
        const { response } = await socket.until("response.done", (done) => done.response.id === `r${index}`);
        expect(response).toMatchObject({ status: "failed", error: { code: "engine_died" } });
      }
      // Nobody has to wait for the next engine to be told.
      expect(engine.description).toBeNull();
      expect((await fetch(`${url}/livez`)).status).toBe(200);
      await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { interval: 20 }).toBe(200);
      expect(engine.description?.pid).not.toBe(pid);
      expect(await sumOf(url, "shoulders_engine_restarts_total")).toBe(1);
      expect(await textOf()).toBe(before);
      await expectConservation(url);
      await expectTokensOfUsages(url);
    },
  );

  it("while there is no engine, nothing is taken, and health says so", async () => {
    process.kill(engine.description?.pid ?? 0, "SIGKILL");
    await expect.poll(() => engine.description).toBeNull();
    const [ready, refused, live] = await Promise.all([
      fetch(`${url}/readyz`),
      post(greedy),
      fetch(`${url}/livez`),
    ]);
    expect([ready.status, refused.status, live.status]).toEqual([503, 503, 200]);
    await expect.poll(() => engine.description !== null).toBe(true);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    await expectConservation(url);
  });

  it("a broken row or decode ends its own request with the reason, whole or streamed", async () => {
    const pid = engine.description?.pid;
    const before = await textOf();
    for (const [fault, code] of [
      ["nan", "non_finite_logits"],
      ["device", "decode_failed"],
    ]) {
      const broken = { model: "giant", prompt: `!${fault}!`, max_tokens: 4 };
      for (const stream of [false, true]) {
        const answer = await post({ ...broken, stream });
        expect(answer.status).toBe(500);
        expect(await answer.json()).toMatchObject({ error: { code } });
      }
      expect(await textOf()).toBe(before);
    }
    expect(engine.description?.pid).toBe(pid);
    await expectConservation(url);
  });
});

describe("clients that leave", () => {
  // A long prompt is read in many steps.
  beforeAll(() => serveFaulty({ batchTokens: 16 }));
  afterAll(async () => {
    await server.close();
    await engine.close();
  });

  const longPrompt = Array.from({ length: 450 }, (_, index) => 300 + (index % 300));

  it.each([
    ["while it decodes", "whole", { ...endless }],
    ["while it decodes", "streamed", { ...endless, stream: true }],
    ["while its prompt is read", "whole", { ...endless, prompt: longPrompt, max_tokens: 60 }],
    [
      "while its prompt is read",
      "streamed",
      { ...endless, prompt: longPrompt, max_tokens: 60, stream: true },
    ],
  ])("%s, %s: its sequence is free within a few steps", async (_state, _form, body) => {
    const leaving = new AbortController();
    const numAborted = await aborted();
    const { pid } = engine.description!;
    // The child stands still while the hang-up finds its way through the server, however busy the machine is.
    let isStopped = false;
    engine.onStep(() => {
      if (!isStopped) isStopped = process.kill(pid, "SIGSTOP");
    });
    const asked = post(body, { signal: leaving.signal }).then((response) => response.text());
    asked.catch(() => undefined);
    await expect.poll(() => isStopped).toBe(true);
    leaving.abort();
    await expect.poll(aborted).toBe(numAborted + 1);
    const { steps } = engine.stats;
    process.kill(pid, "SIGCONT");
    await expect.poll(() => engine.stats.running, { interval: 1 }).toBe(0);
    await expect(asked).rejects.toThrow();
    // Those that were on their way among them.
    expect(engine.stats.steps - steps).toBeLessThanOrEqual(5);
    await expectConservation(url);
  });

  it("while it waits: it leaves the queue, and those who run go on", async () => {
    const numTokens = 200;
    const running = Array.from({ length: 8 }, () =>
      post({ ...endless, max_tokens: numTokens, temperature: 0 }),
    );
    await expect.poll(() => engine.stats.running).toBe(8);
    const leaving = new AbortController();
    const waiting = [false, true].map((stream) => post({ ...endless, stream }, { signal: leaving.signal }));
    for (const one of waiting) one.catch(() => undefined);
    await expect.poll(() => engine.stats.waiting).toBe(2);
    leaving.abort();
    await expect.poll(() => engine.stats.waiting).toBe(0);
    const texts = await Promise.all(running.map(async (one) => (await one).json() as Promise<object>));
    for (const text of texts) expect(text).toMatchObject({ usage: { completion_tokens: numTokens } });
    await expectConservation(url);
  });
});

describe("a queue that does not move in time", () => {
  // The deadline is over at the step after the one in which a request came.
  beforeAll(() => serveFaulty({ queueTimeoutMs: 1 }));
  afterAll(async () => {
    await server.close();
    await engine.close();
  });

  it("ends those who wait with 503 and when to come again; those who run go on", async () => {
    const running = Array.from({ length: 8 }, () => post({ ...endless, max_tokens: 240 }));
    await expect.poll(() => engine.stats.running).toBe(8);
    const socket = await connect(url);
    socket.send({ type: "response.create", response: endless });
    const refused = await Promise.all([false, true].map((stream) => post({ ...endless, stream })));
    for (const response of refused) {
      expect(response.status).toBe(503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
      expect(await response.json()).toMatchObject({ error: { code: "queue_timeout" } });
    }
    const { response } = await socket.until("response.done");
    expect(response).toMatchObject({ status: "failed", error: { code: "queue_timeout" } });
    for (const one of running)
      expect(await (await one).json()).toMatchObject({ usage: { completion_tokens: 240 } });
    await expectConservation(url);
    expect(await sumOf(url, "shoulders_requests_total", 'outcome="server_error"')).toBe(3);
  });
});

describe("limits that only the real engine knows", () => {
  beforeAll(() => serveFaulty({ cacheSequences: 4 }));
  afterAll(async () => {
    await server.close();
    await engine.close();
  });

  it.each([
    [510, 200],
    [511, 200],
    [512, 400],
    [513, 400],
  ])("a prompt of %i tokens in a context of 512: %i", async (length, status) => {
    const prompt = Array.from({ length }, (_, index) => 300 + (index % 300));
    for (const stream of [false, true]) {
      const answer = await post({ model: "giant", prompt, max_tokens: 1, stream });
      expect(answer.status).toBe(status);
      const text = await answer.text();
      if (status === 200) continue;
      expect(JSON.parse(text)).toMatchObject({ error: { code: "context_length_exceeded" } });
      expect(text).toContain("512");
      expect(text).toContain(String(length));
    }
    const socket = await connect(url);
    socket.send({ type: "response.create", response: { model: "giant", prompt, max_tokens: 1 } });
    const { response } = await socket.until("response.done");
    expect(response.error?.code).toBe(status === 200 ? undefined : "context_length_exceeded");
  });

  it("a prefix that one key has paid for is never another's", async () => {
    const secrets = ["ann-of-the-tests-0", "bob-of-the-tests-0"];
    const keys = secrets.map((secret, index) => ({ name: ["ann", "bob"][index]!, sha256: hashOf(secret) }));
    const guarded = await serve(engine, { access: { keys } });
    const headersOf = (secret: string) => ({ Authorization: `Bearer ${secret}` });
    let numCached = 0;
    const cachedOf = async (secret: string) => {
      const answer = await fetch(`${guarded.url}/v1/completions`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...headersOf(secret) },
        body: JSON.stringify({
          ...greedy,
          prompt: "A prompt that is long enough to be worth keeping. ".repeat(4),
        }),
      });
      const { usage } = (await answer.json()) as {
        usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } };
      };
      numCached += usage.prompt_tokens_details.cached_tokens;
      return usage.prompt_tokens_details.cached_tokens / usage.prompt_tokens;
    };
    const [ann, bob] = secrets as [string, string];
    expect(await cachedOf(ann)).toBe(0);
    expect(await cachedOf(ann)).toBeGreaterThan(0.9);
    expect(await cachedOf(bob)).toBe(0);
    const metrics = await fetch(`${guarded.url}/metrics`, {
      headers: headersOf(ann),
    });
    expect(await metrics.text()).toContain(`shoulders_cached_prompt_tokens_total ${numCached}\n`);
    await guarded.server.close();
  });
});
