import { describe, expect, test } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { accepted, answering, deltaOf, doneAfter, Gate, tokenOf } from "../support/fake-engine.js";
import { readEvents, startTestServer } from "../support/server.js";

const chat = { model: "both", messages: [{ role: "user", content: "hi" }] };
const text = { model: "both", prompt: "hi" };

interface Chunk {
  id: string;
  object: string;
  created: number;
  choices: {
    index: number;
    delta: { role?: string; content?: string };
    text: string;
    logprobs: {
      content: { token: string; bytes: number[] }[];
      tokens: string[];
      text_offset: number[];
    } | null;
    finish_reason: string | null;
    fusion?: { tokens: { position: number }[] };
  }[];
  usage?: unknown;
}

const usage = {
  prompt_tokens: 7,
  completion_tokens: 3,
  total_tokens: 10,
  prompt_tokens_details: { cached_tokens: 3 },
};

describe("chat", () => {
  test("a whole answer has OpenAI's shape", async () => {
    const server = await startTestServer();
    const response = await server.post("/v1/chat/completions", chat);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(response.headers.get("x-powered-by")).toBeNull();
    expect(response.headers.get("x-request-id")).toMatch(/^[\w-]+$/);
    const body = (await response.json()) as { choices: { fusion: { tokens: unknown[] } }[] };
    expect(body).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/) as string,
      object: "chat.completion",
      created: expect.any(Number) as number,
      model: "both",
      system_fingerprint: expect.stringMatching(/^fp_[0-9a-f]{12}$/) as string,
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hello world", refusal: null },
          logprobs: null,
          finish_reason: "stop",
          fusion: { tokens: expect.any(Array) as unknown[] },
        },
      ],
      usage,
    });
    expect(body.choices[0]?.fusion.tokens).toHaveLength(3);
  });

  test("a stream: role first, deltas, reason, done", async () => {
    const server = await startTestServer();
    const response = await server.post("/chat/completions", { ...chat, stream: true });
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    const events = await readEvents(response);
    expect(events.pop()).toBe("[DONE]");
    const chunks = events as Chunk[];
    expect(new Set(chunks.map(({ id, created }) => `${id} ${created}`)).size).toBe(1);
    expect(chunks.every((chunk) => chunk.object === "chat.completion.chunk" && !("usage" in chunk))).toBe(
      true,
    );
    expect(chunks.map(({ choices: [choice] }) => [choice?.delta, choice?.finish_reason])).toEqual([
      [{ role: "assistant", content: "" }, null],
      [{ content: "Hello" }, null],
      [{ content: " world" }, null],
      [{}, "stop"],
    ]);
    expect(
      chunks.map(({ choices: [choice] }) => choice?.fusion?.tokens.map(({ position }) => position)),
    ).toEqual([undefined, [7], [8], [9]]);
  });
});
