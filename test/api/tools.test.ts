import { afterAll, beforeAll, expect, it } from "vitest";
import type OpenAI from "openai";
import { answering } from "../support/fake-engine.js";
import { isValid } from "../support/json-schemas.js";
import { startRealServer, type RealServer } from "../support/real-server.js";
import { startTestServer } from "../support/server.js";

let server: RealServer;
beforeAll(async () => {
  server = await startRealServer();
});
afterAll(() => server.close());

const parameters = {
  type: "object",
  properties: { a: { type: "integer" }, unit: { enum: ["m", "km"] }, note: { type: "string", maxLength: 8 } },
  required: ["a", "unit"],
  additionalProperties: false,
};
const add: OpenAI.ChatCompletionTool = {
  type: "function",
  function: { name: "add", description: "Adds.", parameters },
};
const now: OpenAI.ChatCompletionTool = { type: "function", function: { name: "now" } };
const question = { role: "user" as const, content: "What is 12 plus 30?" };
const body = { model: "both", messages: [question], tools: [add, now], max_tokens: 200 };

type Call = OpenAI.ChatCompletionMessageFunctionToolCall;

it("required: calls whose arguments match, at any temperature", async () => {
  for (const temperature of [0, 1, 2]) {
    const { choices } = await server.client.chat.completions.create({
      ...body,
      temperature,
      tool_choice: "required",
    });
    const { message, finish_reason } = choices[0]!;
    expect(message.content).toBeNull();
    expect(["tool_calls", "length"]).toContain(finish_reason);
    if (finish_reason === "length") continue;
    for (const call of message.tool_calls as Call[]) {
      expect(call).toMatchObject({ type: "function", id: expect.stringMatching(/^call_\w+$/) as string });
      const schema = call.function.name === "add" ? parameters : { type: "object", maxProperties: 0 };
      expect(isValid(schema, call.function.arguments), call.function.arguments).toBe(true);
    }
  }
});

it("a named function is called once; parallel_tool_calls: false allows one call", async () => {
  const named = await server.client.chat.completions.create({
    ...body,
    tool_choice: { type: "function", function: { name: "add" } },
  });
  expect((named.choices[0]!.message.tool_calls as Call[]).map((call) => call.function.name)).toEqual(["add"]);
  const one = await server.client.chat.completions.create({
    ...body,
    temperature: 1,
    tool_choice: "required",
    parallel_tool_calls: false,
  });
  expect(one.choices[0]!.message.tool_calls).toHaveLength(1);
});

it("streamed arguments, put together by the openai package, are those of the whole answer", async () => {
  const fields = { ...body, temperature: 0, tool_choice: "required" as const };
  const whole = (await server.client.chat.completions.create(fields)).choices[0]!;
  const final = await server.client.chat.completions.stream(fields).finalChatCompletion();
  const parts = (choice: { message: { tool_calls?: unknown[] | undefined } }) =>
    (choice.message.tool_calls as Call[]).map((call) => [call.function.name, call.function.arguments]);
  expect(parts(final.choices[0]!)).toEqual(parts(whole));
  expect(final.choices[0]!.finish_reason).toBe(whole.finish_reason);
});

it("auto: text stays text, with any beginning", async () => {
  const { choices } = await server.client.chat.completions.create({ ...body, temperature: 0 });
  expect(choices[0]?.finish_reason).not.toBe("tool_calls");
  const plain = await server.client.chat.completions.create({ ...body, temperature: 0, tool_choice: "none" });
  expect(plain.choices[0]?.message.tool_calls).toBeUndefined();
});

it("a call and its result take part in the next turn", async () => {
  const fake = await startTestServer();
  const call = `<tool_call>{"name": "add", "arguments": {"a":1,"unit":"m"}}</tool_call>`;
  fake.engine.script = () => answering(call.slice(0, 9), call.slice(9));
  const first = (await (await fake.post("/v1/chat/completions", body)).json()) as OpenAI.ChatCompletion;
  const { message, finish_reason } = first.choices[0]!;
  expect(finish_reason).toBe("tool_calls");
  const id = message.tool_calls![0]!.id;
  fake.engine.script = () => answering("42");
  const messages = [
    question,
    message,
    { role: "tool", tool_call_id: id, content: "42 m" },
    { role: "tool", tool_call_id: id, content: "noon" },
  ];
  const second = await fake.post("/v1/chat/completions", { ...body, messages });
  expect(second.status).toBe(200);
  expect(fake.engine.submitted[1]?.prompt).toMatchObject({
    tools: [{ name: "add", description: "Adds.", parameters: JSON.stringify(parameters) }, { name: "now" }],
    messages: [
      question,
      { role: "assistant", content: "", toolCalls: [{ id, name: "add", arguments: '{"a":1,"unit":"m"}' }] },
      { role: "tool", content: "42 m", toolCallId: id },
      { role: "tool", content: "noon", toolCallId: id },
    ],
  });
});

