import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { fieldError, ShouldersError } from "../../src/errors.js";
import { parseApiKeys } from "../../src/config/api-keys.js";
import type { GenerationEvent } from "../../src/protocol/protocol.js";
import { accepted, answering, deltaOf, doneAfter, tokenOf } from "../support/fake-engine.js";
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

it("fields of a chat completion that others have here are done", async () => {
  const server = await startTestServer();
  const fields = {
    seed: 7,
    stop: ["x"],
    top_k: 3,
    frequency_penalty: 0.5,
    repeat_penalty: 1.5,
    logit_bias: { 5: -100 },
  };
  const response = await server.post("/v1/responses", {
    ...plain,
    ...fields,
    chat_template_kwargs: { enable_thinking: false },
  });
  expect(await response.json()).not.toHaveProperty("fusion");
  expect(server.engine.submitted[0]).toMatchObject({
    seed: 7,
    stop: ["x"],
    sampling: { topK: 3, frequencyPenalty: 0.5, repeatPenalty: 1.5 },
    logitBias: [{ token: 5, bias: -100 }],
    prompt: { isThinking: false },
  });
  const refused = await server.post("/v1/responses", { ...plain, top_k: -7 });
  expect(await refused.json()).toMatchObject({ error: { param: "top_k" } });
});

