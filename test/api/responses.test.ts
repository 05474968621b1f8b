import OpenAI from "openai";
import { expect, it } from "vitest";
import { fieldError, ShouldersError } from "../../src/errors.js";
import { accepted, deltaOf, doneAfter } from "../support/fake-engine.js";
import { startTestServer, type TestServer } from "../support/server.js";

const clientOf = (server: TestServer) =>
  new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "unused", maxRetries: 0 });
const plain = { model: "both", input: "hi" };

it("the openai package creates a response", async () => {
  const server = await startTestServer();
  const response = await clientOf(server).responses.create({
    model: "both",
    instructions: "Be brief.",
    input: [
      { role: "user", content: "Hi." },
      { role: "assistant", content: [{ type: "output_text", text: "Yes?", annotations: [] }] } as never,
      { role: "user", content: [{ type: "input_text", text: "Who?" }] },
    ],
    max_output_tokens: 9,
    temperature: 0.5,
    metadata: { a: "b" },
  });
  expect(response.output_text).toBe("Hello world");
  expect(response).toMatchObject({
    id: expect.stringMatching(/^resp_\w+$/) as string,
    object: "response",
    status: "completed",
    error: null,
    incomplete_details: null,
    instructions: "Be brief.",
    max_output_tokens: 9,
    temperature: 0.5,
    metadata: { a: "b" },
    model: "both",
    output: [{ type: "message", role: "assistant", content: [{ type: "output_text", text: "Hello world" }] }],
    usage: {
      input_tokens: 7,
      input_tokens_details: { cached_tokens: 3 },
      output_tokens: 3,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 10,
    },
  });
  expect(server.engine.submitted[0]).toMatchObject({
    maxTokens: 9,
    prompt: {
      type: "chat",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Hi." },
        { role: "assistant", content: "Yes?" },
        { role: "user", content: "Who?" },
      ],
    },
  });
});

it("its stream helper sees every event in order, and the same text", async () => {
  const server = await startTestServer();
  const stream = clientOf(server).responses.stream({
    ...plain,
    fusion: { trace: "weights" },
  } as typeof plain);
  const seen: [string, number][] = [];
  for await (const event of stream) seen.push([event.type, event.sequence_number]);
  expect(seen.map(([type]) => type)).toEqual([
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
  ]);
  expect(seen.map(([, number]) => number)).toEqual(seen.map((_, index) => index));
  expect((await stream.finalResponse()).output_text).toBe("Hello world");
});

it("events are named on the wire, and end with the last one", async () => {
  const server = await startTestServer();
  const text = await (await server.post("/v1/responses", { ...plain, stream: true })).text();
  const blocks = text.trim().split("\n\n");
  for (const block of blocks) {
    const [, name, data] = /^event: (\S+)\ndata: (.*)$/.exec(block) ?? [];
    expect((JSON.parse(data ?? "{}") as { type: string }).type).toBe(name);
  }
  expect(text).not.toContain("[DONE]");
});

it("a cut answer is incomplete, a broken one fails in the stream", async () => {
  const server = await startTestServer();
  server.engine.script = () => [accepted, deltaOf("a"), doneAfter(1, "length")];
  const cut = await clientOf(server).responses.create(plain);
  expect(cut).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
  server.engine.script = () => [accepted, deltaOf("a"), new ShouldersError("engine_died", "It died.")];
  const text = await (await server.post("/v1/responses", { ...plain, stream: true })).text();
  expect(text).toMatch(/event: response.failed\n.*"error":\{"code":"engine_died","message":"It died."\}/);
  expect((await server.post("/v1/responses", plain)).status).toBe(503);
});

it("log-probabilities where they are asked for", async () => {
  const server = await startTestServer();
  const response = await clientOf(server).responses.create({
    ...plain,
    include: ["message.output_text.logprobs"],
    top_logprobs: 2,
  });
  expect(response.output[0]).toMatchObject({
    content: [{ logprobs: [{ token: "Hello", logprob: -0.25, top_logprobs: [{}, {}] }, {}, {}] }],
  });
});

it("a format is enforced as a chat completion's is", async () => {
  const server = await startTestServer();
  const schema = { type: "object", properties: { town: { type: "string" } }, required: ["town"] };
  const format = { type: "json_schema" as const, name: "answer", strict: true, schema };
  const response = await clientOf(server).responses.create({ ...plain, text: { format } });
  expect(response.text?.format).toEqual(format);
  expect(server.engine.submitted[0]?.grammar).toContain("town");
});

it("what the engine refuses is named as it is called here", async () => {
  const server = await startTestServer();
  const refused = async (error: ShouldersError, fields: object) => {
    server.engine.script = () => [error];
    const response = await server.post("/v1/responses", { ...plain, ...fields });
    return ((await response.json()) as { error: object }).error;
  };
  const tooLong = new ShouldersError("context_length_exceeded", "Too long.", { param: "messages" });
  expect(await refused(tooLong, {})).toMatchObject({ param: "input", message: "Too long." });
  const format = { type: "json_schema", name: "a", schema: { type: "object" } };
  const grammar = fieldError("grammar", "it tells too many texts apart");
  expect(await refused(grammar, { text: { format } })).toMatchObject({
    param: "text.format",
    message: "Invalid 'text.format': it tells too many texts apart.",
  });
});

it("what is not kept or not supported is refused by name", async () => {
  const server = await startTestServer();
  for (const [fields, param, code] of [
    [{ previous_response_id: "resp_1" }, "previous_response_id", "unsupported_field"],
    [{ conversation: "conv_1" }, "conversation", "unsupported_field"],
    [{ background: true }, "background", "unsupported_field"],
    [{ tools: [{ type: "web_search" }] }, "tools", "unsupported_field"],
    [{ text: { format: { type: "xml" } } }, "text.format.type", "invalid_request"],
    [
      { text: { format: { type: "json_schema", name: "a b", schema: {} } } },
      "text.format.name",
      "invalid_request",
    ],
    [{ truncation: "auto" }, "truncation", "unsupported_field"],
    [{ reasoning: { effort: "high" } }, "reasoning", "unsupported_field"],
    [{ include: ["file_search_call.results"] }, "include", "unsupported_field"],
    [
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] },
      "input.0.content.0",
      "unsupported_field",
    ],
    [{ input: [] }, "input", "invalid_request"],
    [{ input: undefined }, "input", "invalid_request"],
    [{ messages: [] }, "messages", "invalid_request"],
    [{ max_output_tokens: 0 }, "max_output_tokens", "invalid_request"],
    [{ top_logprobs: 2 }, "top_logprobs", "invalid_request"],
    [{ temperature: 3 }, "temperature", "invalid_request"],
  ] as const) {
    const response = await server.post("/v1/responses", { ...plain, ...fields });
    expect(response.status, param).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param, code } });
  }
  const idle = {
    previous_response_id: null,
    tools: [],
    store: true,
    truncation: "disabled",
    text: { format: { type: "text" } },
  };
  expect((await server.post("/v1/responses", { ...plain, ...idle })).status).toBe(200);
});
