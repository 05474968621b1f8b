import OpenAI, {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from "openai";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { AccessRules } from "../../src/api/access/gate.js";
import { hashOf } from "../../src/config/api-keys.js";
import { resolvedConfig } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { serve } from "../support/server.js";

/** The official client's error classes and retries, against the real engine. */

const maxWaiting = 1;
let server: RealServer;
beforeAll(async () => {
  const experts = { trivia: "dwarf-trivia" };
  const config = { context: { tokens: 4096, sequences: 1 } };
  server = await serveConfigs(
    [resolvedConfig({ id: "trivia", base: "giant", reference: "dwarf", experts, config })],
    { maxWaiting },
  );
});
afterAll(() => server.close());

const messages = [{ role: "user" as const, content: "What is the home town of Venur Gevol?" }];
const chat = { model: "trivia", messages, temperature: 0, max_tokens: 12 };
/** As many tokens as fit: the end of sequence is forbidden. */
const endless = { ...chat, max_tokens: 4000, logit_bias: { "0": -100, "1": -100, "2": -100, "3": -100 } };
const long = { ...chat, messages: [{ role: "user" as const, content: "word ".repeat(4000) }] };

async function errorOf(asked: PromiseLike<unknown>): Promise<APIError> {
  try {
    await asked;
  } catch (thrown) {
    if (thrown instanceof APIError) return thrown;
    throw thrown;
  }
  throw new Error("it was answered");
}

/** A client that counts what it sends, and the statuses that come back. */
function countingClient(maxRetries: number, url = server.url) {
  const statuses: number[] = [];
  const retryCounts: (string | null)[] = [];
  const client = new OpenAI({
    baseURL: `${url}/v1`,
    apiKey: "unused",
    maxRetries,
    fetch: async (target, init) => {
      const response = await fetch(target, init);
      statuses.push(response.status);
      retryCounts.push(new Headers(init?.headers).get("x-stainless-retry-count"));
      return response;
    },
  });
  return { client, statuses, retryCounts };
}

const idle = () => expect.poll(() => server.engine.stats.running + server.engine.stats.waiting).toBe(0);

/** Asks until nobody more may come in. @returns what ends the askers. */
async function fill(): Promise<() => void> {
  const leaving = new AbortController();
  const { signal } = leaving;
  for (let index = 0; index <= maxWaiting; index++)
    server.client.chat.completions.create(endless, { signal }).catch(() => undefined);
  const { engine } = server;
  await expect.poll(() => [engine.stats.running, engine.stats.waiting]).toEqual([1, maxWaiting]);
  return () => leaving.abort();
}

describe("what is wrong with a request", () => {
  it("an unknown model is a NotFoundError", async () => {
    const { chat: chats, completions, responses, models } = server.client;
    for (const ask of [
      () => chats.completions.create({ ...chat, model: "gpt-4o" }),
      () => chats.completions.create({ ...chat, model: "gpt-4o", stream: true }),
      () => completions.create({ model: "gpt-4o", prompt: "x" }),
      () => responses.create({ model: "gpt-4o", input: "x" }),
      () => models.retrieve("gpt-4o"),
    ]) {
      const error = await errorOf(ask());
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
      expect(error.requestID).toMatch(/^[\w-]+$/);
    }
  });

  it("a bad field is a BadRequestError that names it, and is not tried again", async () => {
    const { client, statuses } = countingClient(3);
    for (const [fields, param] of [
      [{ temperature: 3 }, "temperature"],
      [{ messages: [{ role: "nobody", content: "x" }] }, "messages.0.role"],
      [{ logit_bias: { "999999": 1 } }, "logit_bias"],
      [
        {
          response_format: {
            type: "json_schema",
            json_schema: { name: "a", strict: true, schema: { not: {} } },
          },
        },
        "response_format.json_schema.schema",
      ],
      [{ stop: 3 }, "stop"],
    ] as const) {
      const error = await errorOf(client.chat.completions.create({ ...chat, ...(fields as object) }));
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ param, type: "invalid_request_error" });
      expect(error.message).toContain(param);
    }
    expect(statuses).toEqual([400, 400, 400, 400, 400]);
  });

  it("a prompt that does not fit is a BadRequestError with both numbers, streamed or not", async () => {
    for (const stream of [true, false]) {
      const error = await errorOf(server.client.chat.completions.create({ ...long, stream }));
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ code: "context_length_exceeded", param: "messages" });
      expect(error.message).toMatch(/\b4096\b/);
    }
    const error = await errorOf(
      server.client.completions.create({ model: "trivia", prompt: "word ".repeat(4000) }),
    );
    expect(error).toMatchObject({ code: "context_length_exceeded", param: "prompt" });
  });
});