it("a function may stand as in a chat completion", async () => {
  const server = await startTestServer();
  const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
  expect((await server.post("/v1/responses", { ...plain, tools })).status).toBe(200);
  expect(server.engine.submitted[0]).toMatchObject({ prompt: { tools: [{ name: "f" }] } });
  const nameless = await server.post("/v1/responses", { ...plain, tools: [{ type: "function" }] });
  expect(await nameless.json()).toMatchObject({
    error: { message: expect.stringMatching(/name/) as string },
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
  expect(text).toMatch(/event: response.failed\n.*"error":\{"code":"server_error","message":"It died."\}/);
  expect((await server.post("/v1/responses", plain)).status).toBe(503);
});

it("a stream whose last event would hold too much ends as one that failed", async () => {
  const server = await startTestServer();
  const tokens = Array.from({ length: 30_000 }, () => tokenOf("a"));
  server.engine.script = () => [accepted, deltaOf("b"), { type: "delta", text: "a", tokens }, doneAfter(2)];
  const body = { ...plain, include: ["message.output_text.logprobs"], top_logprobs: 20 };
  expect((await server.post("/v1/responses", body)).status).toBe(400);
  const text = await (await server.post("/v1/responses", { ...body, stream: true })).text();
  expect(text).toMatch(/event: response.failed\n.*An answer in one piece may tell of/);
  expect(server.engine.cancelled).toHaveLength(2);
});

it("log-probabilities where they are asked for", async () => {
  const server = await startTestServer();
  const response = await clientOf(server).responses.create({
    ...plain,
    include: ["message.output_text.logprobs"],
    top_logprobs: 2,
  });
  expect(response.output[0]).toMatchObject({
    content: [{ logprobs: [{ token: "Hello", logprob: -0.25, top_logprobs: [{}, {}] }, {}] }],
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
    [{ previous_response_id: "resp_1" }, "previous_response_id", "invalid_request"],
    [{ input: [{ type: "item_reference", id: "msg_1" }] }, "input.0.id", "invalid_request"],
    [{ input: [{ type: "web_search_call", id: "w" }] }, "input.0", "unsupported_field"],
    [{ conversation: "conv_1" }, "conversation", "invalid_request"],
    [{ background: true, store: false }, "background", "invalid_request"],
    [{ tools: [{ type: "web_search" }], tool_choice: "required" }, "tool_choice", "invalid_request"],
    [{ tools: [{ name: "a" }] }, "tools.0.type", "invalid_request"],
    [{ tools: [{ type: "function", name: "a b" }] }, "tools.0.name", "invalid_request"],
    [
      { tools: [{ type: "web_search" }, { type: "function", name: "a", parameters: { type: "array" } }] },
      "tools.1.parameters.type",
      "invalid_request",
    ],
    [{ tool_choice: "required" }, "tool_choice", "invalid_request"],
    [{ text: { format: { type: "xml" } } }, "text.format.type", "invalid_request"],
    [
      { text: { format: { type: "json_schema", name: 3, schema: {} } } },
      "text.format.name",
      "invalid_request",
    ],
    [{ temprature: 1 }, "temprature", "invalid_request"],
    [
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] },
      "input.0.content.0",
      "unsupported_field",
    ],
    [{ input: [] }, "input", "invalid_request"],
    [{ input: undefined }, "input", "invalid_request"],
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
    tool_choice: "none",
    include: ["file_search_call.results"],
    store: true,
    truncation: "disabled",
    text: { format: { type: "text" } },
  };
  expect((await server.post("/v1/responses", { ...plain, ...idle })).status).toBe(200);
});

it("what asks for what is not done, and changes no answer that fits, is ignored and named", async () => {
  const server = await startTestServer();
  const tools = [{ type: "web_search" }, { type: "function", name: "now" }];
  const body = { ...plain, tools, truncation: "auto", text: { verbosity: "low" }, some_new_field: 1 };
  const answer = (await (await server.post("/v1/responses", body)).json()) as object;
  expect(answer).toMatchObject({
    fusion: { ignored: ["some_new_field", "tools.0", "truncation", "text.verbosity"] },
  });
});

const weather = {
  type: "function" as const,
  name: "weather",
  description: "How it is.",
  parameters: { type: "object", properties: { town: { enum: ["Bern", "Rome"] } }, required: ["town"] },
  strict: false,
};
const opening = '<tool_call>{"name": "weather", "arguments": ';
const twoCalls = `${opening}{"town": "Bern"}}</tool_call>\n${opening}{"town": "Rome"}}</tool_call>`;

describe("items", () => {
  it("thoughts, text and parallel calls are items, in order, whole and streamed", async () => {
    const server = await startTestServer();
    const pieces = twoCalls.match(/[^]{1,9}/g)!;
    server.engine.script = () => {
      const [first, ...rest] = answering("Let me see.", ...pieces);
      return [first!, { ...deltaOf(""), reasoning: "Where?" } as GenerationEvent, ...rest];
    };
    const body = { ...plain, tools: [weather], include: ["reasoning.encrypted_content" as const] };
    const expected = [
      {
        type: "reasoning",
        summary: [],
        content: [{ type: "reasoning_text", text: "Where?" }],
        encrypted_content: Buffer.from("Where?").toString("base64"),
      },
      { type: "message", content: [{ text: "Let me see." }] },
      { type: "function_call", name: "weather", arguments: '{"town": "Bern"}', status: "completed" },
      { type: "function_call", name: "weather", arguments: '{"town": "Rome"}', status: "completed" },
    ];
    const whole = await clientOf(server).responses.create(body);
    expect(whole.output).toMatchObject(expected);
    expect(whole).toMatchObject({ status: "completed", tools: [weather], tool_choice: "auto" });
    const stream = clientOf(server).responses.stream(body);
    const seen: { type: string; sequence_number: number; output_index?: number }[] = [];
    for await (const event of stream) seen.push(event);
    expect(seen.map(({ sequence_number }) => sequence_number)).toEqual(seen.map((_, index) => index));
    const steps = seen.map(({ type, output_index }) => `${output_index ?? ""} ${type.slice(9)}`);
    expect(steps.filter((step, index) => step !== steps[index - 1])).toEqual([
      " created",
      " in_progress",
      "0 output_item.added",
      "0 content_part.added",
      "0 reasoning_text.delta",
      "0 reasoning_text.done",
      "0 content_part.done",
      "0 output_item.done",
      "1 output_item.added",
      "1 content_part.added",
      "1 output_text.delta",
      "1 output_text.done",
      "1 content_part.done",
      "1 output_item.done",
      ...[2, 3].flatMap((place) =>
        [
          "output_item.added",
          "function_call_arguments.delta",
          "function_call_arguments.done",
          "output_item.done",
        ].map((type) => `${place} ${type}`),
      ),
      " completed",
    ]);
    expect((await stream.finalResponse()).output).toMatchObject(expected);
  });

  it("where a summary is asked for, what was thought is shown there", async () => {
    const server = await startTestServer();
    server.engine.script = () => {
      const [first, ...rest] = answering("Bern.");
      return [first!, { ...deltaOf(""), reasoning: "Where?" } as GenerationEvent, ...rest];
    };
    const body = { ...plain, reasoning: { effort: "high" as const, summary: "auto" as const } };
    const { output } = await clientOf(server).responses.create(body);
    expect(output[0]).toMatchObject({ summary: [{ type: "summary_text", text: "Where?" }], content: [] });
    expect(server.engine.submitted[0]?.prompt).toMatchObject({ isThinking: true, effort: "high" });
    const text = await (await server.post("/v1/responses", { ...body, stream: true })).text();
    expect(text).toContain("event: response.reasoning_summary_text.delta");
    expect(text).not.toContain("reasoning_text.delta");
  });

  it("allowed tools are told with the others, and are the only ones that may be called", async () => {
    const server = await startTestServer();
    const named = { type: "function" as const, name: "weather" };
    const tool_choice = { type: "allowed_tools" as const, mode: "required" as const, tools: [named] };
    const tools = [weather, { ...weather, name: "now" }];
    server.engine.script = () => answering(`${opening}{"town": "Bern"}}</tool_call>`);
    const response = await clientOf(server).responses.create({ ...plain, tools, tool_choice });
    expect(response.tool_choice).toEqual(tool_choice);
    const { grammar, prompt } = server.engine.submitted[0]!;
    expect(grammar).toContain("weather");
    expect(grammar).not.toContain("now");
    expect(prompt).toMatchObject({ tools: [{ name: "weather" }, { name: "now" }] });
  });

  it("a call that is cut short is incomplete, and so is the response", async () => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, deltaOf(`${opening}{"to`), doneAfter(5, "length")];
    const cut = await clientOf(server).responses.create({ ...plain, tools: [weather] });
    expect(cut).toMatchObject({
      status: "incomplete",
      output: [{ type: "function_call", status: "incomplete", arguments: '{"to' }],
    });
  });

  it("what was thought, said, called and returned is sent back as turns", async () => {
    const server = await startTestServer();
    await clientOf(server).responses.create({
      ...plain,
      tools: [weather],
      input: [
        { role: "user", content: "How is it?" },
        {
          type: "reasoning",
          id: "rs_1",
          summary: [],
          encrypted_content: Buffer.from("Where?").toString("base64"),
        },
        {
          type: "message",
          id: "msg_1",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: "Let me see.", annotations: [] }],
        },
        { type: "function_call", call_id: "call_1", name: "weather", arguments: '{"town":"Bern"}' },
        { type: "function_call", call_id: "call_2", name: "weather", arguments: '{"town":"Rome"}' },
        { type: "function_call_output", call_id: "call_1", output: "sun" },
        { type: "function_call_output", call_id: "call_2", output: [{ type: "input_text", text: "rain" }] },
        { role: "assistant", content: [{ type: "refusal", refusal: "No." }] as never },
        { role: "user", content: "Why?" },
      ],
    });
    expect(server.engine.submitted[0]?.prompt).toMatchObject({
      messages: [
        { role: "user", content: "How is it?" },
        {
          role: "assistant",
          content: "Let me see.",
          reasoning: "Where?",
          toolCalls: [{ id: "call_1" }, { id: "call_2" }],
        },
        { role: "tool", content: "sun", toolCallId: "call_1" },
        { role: "tool", content: "rain", toolCallId: "call_2" },
        { role: "assistant", content: "No." },
        { role: "user", content: "Why?" },
      ],
    });
  });
});

