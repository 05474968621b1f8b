import OpenAI, {
  APIError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from "openai";
import { expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { accepted, answering, deltaOf, Gate } from "../support/fake-engine.js";
import { startTestServer, type TestServer } from "../support/server.js";

/** The official client, as anyone would point it here. */
const clientOf = (server: TestServer, maxRetries = 0) =>
  new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "unused", maxRetries });

const chat = { model: "both", messages: [{ role: "user" as const, content: "hi" }] };

it("chat, whole and streamed, with logprobs and usage", async () => {
  const server = await startTestServer();
  const client = clientOf(server);
  const whole = await client.chat.completions.create({ ...chat, logprobs: true, top_logprobs: 2, top_p: 1 });
  expect(whole.choices[0]?.message).toEqual({ role: "assistant", content: "Hello world", refusal: null });
  expect(whole.choices[0]?.logprobs?.content?.map(({ token }) => token)).toEqual(["Hello", " world"]);
  expect(whole.usage?.total_tokens).toBe(10);
  expect(whole._request_id).toMatch(/^[\w-]+$/);

  const stream = await client.chat.completions.create({
    ...chat,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let total: number | undefined;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    total = chunk.usage?.total_tokens ?? total;
  }
  expect([text, total]).toEqual(["Hello world", 10]);
});

it("the streaming helper, and an answer sent back as a message", async () => {
  const server = await startTestServer();
  const client = clientOf(server);
  const first = await client.chat.completions
    .stream({ ...chat, max_completion_tokens: 9 })
    .finalChatCompletion();
  const message = first.choices[0]!.message;
  expect(message.content).toBe("Hello world");
  const messages = [...chat.messages, message, { role: "user" as const, content: "and?" }];
  await client.chat.completions.create({ ...chat, messages });
  expect(server.engine.submitted[1]?.prompt).toMatchObject({
    type: "chat",
    messages: [
      { role: "user", content: "hi" },
      { role: "assistant", content: "Hello world" },
      { role: "user", content: "and?" },
    ],
  });
});

it("legacy completions, whole and streamed", async () => {
  const client = clientOf(await startTestServer());
  const body = { model: "both", prompt: "hi", logprobs: 1 };
  const whole = await client.completions.create(body);
  expect(whole.choices[0]?.text).toBe("Hello world");
  expect(whole.choices[0]?.logprobs?.tokens).toEqual(["Hello", " world"]);
  let text = "";
  for await (const chunk of await client.completions.create({ ...body, stream: true }))
    text += chunk.choices[0]?.text ?? "";
  expect(text).toBe("Hello world");
});

it("models, listed and retrieved", async () => {
  const client = clientOf(await startTestServer());
  const ids: string[] = [];
  for await (const model of client.models.list()) ids.push(model.id);
  expect(ids).toEqual(["both", "giant"]);
  expect((await client.models.retrieve("giant")).object).toBe("model");
});

it("errors have their classes, codes and params", async () => {
  const server = await startTestServer();
  const client = clientOf(server);
  const errorOf = async (fields: object): Promise<APIError> => {
    const error: unknown = await client.chat.completions
      .create({ ...chat, ...fields })
      .catch((e: unknown) => e);
    if (!(error instanceof APIError)) throw error;
    return error;
  };
  const unknown = await errorOf({ model: "nope" });
  expect(unknown).toBeInstanceOf(NotFoundError);
  expect(unknown).toMatchObject({ code: "model_not_found", param: "model" });
  const hot = await errorOf({ temperature: 3 });
  expect(hot).toBeInstanceOf(BadRequestError);
  expect(hot.param).toBe("temperature");
  server.engine.script = () => [new ShouldersError("queue_full", "Later.")];
  expect(await errorOf({})).toBeInstanceOf(RateLimitError);
  server.engine.script = () => [accepted, new ShouldersError("engine_died", "Dead.")];
  expect(await errorOf({ stream: true })).toBeInstanceOf(InternalServerError);
});

it("a stream that fails throws, and its client retries what failed before it", async () => {
  const server = await startTestServer();
  server.engine.script = () => [accepted, deltaOf("a"), new ShouldersError("engine_died", "It died.")];
  const stream = await clientOf(server).chat.completions.create({ ...chat, stream: true });
  await expect(
    (async () => {
      for await (const chunk of stream) expect(chunk.object).toBe("chat.completion.chunk");
    })(),
  ).rejects.toThrow("It died.");

  let numTries = 0;
  server.engine.script = () =>
    ++numTries === 1 ? [accepted, new ShouldersError("queue_full", "Later.")] : answering("Hi");
  const retried = await clientOf(server, 1).chat.completions.create(chat);
  expect([retried.choices[0]?.message.content, numTries]).toEqual(["Hi", 2]);
});

it("abort() of a stream reaches the engine", async () => {
  const server = await startTestServer();
  server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
  const stream = await clientOf(server).chat.completions.create({ ...chat, stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content === "a") stream.controller.abort();
  await server.engine.untilCancelled(1);
});
