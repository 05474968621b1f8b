import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startRealServer, type RealServer } from "../support/real-server.js";

/** The official SDK against real models. */

let server: RealServer;
let client: Anthropic;
beforeAll(async () => {
  server = await startRealServer();
  client = new Anthropic({ baseURL: server.url, apiKey: "unused", maxRetries: 0 });
});
afterAll(() => server.close());

const question = "What is the home town of Venur Gevol?";
const plain = {
  model: "both",
  max_tokens: 60,
  temperature: 0,
  messages: [{ role: "user" as const, content: question }],
};
const lookUp: Anthropic.Tool = {
  name: "look_up",
  description: "Looks up.",
  input_schema: {
    type: "object",
    properties: { town: { enum: ["Bern", "Rome"] }, sure: { type: "boolean" } },
    required: ["town", "sure"],
    additionalProperties: false,
  },
};
const wait: Anthropic.Tool = {
  name: "wait",
  input_schema: { type: "object", properties: {}, additionalProperties: false },
};
const tooled = { ...plain, max_tokens: 300, tools: [lookUp, wait] };

const textOf = ({ content }: Anthropic.Message) =>
  content.map((block) => (block.type === "text" ? block.text : "")).join("");

it("whole = streamed = /v1/chat/completions, with the same counts", async () => {
  const whole = await client.messages.create(plain);
  const streamed = await client.messages.stream(plain).finalMessage();
  const chat = await server.client.chat.completions.create({ ...plain, messages: plain.messages });
  expect(textOf(whole)).toBe(chat.choices[0]?.message.content);
  expect(textOf(streamed)).toBe(textOf(whole));
  expect(whole.stop_reason).toBe(chat.choices[0]?.finish_reason === "length" ? "max_tokens" : "end_turn");
  const read = ({ usage }: Anthropic.Message) =>
    usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0);
  expect([read(whole), read(streamed)]).toEqual([chat.usage?.prompt_tokens, chat.usage?.prompt_tokens]);
  expect(whole.usage.output_tokens).toBe(chat.usage?.completion_tokens);
  const { model, messages } = plain;
  expect((await client.messages.countTokens({ model, messages })).input_tokens).toBe(read(whole));
});

it("a stop sequence is named and no part of the answer", async () => {
  const whole = textOf(await client.messages.create(plain));
  const stop = whole.slice(2, 4);
  const stopped = await client.messages.create({ ...plain, stop_sequences: ["never said", stop] });
  expect(stopped).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: stop });
  expect(textOf(stopped)).toBe(whole.slice(0, whole.indexOf(stop)));
  const cut = await client.messages.create({ ...plain, max_tokens: 1 });
  expect(cut).toMatchObject({ stop_reason: "max_tokens", usage: { output_tokens: 1 } });
});

it("an answer that was begun goes on", async () => {
  const whole = textOf(await client.messages.create(plain));
  const begun = await client.messages.create({
    ...plain,
    messages: [...plain.messages, { role: "assistant", content: whole.slice(0, -2) }],
  });
  expect(textOf(begun).length).toBeLessThan(whole.length);
});

describe("tools", () => {
  const uses = ({ content }: Anthropic.Message) => content.filter((block) => block.type === "tool_use");

  it("any and a named one: a call whose input matches; streamed as whole", async () => {
    for (const tool_choice of [
      { type: "any", disable_parallel_tool_use: true },
      { type: "tool", name: "look_up" },
    ] as const) {
      const whole = await client.messages.create({ ...tooled, tool_choice });
      expect(whole.stop_reason).toBe("tool_use");
      expect(uses(whole)).toHaveLength(1);
      const [{ name, input }] = uses(whole) as [Anthropic.ToolUseBlock];
      if (tool_choice.type === "tool") expect(name).toBe("look_up");
      if (name === "look_up") {
        const { town, sure } = input as { town: string; sure: boolean };
        expect(["Bern", "Rome"]).toContain(town);
        expect(typeof sure).toBe("boolean");
      } else expect(input).toEqual({});
      const final = await client.messages.stream({ ...tooled, tool_choice }).finalMessage();
      expect(uses(final).map((block) => [block.name, block.input])).toEqual([[name, input]]);
    }
  });

  it("auto may and none must answer in text", async () => {
    const auto = await client.messages.create({ ...tooled, tool_choice: { type: "auto" } });
    expect(["end_turn", "tool_use", "max_tokens"]).toContain(auto.stop_reason);
    const none = await client.messages.create({ ...tooled, tool_choice: { type: "none" } });
    expect(uses(none)).toEqual([]);
    expect(textOf(none).length).toBeGreaterThan(0);
  });

  it("the conversation goes on after the result of a call", async () => {
    const first = await client.messages.create({ ...tooled, tool_choice: { type: "tool", name: "look_up" } });
    const [use] = uses(first) as [Anthropic.ToolUseBlock];
    const result = { type: "tool_result" as const, tool_use_id: use.id, content: "Bern it is." };
    const next = await client.messages.create({
      ...tooled,
      tool_choice: { type: "none" },
      messages: [
        ...plain.messages,
        { role: "assistant", content: first.content },
        { role: "user", content: [result] },
      ],
    });
    expect(next.usage.input_tokens + (next.usage.cache_read_input_tokens ?? 0)).toBeGreaterThan(20);
    expect(["end_turn", "max_tokens"]).toContain(next.stop_reason);
  });
});

it("output that matches a schema", async () => {
  const { properties, required } = lookUp.input_schema;
  const schema = { type: "object", properties, required, additionalProperties: false };
  const message = await client.messages.create({
    ...plain,
    max_tokens: 200,
    output_config: { format: { type: "json_schema", schema } },
  });
  expect(["Bern", "Rome"]).toContain((JSON.parse(textOf(message)) as { town: string }).town);
});