describe("custom tools", () => {
  const grammar = { type: "grammar" as const, syntax: "lark" as const, definition: 'start: "a" /[0-9]+/' };
  const patch = { type: "custom" as const, name: "patch", description: "Edits.", format: grammar };
  const called = '<tool_call>{"name": "patch", "arguments": {"input": "a1\\n\\"2\\""}}</tool_call>';

  it("are told as functions of one text, held to their grammar, and answered as items of their own", async () => {
    const server = await startTestServer();
    server.engine.script = () => answering(...called.match(/[^]{1,7}/g)!);
    const body = { ...plain, tools: [patch, { type: "custom" as const, name: "free" }] };
    const whole = await clientOf(server).responses.create(body);
    const expected = [{ type: "custom_tool_call", name: "patch", input: 'a1\n"2"', status: "completed" }];
    expect(whole).toMatchObject({ status: "completed", output: expected, tools: [patch, { name: "free" }] });
    const { prompt, grammar: held } = server.engine.submitted[0]!;
    expect(held).toContain("patch");
    expect(held).toContain("\\U00000030-\\U00000039");
    const { tools } = prompt as Extract<typeof prompt, { type: "chat" }>;
    expect(JSON.parse(tools![0]!.parameters)).toEqual({
      type: "object",
      properties: {
        input: { type: "string", description: `A text of this lark grammar:\n${grammar.definition}` },
      },
      required: ["input"],
      additionalProperties: false,
    });
    const stream = clientOf(server).responses.stream(body);
    const seen: { type: string; delta?: string }[] = [];
    for await (const event of stream) seen.push(event);
    const kinds = [...new Set(seen.map(({ type }) => type))];
    expect(kinds.slice(2)).toEqual([
      "response.output_item.added",
      "response.custom_tool_call_input.delta",
      "response.custom_tool_call_input.done",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(seen.map(({ delta = "" }) => delta).join("")).toBe('a1\n"2"');
    expect((await stream.finalResponse()).output).toMatchObject(expected);
  });

  it("a call and its output go back as turns, also from what is kept", async () => {
    const server = await startTestServer();
    server.engine.script = () => answering(called);
    const { responses } = clientOf(server);
    const first = await responses.create({ ...plain, tools: [patch] });
    const call = first.output[0] as OpenAI.Responses.ResponseCustomToolCall;
    const output = { type: "custom_tool_call_output" as const, call_id: call.call_id, output: "done" };
    const sent = { type: "custom_tool_call" as const, call_id: "c", name: "patch", input: "b" };
    server.engine.script = () => answering("Good.");
    await responses.create({ ...plain, previous_response_id: first.id, input: [output, sent] });
    expect(server.engine.submitted.at(-1)?.prompt).toMatchObject({
      messages: [
        { role: "user" },
        { role: "assistant", toolCalls: [{ name: "patch", arguments: '{"input":"a1\\n\\"2\\""}' }] },
        { role: "tool", content: "done", toolCallId: call.call_id },
        { role: "assistant", toolCalls: [{ id: "c", arguments: '{"input":"b"}' }] },
      ],
    });
  });

  it("may be asked for by name, and cut short", async () => {
    const server = await startTestServer();
    server.engine.script = () => [
      accepted,
      deltaOf(called.slice(0, called.indexOf("a1") + 2)),
      doneAfter(5, "length"),
    ];
    const tool_choice = { type: "custom" as const, name: "patch" };
    const cut = await clientOf(server).responses.create({ ...plain, tools: [patch, weather], tool_choice });
    expect(cut).toMatchObject({
      status: "incomplete",
      output: [{ type: "custom_tool_call", status: "incomplete", input: "a1" }],
      tool_choice,
    });
    expect(server.engine.submitted[0]?.grammar).not.toContain("weather");
  });

  it("what no answer can be held to is any text, and named; what is no grammar is refused", async () => {
    const server = await startTestServer();
    const ask = async (format: object) =>
      (await (
        await server.post("/v1/responses", { ...plain, tools: [weather, { ...patch, format }] })
      ).json()) as object;
    expect(await ask({ ...grammar, definition: "start: /(?=a)b/" })).toMatchObject({
      fusion: { ignored: ["tools.1.format"] },
    });
    expect(await ask({ ...grammar, syntax: "regex", definition: "a|\\bb" })).toMatchObject({
      fusion: { ignored: ["tools.1.format"] },
    });
    for (const definition of ["start: x", 'a: "b"'])
      expect(await ask({ ...grammar, definition })).toMatchObject({ error: { param: "tools.1.format" } });
    expect(await ask({ ...grammar, syntax: "bnf" })).toMatchObject({
      error: { param: "tools.1.format.syntax" },
    });
  });

  it("are in chat completions as OpenAI has them there", async () => {
    const server = await startTestServer();
    server.engine.script = () => answering(...called.match(/[^]{1,7}/g)!);
    const {
      name,
      description,
      format: { type, ...inner },
    } = patch;
    const custom = { name, description, format: { type, grammar: { ...inner, type: undefined } } };
    const body = {
      model: "both",
      messages: [
        {
          role: "assistant" as const,
          tool_calls: [{ id: "c", type: "custom" as const, custom: { name, input: "b" } }],
        },
        { role: "tool" as const, tool_call_id: "c", content: "done" },
      ],
      tools: [{ type: "custom" as const, custom }],
      tool_choice: { type: "custom" as const, custom: { name } },
    };
    const whole = await clientOf(server).chat.completions.create(body as never);
    expect(whole.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { tool_calls: [{ type: "custom", custom: { name: "patch", input: 'a1\n"2"' } }] },
    });
    const text = await (await server.post("/v1/chat/completions", { ...body, stream: true })).text();
    const pieces = [...text.matchAll(/"custom":(\{[^}]*\})/g)].map(
      ([, json]) => JSON.parse(json!) as { input: string },
    );
    expect(pieces.map(({ input }) => input).join("")).toBe('a1\n"2"');
  });
});