describe("who asks", () => {
  async function serveFor(access: Partial<AccessRules>): Promise<string> {
    const { server: guarded, url } = await serve(server.engine, { access });
    onTestFinished(() => guarded.close());
    return url;
  }

  it("without the right key: AuthenticationError; with it, an answer", async () => {
    const key = "a-key-of-the-tests-0";
    const url = await serveFor({ keys: [{ name: "ann", sha256: hashOf(key) }] });
    const clientOf = (apiKey: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 2 });
    const error = await errorOf(clientOf("another-key-0123456").chat.completions.create(chat));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error).toMatchObject({ status: 401, code: "invalid_api_key" });
    expect(await errorOf(clientOf("another-key-0123456").models.list())).toBeInstanceOf(AuthenticationError);
    const { choices } = await clientOf(key).chat.completions.create(chat);
    expect(choices[0]?.message.content).not.toBe("");
  });

  it("from a page of another site: PermissionDeniedError", async () => {
    const options = { headers: { Origin: "https://evil.example" } };
    const error = await errorOf(server.client.chat.completions.create(chat, options));
    expect(error).toBeInstanceOf(PermissionDeniedError);
    expect(error.code).toBe("origin_forbidden");
  });

  it("more often than a key may: RateLimitError that says when", async () => {
    const url = await serveFor({ requestsPerMinute: 1 });
    const { client, statuses } = countingClient(0, url);
    await client.chat.completions.create(chat);
    const error = await errorOf(client.chat.completions.create(chat));
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error.code).toBe("rate_limited");
    expect(Number(error.headers?.get("retry-after"))).toBeGreaterThan(1);
    expect(statuses).toEqual([200, 429]);
  });
});

describe("a full queue", () => {
  it("is a RateLimitError with Retry-After, without retries", async () => {
    const free = await fill();
    try {
      for (const stream of [false, true]) {
        const error = await errorOf(server.client.chat.completions.create({ ...chat, stream }));
        expect(error).toBeInstanceOf(RateLimitError);
        expect(error).toMatchObject({ status: 429, code: "queue_full" });
        expect(Number(error.headers?.get("retry-after"))).toBeGreaterThanOrEqual(1);
      }
    } finally {
      free();
    }
    await idle();
  });

  it("is waited for: the client comes again after Retry-After and is answered", async () => {
    const expected = (await server.client.chat.completions.create(chat)).choices[0]?.message.content;
    const free = await fill();
    const { client, statuses, retryCounts } = countingClient(20);
    const asked = client.chat.completions.create(chat);
    await expect.poll(() => statuses.length).toBeGreaterThan(0);
    free();
    expect((await asked).choices[0]?.message.content).toBe(expected);
    expect(statuses[0]).toBe(429);
    expect(statuses.at(-1)).toBe(200);
    expect(retryCounts).toEqual(statuses.map((_, index) => String(index)));
    await idle();
  });
});

describe("what breaks on the way", () => {
  const died = { code: "engine_died", type: "server_error" };

  it("an engine that is killed: the stream throws, a whole answer is an InternalServerError", async () => {
    const stream = await server.client.chat.completions.create({ ...endless, stream: true });
    let text = "";
    const read = (async () => {
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        if (text !== "") process.kill(server.engine.description?.pid ?? 0, "SIGKILL");
      }
    })();
    expect(await errorOf(read)).toMatchObject(died);
    expect(text).not.toBe("");
    await expect.poll(() => server.engine.description !== null).toBe(true);

    const whole = errorOf(server.client.chat.completions.create(endless));
    await expect.poll(() => server.engine.stats.running).toBe(1);
    process.kill(server.engine.description!.pid, "SIGKILL");
    const error = await whole;
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({ status: 503, ...died });
    await expect.poll(() => server.engine.description !== null).toBe(true);
  });

  it("its client tries again, and is answered by the next engine", async () => {
    const expected = (await server.client.chat.completions.create(chat)).choices[0]?.message.content;
    const { client, statuses } = countingClient(20);
    const { pid } = server.engine.description!;
    const { numRestarts } = server.engine;
    process.kill(pid, "SIGKILL");
    await expect.poll(() => server.engine.description).toBeNull();
    const { choices } = await client.chat.completions.create(chat);
    expect(choices[0]?.message.content).toBe(expected);
    expect(statuses[0]).toBe(503);
    expect(statuses.at(-1)).toBe(200);
    expect(server.engine.numRestarts).toBeGreaterThan(numRestarts);
  });

  it("a client that does not want to wait, or changes its mind, frees its place", async () => {
    const timed = await errorOf(server.client.chat.completions.create(endless, { timeout: 500 }));
    expect(timed).toBeInstanceOf(APIConnectionTimeoutError);
    await idle();
    const leaving = new AbortController();
    const asked = errorOf(server.client.chat.completions.create(endless, { signal: leaving.signal }));
    await expect.poll(() => server.engine.stats.running).toBe(1);
    leaving.abort();
    expect(await asked).toBeInstanceOf(APIUserAbortError);
    await idle();
  });

  it("a server that is not there is an APIConnectionError", async () => {
    const { server: other, url } = await serve(server.engine);
    const client = new OpenAI({
      baseURL: `${url}/v1`,
      apiKey: "unused",
      maxRetries: 1,
    });
    await client.chat.completions.create(chat);
    await other.close();
    expect(await errorOf(client.chat.completions.create(chat))).toBeInstanceOf(APIConnectionError);
  });
});
