import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesOfToken } from "../../src/api/completion/answer-budget.js";
import type { RunningServer } from "../../src/api/server.js";
import { parseApiKeys } from "../../src/config/api-keys.js";
import type { Engine } from "../../src/protocol/protocol.js";
import { expectConservation } from "../support/metrics.js";
import { resolvedConfig, startRealEngine, textRequest } from "../support/real-engine.js";
import { serve } from "../support/server.js";

const keys = parseApiKeys("many=many-many-many-many,single=single-single-single", "test");
const keyOf = { many: "many-many-many-many", single: "single-single-single" } as const;
type Name = keyof typeof keyOf;

let engine: Engine;
let server: RunningServer;
let url: string;

beforeAll(async () => {
  const experts = { trivia: "dwarf-trivia", sums: "dwarf-sums" };
  engine = await startRealEngine([
    resolvedConfig({ id: "giant", base: "giant" }),
    resolvedConfig({ id: "both", base: "giant", reference: "dwarf", experts }),
  ]);
  ({ server, url } = await serve(engine, { access: { keys } }));
});
afterAll(async () => {
  await server.close();
  await engine.close();
});

const post = (name: Name, path: string, body: object, signal: AbortSignal | null = null) =>
  fetch(url + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${keyOf[name]}` },
    body: JSON.stringify(body),
    signal,
  });

const story = {
  model: "giant",
  prompt: "Once upon a time",
  logit_bias: { "0": -100, "1": -100, "2": -100, "3": -100 },
  fusion: { trace: "off" },
};
const chat = { model: "giant", messages: [{ role: "user", content: "hi" }], max_tokens: 4 };

/** Also what is cancelled while it is read ends only when its part has been. */
async function expectAllEnded(of: Engine = engine, at = url): Promise<void> {
  await expect.poll(() => [of.stats.running, of.stats.waiting], { timeout: 30_000 }).toEqual([0, 0]);
  await expectConservation(at, { Authorization: `Bearer ${keyOf.single}` });
}

async function idleMs(): Promise<number> {
  let worst = 0;
  for (let index = 0; index < 5; index++) {
    const startedAt = performance.now();
    expect((await post("single", "/v1/chat/completions", chat)).status).toBe(200);
    worst = Math.max(worst, performance.now() - startedAt);
  }
  return worst;
}

describe("600 greedy clients of one key", () => {
  it("do not keep another key from its first token for more than the step in flight and its own", async () => {
    const own = new AbortController();
    let numRefused = 0;
    const ask = async () => {
      const response = await post("many", "/v1/completions", { ...story, max_tokens: 400 }, own.signal);
      await response.text();
      if (response.status === 429) numRefused++;
    };
    const asked = Array.from({ length: 600 }, () => ask().catch(() => undefined));
    await expect.poll(() => engine.stats.running, { timeout: 60_000 }).toBe(8);
    await expect.poll(() => engine.stats.waiting, { timeout: 60_000 }).toBeGreaterThanOrEqual(500);
    const numSteps: number[] = [];
    for (let index = 0; index < 10; index++) {
      const response = await post("single", "/v1/completions", { ...story, max_tokens: 3 });
      expect(response.status).toBe(200);
      const { usage } = (await response.json()) as { usage: { completion_tokens: number } };
      expect(usage.completion_tokens).toBe(3);
      const before = engine.stats.steps;
      const request = textRequest("giant", story.prompt, { owner: "single", party: "single" });
      const events = engine.generate(request, AbortSignal.timeout(60_000));
      for await (const event of events) if (event.type === "delta") break;
      numSteps.push(engine.stats.steps - before);
    }
    await expect.poll(() => numRefused, { timeout: 60_000 }).toBeGreaterThan(50);
    own.abort();
    await Promise.all(asked);
    // Counted in steps: the one in flight, perhaps the next, which is made up already, and its own. Alone it is one.
    expect(Math.max(...numSteps)).toBeLessThanOrEqual(4);
    await expectAllEnded();
  }, 180_000);
});

describe("questions", () => {
  it("whose clients hang up are dropped, and neither chats nor other questions wait for them", async () => {
    const idle = await idleMs();
    const body = JSON.stringify({ model: "giant", content: "a".repeat(262_144), parse_special: false });
    const head =
      `POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
      `Authorization: Bearer ${keyOf.many}\r\nContent-Length: ${body.length}\r\n\r\n`;
    const hangUps = Array.from({ length: 60 }, async () => {
      const socket = connect(server.address.port, "127.0.0.1");
      await once(socket, "connect");
      await new Promise((resolve) => socket.write(head + body, resolve));
      setTimeout(() => socket.destroy(), 5);
      await once(socket, "close");
    });
    let worst = 0;
    const flooded = Promise.all(hangUps).then(() => true);
    for (let isOver = false; !isOver;) {
      const startedAt = performance.now();
      const answers = await Promise.all([
        post("single", "/v1/chat/completions", chat),
        post("single", "/tokenize", { model: "giant", content: "b ".repeat(4_500) }),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([200, 200]);
      worst = Math.max(worst, performance.now() - startedAt);
      isOver = await Promise.race([flooded, Promise.resolve(false)]);
    }
    await Promise.all(hangUps);
    // They would take a quarter of a minute, one after the other.
    expect(worst).toBeLessThan(Math.max(2_000, 40 * idle));
    await expectAllEnded();
  }, 120_000);

  it("are bounded: one key's wait in the same room as its requests, and get 429", async () => {
    // Room for three: with room for fifteen, a busy machine may read as fast as it lets forty arrive.
    const small = await startRealEngine([resolvedConfig({ id: "giant", base: "giant" })], {
      maxWaitingTokens: 200_000,
    });
    const own = await serve(small, { access: { keys } });
    try {
      const body = JSON.stringify({ model: "giant", content: "word ".repeat(52_000) });
      const headers = { "Content-Type": "application/json", Authorization: `Bearer ${keyOf.many}` };
      const statuses = await Promise.all(
        Array.from({ length: 40 }, async () => {
          const response = await fetch(`${own.url}/tokenize`, { method: "POST", headers, body });
          await response.arrayBuffer();
          return response.status;
        }),
      );
      expect(new Set(statuses)).toEqual(new Set([200, 429]));
      await expectAllEnded(small, own.url);
    } finally {
      await own.server.close();
      await small.close();
    }
  }, 120_000);

  it("for a prompt that does not fit are refused before it is rendered, as requests are", async () => {
    const messages = Array.from({ length: 600 }, () => ({ role: "user", content: "" }));
    const long = [{ role: "assistant", content: "word ".repeat(10_000) }];
    for (const [path, body] of [
      ["/apply-template", { model: "both", messages }],
      ["/v1/chat/completions", { model: "both", messages, n: 16 }],
      ["/apply-template", { model: "both", messages: long }],
      ["/v1/chat/completions", { model: "both", messages: long, n: 16 }],
    ] as const) {
      const response = await post("single", path, body);
      const { error } = (await response.json()) as { error: { code: string; param: string } };
      expect([path, response.status, error.code, error.param]).toEqual([
        path,
        400,
        "context_length_exceeded",
        "messages",
      ]);
    }
  });
});