describe("responses that are kept", () => {
  const messagesOf = (server: TestServer) => {
    const prompt = server.engine.submitted.at(-1)?.prompt;
    return prompt?.type === "chat" ? prompt.messages.map(({ role, content }) => `${role}: ${content}`) : [];
  };

  it("the next goes on from one, whole or streamed, without its instructions", async () => {
    const server = await startTestServer();
    const client = clientOf(server);
    const first = await client.responses.create({ ...plain, instructions: "Be brief." });
    const second = await client.responses
      .stream({ ...plain, input: "more", previous_response_id: first.id })
      .finalResponse();
    expect(second.previous_response_id).toBe(first.id);
    const reference = { type: "item_reference" as const, id: first.output[0]!.id! };
    await client.responses.create({ ...plain, input: [reference], previous_response_id: second.id });
    expect(messagesOf(server)).toEqual([
      "user: hi",
      "assistant: Hello world",
      "user: more",
      "assistant: Hello world",
      "assistant: Hello world",
    ]);
  });

  it("can be read, with what they were answers to, and deleted", async () => {
    const server = await startTestServer();
    const client = clientOf(server);
    const first = await client.responses.create({ ...plain, metadata: { a: "b" } });
    const second = await client.responses.create({ ...plain, input: "more", previous_response_id: first.id });
    const { output_text: text, ...whole } = await client.responses.retrieve(first.id);
    expect({ ...whole, output_text: text }).toMatchObject({
      id: first.id,
      metadata: { a: "b" },
      store: true,
    });
    expect(text).toBe("Hello world");
    const texts: string[] = [];
    for await (const item of client.responses.inputItems.list(second.id, { order: "asc", limit: 2 }))
      texts.push(JSON.stringify((item as { content?: object }).content));
    expect(texts).toHaveLength(3);
    expect(texts[2]).toContain("more");
    const newest = await client.responses.inputItems.list(second.id, { limit: 1 });
    expect(newest).toMatchObject({ has_more: true, data: [{ role: "user", content: [{ text: "more" }] }] });
    await client.responses.delete(first.id);
    await expect(client.responses.retrieve(first.id)).rejects.toMatchObject({
      status: 404,
      code: "response_not_found",
    });
    await client.responses.create({ ...plain, previous_response_id: second.id });
    expect(messagesOf(server)).toHaveLength(5);
  });

  it("store: false keeps nothing, and no owner sees another's", async () => {
    const keys = parseApiKeys("ann=0123456789abcdef,bob=fedcba9876543210", "test");
    const server = await startTestServer({ access: { keys } });
    const [ann, bob] = ["0123456789abcdef", "fedcba9876543210"].map(
      (apiKey) => new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 }),
    ) as [OpenAI, OpenAI];
    const unkept = await ann.responses.create({ ...plain, store: false });
    expect(unkept).toMatchObject({ store: false });
    await expect(ann.responses.retrieve(unkept.id)).rejects.toMatchObject({ status: 404 });
    const { id, output } = await ann.responses.create(plain);
    await expect(bob.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
    await expect(bob.responses.inputItems.list(id)).rejects.toMatchObject({ status: 404 });
    await expect(bob.responses.delete(id)).rejects.toMatchObject({ status: 404 });
    await expect(bob.responses.create({ ...plain, previous_response_id: id })).rejects.toMatchObject({
      status: 400,
      param: "previous_response_id",
    });
    const reference = { type: "item_reference" as const, id: output[0]!.id! };
    await expect(bob.responses.create({ ...plain, input: [reference] })).rejects.toMatchObject({
      status: 400,
    });
    expect((await ann.responses.retrieve(id)).id).toBe(id);
  });

  it("an operator may have nothing kept", async () => {
    const server = await startTestServer({ responseAgeMs: 0 });
    const response = await clientOf(server).responses.create({ ...plain, store: true });
    expect(response).toMatchObject({ store: false });
    await expect(clientOf(server).responses.retrieve(response.id)).rejects.toMatchObject({ status: 404 });
  });
});
