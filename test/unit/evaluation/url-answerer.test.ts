import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Item } from "../../../src/evaluation/tasks/task.js";
import { plan } from "../../../src/evaluation/methods/method.js";
import { UrlAnswerer } from "../../../src/evaluation/url-answerer.js";

interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: Record<string, unknown>;
}

const item = (prompt: Item["prompt"], stop: string[] = []): Item => ({
  prompt,
  answers: ["a"],
  choices: [],
  scorer: "exact",
  stop,
  maxTokens: 7,
  target: "a",
});
const chat = item({ type: "chat", messages: [{ role: "user", content: "?" }] });
const usage = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };

describe("UrlAnswerer", () => {
  let server: Server;
  let url: string;
  let received: Received | null = null;
  let reply: { status: number; body: unknown };

  beforeAll(async () => {
    server = createServer((request, response) => {
      let text = "";
      request.on("data", (chunk: Buffer) => (text += chunk.toString()));
      request.on("end", () => {
        const body = JSON.parse(text) as Record<string, unknown>;
        received = { path: request.url ?? "", headers: request.headers, body };
        response.writeHead(reply.status, { "Content-Type": "application/json" });
        response.end(JSON.stringify(reply.body));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`;
  });

  afterAll(() => server.close());

  const ask = (asked: Item, apiKey: string | null = null) =>
    new UrlAnswerer({ url, apiKey, seed: 3 }).answer(
      plan("some-model", null),
      asked,
      new AbortController().signal,
    );

  it("asks a conversation of /chat/completions, with the key", async () => {
    const choice = { index: 0, message: { role: "assistant", content: "yes" }, finish_reason: "length" };
    reply = { status: 200, body: { choices: [choice], usage } };
    const answer = await ask(chat, "secret");
    expect(received).toMatchObject({
      path: "/v1/chat/completions",
      body: {
        model: "some-model",
        messages: [{ role: "user", content: "?" }],
        max_tokens: 7,
        temperature: 0,
        seed: 3,
      },
    });
    expect(received?.headers.authorization).toBe("Bearer secret");
    expect(received?.body).not.toHaveProperty("stop");
    expect(answer).toMatchObject({
      text: "yes",
      finishReason: "length",
      promptTokens: 5,
      numTokens: 2,
      weights: null,
    });
  });

  it("asks a plain prompt of /completions", async () => {
    reply = { status: 200, body: { choices: [{ index: 0, text: " no", finish_reason: "stop" }], usage } };
    const answer = await ask(item({ type: "text", text: "Q:" }, ["\n"]));
    expect(received).toMatchObject({ path: "/v1/completions", body: { prompt: "Q:", stop: ["\n"] } });
    expect(received?.headers.authorization).toBeUndefined();
    expect(answer?.text).toBe(" no");
  });

  it.each([
    [429, "queue_full"],
    [503, "engine_not_ready"],
    [404, "remote_failed"],
  ])("tells what a %d means", async (status, code) => {
    reply = { status, body: { error: { message: "because", type: "x", param: null, code: null } } };
    await expect(ask(chat)).rejects.toThrow(expect.objectContaining({ code }));
    await expect(ask(chat)).rejects.toThrow(/answered \d+: because/);
  });

  it("refuses what is not a completion, and a server that is not there", async () => {
    reply = { status: 200, body: { hello: "world" } };
    await expect(ask(chat)).rejects.toThrow(/not a completion/);
    const nowhere = new UrlAnswerer({ url: "http://127.0.0.1:1/v1", apiKey: null, seed: 1 });
    await expect(nowhere.answer(plan("m", null), chat, new AbortController().signal)).rejects.toThrow(
      /cannot be reached/,
    );
    await expect(nowhere.answer(plan("m", null), chat, AbortSignal.abort())).resolves.toBeNull();
  });
});
