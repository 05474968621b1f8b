import Anthropic from "@anthropic-ai/sdk";
import { describe, expect, it } from "vitest";
import { parseApiKeys } from "../../src/config/api-keys.js";
import { fieldError, ShouldersError } from "../../src/errors.js";
import type { GenerationEvent } from "../../src/protocol/protocol.js";
import { accepted, answering, deltaOf, doneAfter } from "../support/fake-engine.js";
import { startTestServer, type TestServer } from "../support/server.js";

const clientOf = (server: TestServer, apiKey = "unused") =>
  new Anthropic({ baseURL: server.url, apiKey, maxRetries: 0 });
const plain = { model: "both", max_tokens: 9, messages: [{ role: "user" as const, content: "hi" }] };
const weather: Anthropic.Tool = {
  name: "weather",
  description: "How it is.",
  input_schema: { type: "object", properties: { town: { enum: ["Bern", "Rome"] } }, required: ["town"] },
};
const callOf = (town: string) => `{"town": "${town}"}`;
const opening = '<tool_call>{"name": "weather", "arguments": ';

it("names of tools may have 128 characters: told, chosen, called and sent back", async () => {
  const server = await startTestServer();
  const name = "n".repeat(128);
  server.engine.script = () =>
    answering(`<tool_call>{"name": "${name}", "arguments": {"town": "Bern"}}</tool_call>`);
  const named = { ...weather, name };
  const tool_choice = { type: "tool" as const, name };
  const { content, stop_reason } = await clientOf(server).messages.create({
    ...plain,
    tools: [named],
    tool_choice,
  });
  expect([stop_reason, content]).toMatchObject(["tool_use", [{ type: "tool_use", name }]]);
  const result = { type: "tool_result" as const, tool_use_id: "t", content: "sun" };
  const messages = [
    ...plain.messages,
    { role: "assistant" as const, content: [{ type: "tool_use" as const, id: "t", name, input: {} }] },
    { role: "user" as const, content: [result] },
  ];
  await clientOf(server).messages.create({ ...plain, messages, tools: [named] });
  const tools = [{ ...weather, name: `${name}n` }];
  await expect(clientOf(server).messages.create({ ...plain, tools })).rejects.toThrow(/1 to 128 letters/);
});