it.each<[string, object, string]>([
  ["required without tools", { tools: undefined, tool_choice: "required" }, "tool_choice"],
  ["an unknown name", { tool_choice: { type: "function", function: { name: "x" } } }, "tool_choice"],
  ["two of one name", { tools: [now, now] }, "tools"],
  [
    "arguments that cannot be enforced",
    {
      tools: [
        {
          type: "function",
          function: { name: "f", strict: true, parameters: { type: "object", not: { minProperties: 1 } } },
        },
      ],
    },
    "tools.0.function.parameters.not",
  ],
  ["a grammar as well", { grammar: 'root ::= "x"' }, "grammar"],
  ["a tool's message without id", { messages: [{ role: "tool", content: "x" }] }, "messages.0.tool_call_id"],
  ["a message without content", { messages: [{ role: "user" }] }, "messages.0.content"],
])("%s is refused", async (_name, fields, param) => {
  const response = await server.post("/v1/chat/completions", { ...body, ...fields });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { param } });
});

it("continue_final_message goes on in the assistant's words, in every model's own template", async () => {
  const whole = await server.client.chat.completions.create({
    model: "both",
    messages: [question],
    temperature: 0,
  });
  const text = whole.choices[0]!.message.content!;
  expect(text.length).toBeGreaterThan(2);
  const started = { role: "assistant", content: text.trimStart().slice(0, 1) };
  const fields = {
    model: "both",
    messages: [question, started],
    temperature: 0,
    continue_final_message: true,
  };
  const rest = (await (await server.post("/v1/chat/completions", fields)).json()) as OpenAI.ChatCompletion;
  expect(rest.choices[0]!.message.content!.length).toBeLessThan(text.length);
  const query = { type: "renderPrompt", configId: "both" } as const;
  const prompt = {
    type: "chat" as const,
    messages: [question, { role: "assistant" as const, content: "4" }],
  };
  const ended = await server.engine.query({ ...query, prompt: { ...prompt, ending: "continue" } });
  for (const { text: rendered } of Object.values(ended.prompts)) expect(rendered.endsWith("4")).toBe(true);
  const refused = await server.post("/v1/chat/completions", { ...fields, messages: [question] });
  expect(refused.status).toBe(400);
  const both = await server.post("/v1/chat/completions", { ...fields, add_generation_prompt: true });
  expect(await both.json()).toMatchObject({ error: { param: "add_generation_prompt" } });
});

it("allowed_tools: all are told, and only these are called", async () => {
  const choice = (mode: "auto" | "required", ...allowed: string[]) => ({
    type: "allowed_tools" as const,
    allowed_tools: {
      mode,
      tools: allowed.map((name) => ({ type: "function" as const, function: { name } })),
    },
  });
  for (const seed of [1, 2, 3, 4]) {
    const asked = { ...body, seed, temperature: 2, tool_choice: choice("required", "now") };
    const { choices } = await server.client.chat.completions.create(asked);
    const calls = choices[0]!.message.tool_calls as Call[];
    expect(new Set(calls.map((call) => call.function.name))).toEqual(new Set(["now"]));
  }
  const { model, messages, tools } = body;
  const asked = { model, messages, tools, tool_choice: choice("auto", "now") };
  const { prompt } = (await (await server.post("/apply-template", asked)).json()) as { prompt: string };
  expect(prompt).toContain('"name":"add"');
  const stranger = await server.post("/v1/chat/completions", { ...body, tool_choice: choice("auto", "sub") });
  expect(await stranger.json()).toMatchObject({ error: { param: "tool_choice" } });
});
