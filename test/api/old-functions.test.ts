// What is deprecated is what these programs send.
/* eslint-disable @typescript-eslint/no-deprecated */
import type OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answering } from "../support/fake-engine.js";
import { isValid } from "../support/json-schemas.js";
import { startRealServer, type RealServer } from "../support/real-server.js";
import { startTestServer } from "../support/server.js";

/** `functions` and `function_call`, as programs from before tools send them, and the openai package still has them. */

const parameters = {
  type: "object",
  properties: { town: { enum: ["Bern", "Rome"] }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["town"],
  additionalProperties: false,
};
const weather = { name: "weather", description: "How it is.", parameters };
const now = { name: "now", parameters: { type: "object", properties: {} } };
const question = { role: "user" as const, content: "How is it in Bern?" };
const body = { model: "both", messages: [question], functions: [weather, now] };

describe("with a model", () => {
  let server: RealServer;
  beforeAll(async () => {
    server = await startRealServer();
  });
  afterAll(() => server.close());
  const named = { ...body, function_call: { name: "weather" }, max_tokens: 200 };

  it.each([0, 1])(
    "a named function is called, whole and streamed, at temperature %d",
    async (temperature) => {
      const fields = { ...named, temperature, seed: 3 };
      const whole = (await server.client.chat.completions.create(fields)).choices[0]!;
      expect(whole).toMatchObject({ finish_reason: "function_call", message: { content: null } });
      expect(whole.message.tool_calls).toBeUndefined();
      const { name, arguments: args } = whole.message.function_call!;
      expect([name, isValid(parameters, args)]).toEqual(["weather", true]);
      const stream = server.client.chat.completions.stream(fields);
      const final = (await stream.finalChatCompletion()).choices[0]!;
      expect(final).toMatchObject({
        finish_reason: "function_call",
        message: { function_call: { name, arguments: args } },
      });
    },
  );

  it("none: an answer as without functions could be", async () => {
    const { choices } = await server.client.chat.completions.create({
      ...body,
      function_call: "none",
      max_tokens: 20,
    });
    expect(choices[0]!.message.function_call).toBeUndefined();
    expect(choices[0]!.message.content).not.toBeNull();
  });
});

describe("with answers that are told", () => {
  const call = `<tool_call>{"name": "weather", "arguments": {"town":"Bern"}}</tool_call>`;

  it("a call and its result take part in the next turn", async () => {
    const server = await startTestServer();
    const { engine } = server;
    engine.script = () => answering(call.slice(0, 30), call.slice(30));
    const first = (await (await server.post("/v1/chat/completions", body)).json()) as OpenAI.ChatCompletion;
    const { message, finish_reason } = first.choices[0]!;
    expect(finish_reason).toBe("function_call");
    expect(message.function_call).toEqual({ name: "weather", arguments: '{"town":"Bern"}' });
    engine.script = () => answering("Sunny.");
    const messages = [question, message, { role: "function", name: "weather", content: "sun" }];
    const second = await server.post("/v1/chat/completions", { ...body, messages });
    expect(await second.json()).toMatchObject({
      choices: [{ finish_reason: "stop", message: { content: "Sunny." } }],
    });
    const calls = [{ id: "function_1", name: "weather", arguments: '{"town":"Bern"}' }];
    expect(engine.submitted[1]?.prompt).toMatchObject({
      tools: [{ name: "weather" }, { name: "now" }],
      messages: [
        question,
        { role: "assistant", content: "", toolCalls: calls },
        { role: "tool", content: "sun", toolCallId: "function_1" },
      ],
    });
  });

  it("a streamed call comes in pieces", async () => {
    const server = await startTestServer();
    const { engine } = server;
    engine.script = () => answering(...call.match(/[^]{1,7}/g)!);
    const text = await (await server.post("/v1/chat/completions", { ...body, stream: true })).text();
    const chunks = [...text.matchAll(/^data: (\{.*)$/gm)].map(
      ([, json]) => (JSON.parse(json!) as OpenAI.ChatCompletionChunk).choices[0]!,
    );
    const pieces = chunks.flatMap(({ delta }) => delta.function_call ?? []);
    expect(pieces[0]).toMatchObject({ name: "weather" });
    expect(pieces.slice(1).every(({ name }) => name === undefined)).toBe(true);
    expect(pieces.map((piece) => piece.arguments).join("")).toBe('{"town":"Bern"}');
    expect(pieces.length).toBeGreaterThan(2);
    expect(chunks.at(-1)).toMatchObject({ delta: {}, finish_reason: "function_call" });
  });

  it("tools go before functions, which are then told as left out", async () => {
    const server = await startTestServer();
    const { engine } = server;
    engine.script = () => answering(call);
    const tools = [{ type: "function", function: weather }];
    expect(await (await server.post("/v1/chat/completions", { ...body, tools })).json()).toMatchObject({
      fusion: { ignored: ["functions"] },
      choices: [{ finish_reason: "tool_calls", message: { tool_calls: [{ type: "function" }] } }],
    });
  });

  it.each<[object, string]>([
    [{ role: "assistant", function_call: { arguments: "{}" } }, "messages.1.function_call"],
    [{ role: "assistant", function_call: "weather" }, "messages.1.function_call"],
    [{ role: "user", content: "x", function_call: { name: "f", arguments: "" } }, "messages.1.function_call"],
  ])("%j is refused by its own name", async (message, param) => {
    const server = await startTestServer();
    const response = await server.post("/v1/chat/completions", { ...body, messages: [question, message] });
    expect([response.status, await response.json()]).toMatchObject([400, { error: { param } }]);
  });
});