describe("answers", () => {
  it("a message with everything that the SDK's types require", async () => {
    const server = await startTestServer();
    const message = await clientOf(server).messages.create(plain);
    expect(message).toMatchObject({
      id: expect.stringMatching(/^msg_\w+$/) as string,
      type: "message",
      role: "assistant",
      model: "both",
      content: [{ type: "text", text: "Hello world" }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: {
        input_tokens: 4,
        cache_read_input_tokens: 3,
        cache_creation_input_tokens: 0,
        output_tokens: 3,
      },
    });
  });

  it("its stream helper sees every event in order, and the same message", async () => {
    const server = await startTestServer();
    const whole = await clientOf(server).messages.create(plain);
    const stream = clientOf(server).messages.stream(plain);
    const seen: string[] = [];
    for await (const event of stream) {
      seen.push(event.type);
      if (event.type === "message_start") expect(event.message.usage.input_tokens).toBe(7);
    }
    expect(seen).toEqual([
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    const { id, content, ...final } = await stream.finalMessage();
    expect(id).not.toBe(whole.id);
    expect(content).toMatchObject(whole.content);
    expect(final).toMatchObject({ stop_reason: "end_turn", usage: { input_tokens: 4, output_tokens: 3 } });
  });

  it("thinking has a block of its own, and is counted", async () => {
    const server = await startTestServer();
    const done = doneAfter(2) as Extract<GenerationEvent, { type: "done" }>;
    server.engine.script = () => [
      accepted,
      { ...deltaOf(""), reasoning: "Bern or " } as GenerationEvent,
      { ...deltaOf(""), reasoning: "Rome?" } as GenerationEvent,
      deltaOf("Bern."),
      { ...done, usage: { ...done.usage, reasoningTokens: 2 } },
    ];
    const thinking = { type: "enabled" as const, budget_tokens: 1024 };
    const message = await clientOf(server).messages.create({ ...plain, thinking });
    expect(message.content).toMatchObject([
      { type: "thinking", thinking: "Bern or Rome?", signature: "" },
      { type: "text", text: "Bern." },
    ]);
    expect(message.usage.output_tokens_details).toEqual({ thinking_tokens: 2 });
    expect(message).toMatchObject({ fusion: { ignored: ["thinking.budget_tokens"] } });
    const final = await clientOf(server)
      .messages.stream({ ...plain, thinking })
      .finalMessage();
    expect(final.content).toMatchObject(message.content);
    const prompts = server.engine.submitted.map(({ prompt }) => prompt);
    expect(prompts).toMatchObject([{ isThinking: true }, { isThinking: true }]);
    await clientOf(server).messages.create(plain);
    expect(server.engine.submitted.at(-1)?.prompt).toMatchObject({ isThinking: false });
  });

  it("text and several calls are blocks, whole and streamed", async () => {
    const server = await startTestServer();
    const calls = `${opening}${callOf("Bern")}}</tool_call>\n${opening}${callOf("Rome")}}</tool_call>`;
    server.engine.script = () => answering("Let me see.", "\n\n", ...calls.match(/[^]{1,7}/g)!);
    const body = { ...plain, tools: [weather] };
    const expected = [
      { type: "text", text: "Let me see.\n\n" },
      { type: "tool_use", name: "weather", input: { town: "Bern" } },
      { type: "tool_use", name: "weather", input: { town: "Rome" } },
    ];
    const whole = await clientOf(server).messages.create(body);
    expect(whole).toMatchObject({ stop_reason: "tool_use", content: expected });
    const final = await clientOf(server).messages.stream(body).finalMessage();
    expect(final).toMatchObject({ stop_reason: "tool_use", content: expected });
    const ids = [whole, final].flatMap(({ content }) =>
      content.flatMap((block) => (block.type === "tool_use" ? [block.id] : [])),
    );
    expect(new Set(ids).size).toBe(4);
  });

  it("a call that is cut short is none; white space before calls is no text", async () => {
    const server = await startTestServer();
    server.engine.script = () => [
      accepted,
      deltaOf(`\n${opening}${callOf("Bern")}}</tool_call>\n${opening}{"to`),
      doneAfter(9, "length"),
    ];
    const message = await clientOf(server).messages.create({ ...plain, tools: [weather] });
    expect(message).toMatchObject({
      stop_reason: "max_tokens",
      content: [{ type: "tool_use", input: { town: "Bern" } }],
    });
    expect(message.content).toHaveLength(1);
  });

  it("why it stopped: length, and which of the stop sequences", async () => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, deltaOf("a"), doneAfter(1, "length")];
    expect((await clientOf(server).messages.create(plain)).stop_reason).toBe("max_tokens");
    server.engine.script = () => [
      accepted,
      deltaOf("a"),
      { ...doneAfter(1), stopString: "END" } as GenerationEvent,
    ];
    const stopped = await clientOf(server).messages.create({ ...plain, stop_sequences: ["END", "."] });
    expect(stopped).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: "END" });
    expect(server.engine.submitted.at(-1)?.stop).toEqual(["END", "."]);
  });

  it("what is ours is in `fusion`, streamed as whole", async () => {
    const server = await startTestServer();
    const body = { ...plain, fusion: { trace: "weights" } };
    const whole = (await (await server.post("/v1/messages", body)).json()) as Record<string, unknown>;
    const { tokens } = whole["fusion"] as { tokens: object[] };
    expect(tokens).toHaveLength(3);
    const text = await (await server.post("/v1/messages", { ...body, stream: true })).text();
    const events = [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data!) as typeof whole);
    const streamed = events.flatMap(
      ({ fusion }) => (fusion as { tokens?: object[] } | undefined)?.tokens ?? [],
    );
    expect(streamed).toEqual(tokens);
  });
});

