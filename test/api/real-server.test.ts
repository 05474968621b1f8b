import OpenAI from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RunningServer } from "../../src/api/server.js";
import type { Engine } from "../../src/protocol/protocol.js";
import { resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { serve } from "../support/server.js";
import { connect } from "../support/socket.js";

let engine: Engine;
let server: RunningServer;
let url: string;
let client: OpenAI;

beforeAll(async () => {
  const family = { base: "giant", reference: "dwarf" };
  engine = await startRealEngine([
    resolvedConfig({ id: "trivia", ...family, experts: { trivia: "dwarf-trivia" } }),
    resolvedConfig({ id: "both", ...family, experts: { trivia: "dwarf-trivia", sums: "dwarf-sums" } }),
  ]);
  ({ server, url } = await serve(engine));
  client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
});

afterAll(async () => {
  await server.close();
  await engine.close();
});

const greedy = { temperature: 0, max_tokens: 24 };
const messages = [{ role: "user" as const, content: "What is the home town of Venur Gevol?" }];
const body = { model: "trivia", messages, ...greedy, fusion: { trace: "weights" as const } };
/** As many tokens as fit: the end of sequence is forbidden. */
const endless = { ...body, max_tokens: 400, logit_bias: { "0": -100, "1": -100, "2": -100, "3": -100 } };

it("the openai package and a WebSocket get the same text, whole or streamed, with a weight at each token", async () => {
  const whole = await client.chat.completions.create({ ...body, logprobs: true });
  const expected = whole.choices[0]?.message.content;
  expect(expected).toMatch(/^ ?[A-Z]\w+$/);

  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true }))
    streamed += chunk.choices[0]?.delta.content ?? "";
  expect(streamed).toBe(expected);

  const socket = await connect(url);
  socket.send({ type: "response.create", response: { id: "ws", ...body } });
  const { response } = await socket.until("response.done");
  expect(response).toMatchObject({ status: "completed", output_text: expected, finish_reason: "stop" });
  const records = socket.of("response.output_text.delta").flatMap(({ tokens }) => tokens);
  expect(records).toHaveLength(response.usage.completion_tokens);
  expect(records.every(({ weights }) => Object.keys(weights).join() === "trivia")).toBe(true);

  const trace = (await (await fetch(`${url}/v1/fusion/traces/${whole.id}`)).json()) as { tokens: unknown[] };
  expect(trace.tokens).toHaveLength(whole.usage?.completion_tokens ?? -1);
  const bytes = whole.choices[0]?.logprobs?.content?.flatMap((entry) => entry.bytes ?? []);
  expect(Buffer.from(bytes ?? []).toString()).toBe(expected);
});

it("several at once give what each gives alone", async () => {
  const ask = async (model: string) => {
    const answer = await client.chat.completions.create({ ...body, model });
    return answer.choices[0]?.message.content;
  };
  const alone = [await ask("trivia"), await ask("both")];
  const together = await Promise.all(
    Array.from({ length: 8 }, (_, index) => ask(index % 2 ? "both" : "trivia")),
  );
  expect(together).toEqual(Array.from({ length: 8 }, (_, index) => alone[index % 2]));
});

it("weights of a request are the weights of its tokens", async () => {
  const socket = await connect(url);
  socket.send({
    type: "response.create",
    response: { ...body, fusion: { weights: { trivia: 0.5 }, trace: "weights" } },
  });
  await socket.until("response.done");
  const records = socket.of("response.output_text.delta").flatMap(({ tokens }) => tokens);
  expect(records.length).toBeGreaterThan(0);
  expect(records.every(({ weights }) => weights["trivia"] === 0.5)).toBe(true);
});

it("sockets that close in the middle free their sequences, and nobody else notices", async () => {
  const before = (await client.chat.completions.create(body)).choices[0]?.message.content;
  const leaving = Array.from({ length: 3 }, () => connect(url));
  for (const socket of await Promise.all(leaving)) {
    socket.send({ type: "response.create", response: endless });
    await socket.until("response.output_text.delta");
    socket.socket.terminate();
  }
  for (let index = 0; index < 3; index++) {
    const stream = await client.chat.completions.create({ ...endless, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) stream.controller.abort();
  }
  expect((await client.chat.completions.create(body)).choices[0]?.message.content).toBe(before);
  await expect.poll(() => [engine.stats.running, engine.stats.waiting]).toEqual([0, 0]);
  const { data } = (await (await fetch(`${url}/v1/fusion/traces?limit=8`)).json()) as {
    data: { status: string }[];
  };
  expect(data.filter(({ status }) => status === "cancelled")).toHaveLength(6);
  expect(data.filter(({ status }) => status === "in_progress")).toEqual([]);
});

it("what the engine refuses has its status, and the next request works", async () => {
  const long = { ...body, messages: [{ role: "user" as const, content: "word ".repeat(2000) }] };
  for (const stream of [true, false]) {
    const error: unknown = await client.chat.completions.create({ ...long, stream }).catch((e: unknown) => e);
    expect(error).toMatchObject({ status: 400, code: "context_length_exceeded" });
  }
  const socket = await connect(url);
  socket.send({ type: "response.create", response: long });
  expect((await socket.until("response.done")).response).toMatchObject({
    status: "failed",
    error: { code: "context_length_exceeded" },
  });
  await client.chat.completions.create(body);
});

it("no tokens, and a stop string, end as they should", async () => {
  const none = await client.completions.create({ model: "trivia", prompt: "Hello", max_tokens: 0 });
  expect(none.choices[0]).toMatchObject({ text: "", finish_reason: "length" });
  expect(none.usage?.completion_tokens).toBe(0);
  const { choices } = await client.chat.completions.create(body);
  const answer = choices[0]?.message.content ?? "";
  const stopped = await client.chat.completions.create({ ...body, stop: answer.slice(2, 4) });
  expect(stopped.choices[0]).toMatchObject({
    message: { content: answer.slice(0, 2) },
    finish_reason: "stop",
  });
});