describe("many choices", () => {
  const prompts = Array.from({ length: 128 }, (_, index) => `${index} times`);
  const traced = { ...story, model: "both", prompt: prompts, fusion: { trace: "full" } };

  it("that would tell too much in one piece are refused before they begin, and may be streamed", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    const whole = await post("many", "/v1/completions", { ...traced, max_tokens: 400 });
    expect(whole.status).toBe(400);
    const { error } = (await whole.json()) as { error: { message: string } };
    expect(error.message).toMatch(/stream it, or ask for fewer/);
    const streamed = await post("many", "/v1/completions", { ...traced, max_tokens: 2, stream: true });
    expect(streamed.status).toBe(200);
    expect((await streamed.text()).trimEnd().endsWith("data: [DONE]")).toBe(true);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
    await expectAllEnded();
  }, 120_000);

  it.each([
    ["giant", { fusion: { trace: "full" } }],
    ["both", { fusion: { trace: "full" } }],
    ["both", { fusion: { trace: "weights" }, logprobs: 5 }],
    ["both", { fusion: { trace: "weights" } }],
    ["both", { fusion: { trace: "off" }, logprobs: 5 }],
  ] as const)(
    "what is told of a token by %s takes about what is counted for it (%j)",
    async (model, asked) => {
      const config = engine.description?.configs.find(({ id }) => id === model);
      if (!config) throw new Error("the engine has no such config");
      const response = await post("single", "/v1/completions", { ...story, model, max_tokens: 40, ...asked });
      expect(response.status).toBe(200);
      const told = (await response.text()).length / 40;
      const counted = bytesOfToken(
        { trace: asked.fusion.trace, topLogprobs: "logprobs" in asked ? asked.logprobs : null },
        config,
      );
      expect(counted).toBeGreaterThan(told / 2);
      expect(counted).toBeLessThan(told * 2);
    },
  );

  it.each([0, 5, 20])(
    "what a chat is told of a token with %i alternatives takes about so much too",
    async (most) => {
      const asked = {
        ...chat,
        max_tokens: 40,
        logit_bias: story.logit_bias,
        logprobs: true,
        top_logprobs: most,
      };
      const response = await post("single", "/v1/chat/completions", asked);
      expect(response.status).toBe(200);
      const told = (await response.text()).length / 40;
      const [config] = engine.description?.configs ?? [];
      const counted = bytesOfToken({ trace: "off", topLogprobs: most }, config as NonNullable<typeof config>);
      expect(counted).toBeGreaterThan(told / 2);
      expect(counted).toBeLessThan(told * 2);
    },
  );
});