describe("what is sent", () => {
  it("system, results of tools, thinking and begun answers are turns as templates have them", async () => {
    const server = await startTestServer();
    await clientOf(server).messages.create({
      ...plain,
      system: [
        { type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } },
        { type: "text", text: "Be kind." },
      ],
      tools: [weather],
      messages: [
        { role: "user", content: [{ type: "text", text: "How is it?" }] },
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "Where?", signature: "" },
            { type: "redacted_thinking", data: "x" },
            { type: "text", text: "Let me see." },
            { type: "tool_use", id: "call_1", name: "weather", input: { town: "Bern" } },
            { type: "tool_use", id: "call_2", name: "weather", input: { town: "Rome" } },
          ],
        },
        {
          role: "user",
          content: [
            { type: "tool_result", tool_use_id: "call_1", content: "sun" },
            {
              type: "tool_result",
              tool_use_id: "call_2",
              content: [{ type: "text", text: "rain" }],
              is_error: true,
            },
            { type: "text", text: "So?" },
          ],
        },
        { role: "assistant", content: "It is" },
      ],
    });
    expect(server.engine.submitted[0]?.prompt).toMatchObject({
      ending: "continue",
      messages: [
        { role: "system", content: "Be brief.\nBe kind." },
        { role: "user", content: "How is it?" },
        {
          role: "assistant",
          content: "Let me see.",
          reasoning: "Where?",
          toolCalls: [
            { id: "call_1", name: "weather", arguments: '{"town":"Bern"}' },
            { id: "call_2", name: "weather", arguments: '{"town":"Rome"}' },
          ],
        },
        { role: "tool", content: "sun", toolCallId: "call_1" },
        { role: "tool", content: "rain", toolCallId: "call_2" },
        { role: "user", content: "So?" },
        { role: "assistant", content: "It is" },
      ],
    });
  });

  it("tool choices", async () => {
    const server = await startTestServer();
    server.engine.script = () => answering(`${opening}${callOf("Bern")}}</tool_call>`);
    const ask = async (tool_choice: Anthropic.ToolChoice) => {
      await clientOf(server).messages.create({ ...plain, tools: [weather], tool_choice });
      return server.engine.submitted.at(-1)!;
    };
    const rootOf = ({ grammar }: { grammar: string | null }) => /^root ::= (.*)$/m.exec(grammar ?? "")?.[1];
    expect((await ask({ type: "any" })).grammar).toContain("tool_call");
    expect(rootOf(await ask({ type: "any" }))).toBe(
      rootOf(await ask({ type: "tool", name: "weather" })) ?? "",
    );
    expect((await ask({ type: "none" })).grammar).toBeNull();
    const auto = await ask({ type: "auto", disable_parallel_tool_use: true });
    expect(auto.grammar).not.toContain("{0,15}");
    expect((await ask({ type: "auto" })).grammar).toContain("{0,15}");
  });

  it("counts the tokens of the base's prompt", async () => {
    const server = await startTestServer();
    server.engine.answers.renderPrompt = { prompts: { base: { text: "hi", tokens: [1, 2, 3] } } };
    const { model, messages } = plain;
    expect(await clientOf(server).messages.countTokens({ model, messages, tools: [weather] })).toEqual({
      input_tokens: 3,
    });
  });

  it("what cannot be done is refused by name, in this API's shape", async () => {
    const server = await startTestServer();
    const image = {
      type: "image",
      source: { type: "base64", media_type: "image/png", data: "x" },
    };
    for (const [fields, message] of [
      [{ max_tokens: undefined }, /max_tokens/],
      [{ messages: [] }, /'messages'/],
      [{ messages: [{ role: "user", content: [image] }] }, /'messages\.0\.content\.0'.*only text, tool use/],
      [{ tools: [{ name: "a" }] }, /'tools\.0/],
      [
        {
          tools: [
            { type: "web_search_20250305", name: "web_search" },
            { ...weather, input_schema: { type: "array" } },
          ],
        },
        /'tools\.1\.input_schema\.type'/,
      ],
      [{ tool_choice: { type: "any" } }, /'tool_choice'/],
      [{ temprature: 1 }, /did you mean "temperature"/],
      [
        { messages: [{ role: "user", content: [{ type: "tool_use", id: "a", name: "b", input: {} }] }] },
        /'messages\.0\.content\.0\.type'/,
      ],
    ] as const) {
      const response = await server.post("/v1/messages", { ...plain, ...fields });
      const body = (await response.json()) as { error: { message: string } };
      expect(response.status, body.error.message).toBe(400);
      expect(body).toMatchObject({
        type: "error",
        error: { type: "invalid_request_error" },
        request_id: response.headers.get("x-request-id"),
      });
      expect(body.error.message).toMatch(message);
    }
    const tools = [{ type: "web_search_20250305", name: "web_search" }];
    const unknown = { tools, stop: ["x"], output_config: { effort: "high" }, speed: "fast" };
    const answer = (await (await server.post("/v1/messages", { ...plain, ...unknown })).json()) as object;
    expect(answer).toMatchObject({
      fusion: { ignored: ["stop", "speed", "tools.0", "output_config.effort"] },
    });
  });

  it("what the engine refuses is named as it is called here; a broken stream ends with an error", async () => {
    const server = await startTestServer();
    server.engine.script = () => [
      new ShouldersError("context_length_exceeded", "Too long.", { param: "messages" }),
    ];
    await expect(clientOf(server).messages.create(plain)).rejects.toMatchObject({ status: 400 });
    const format = { type: "json_schema" as const, schema: { type: "object" } };
    server.engine.script = () => [fieldError("grammar", "it tells too many texts apart")];
    await expect(clientOf(server).messages.create({ ...plain, output_config: { format } })).rejects.toThrow(
      "Invalid 'output_config.format': it tells too many texts apart.",
    );
    server.engine.script = () => [accepted, deltaOf("a"), new ShouldersError("engine_died", "It died.")];
    const text = await (await server.post("/v1/messages", { ...plain, stream: true })).text();
    expect(text).toMatch(/event: error\ndata: \{"type":"error","error":\{"type":"overloaded_error"/);
    await expect(clientOf(server).messages.stream(plain).finalMessage()).rejects.toThrow("It died.");
  });
});

it("a key in x-api-key is a key; without one the error is this API's", async () => {
  const key = "0123456789abcdef";
  const server = await startTestServer({ access: { keys: parseApiKeys(`ann=${key}`, "test") } });
  await clientOf(server, key).messages.create(plain);
  expect(server.engine.submitted[0]?.owner).toBe("ann");
  await expect(clientOf(server, "wrong").messages.create(plain)).rejects.toMatchObject({
    status: 401,
    error: { type: "error", error: { type: "authentication_error" } },
  });
  const missing = await fetch(`${server.url}/v1/messages`);
  expect(missing.status).toBe(401);
  const wrongMethod = await fetch(`${server.url}/v1/messages`, { headers: { "x-api-key": key } });
  expect(wrongMethod.status).toBe(405);
  expect(await wrongMethod.json()).toMatchObject({ type: "error" });
});
