import type OpenAI from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startRealServer, type RealServer } from "../support/real-server.js";

/** The official SDK's responses against real models. */

let server: RealServer;
let responses: OpenAI.Responses;
beforeAll(async () => {
  server = await startRealServer();
  ({ responses } = server.client);
});
afterAll(() => server.close());

const question = "What is the home town of Venur Gevol?";
const plain = { model: "both", input: question, temperature: 0, max_output_tokens: 60 };
const lookUp = {
  type: "function" as const,
  name: "look_up",
  description: "Looks up.",
  parameters: {
    type: "object",
    properties: { town: { enum: ["Bern", "Rome"] } },
    required: ["town"],
    additionalProperties: false,
  },
  strict: true,
};
const tooled = { ...plain, max_output_tokens: 300, tools: [lookUp] };

type Call = OpenAI.Responses.ResponseFunctionToolCall;
const callsOf = ({ output }: OpenAI.Responses.Response) =>
  output.filter((item): item is Call => item.type === "function_call");

it("whole = streamed = /v1/chat/completions, with the same counts", async () => {
  const whole = await responses.create(plain);
  const streamed = await responses.stream(plain).finalResponse();
  const chat = await server.client.chat.completions.create({
    model: "both",
    temperature: 0,
    max_completion_tokens: 60,
    messages: [{ role: "user", content: question }],
  });
  expect(whole.output_text).toBe(chat.choices[0]?.message.content);
  expect(streamed.output_text).toBe(whole.output_text);
  expect(whole.usage).toMatchObject({
    input_tokens: chat.usage?.prompt_tokens,
    output_tokens: chat.usage?.completion_tokens,
  });
});

it("tools: required, named and none; streamed as whole", async () => {
  for (const tool_choice of ["required", { type: "function", name: "look_up" }] as const) {
    const whole = await responses.create({ ...tooled, tool_choice, parallel_tool_calls: false });
    expect(callsOf(whole)).toHaveLength(1);
    const { arguments: json } = callsOf(whole)[0]!;
    expect(["Bern", "Rome"]).toContain((JSON.parse(json) as { town: string }).town);
    const streamed = await responses
      .stream({ ...tooled, tool_choice, parallel_tool_calls: false })
      .finalResponse();
    expect(callsOf(streamed).map((call) => call.arguments)).toEqual([json]);
  }
  expect(callsOf(await responses.create({ ...tooled, tool_choice: "none" }))).toEqual([]);
});

it("parallel calls are items of their own, and the conversation goes on from what is kept", async () => {
  const first = await responses.create({ ...tooled, tool_choice: "required", temperature: 1 });
  const calls = callsOf(first);
  expect(calls.length).toBeGreaterThan(0);
  const outputs = calls.map(({ call_id }) => ({
    type: "function_call_output" as const,
    call_id,
    output: "It is Bern.",
  }));
  const kept = await responses.create({
    ...tooled,
    tool_choice: "none",
    input: outputs,
    previous_response_id: first.id,
  });
  const sent = await responses.create({
    ...tooled,
    tool_choice: "none",
    store: false,
    input: [{ role: "user", content: question }, ...first.output, ...outputs] as never,
  });
  expect(kept.usage?.input_tokens).toBe(sent.usage?.input_tokens);
  expect(kept.output_text).toBe(sent.output_text);
});

it("text.format is held to", async () => {
  const { parameters: schema, strict } = lookUp;
  const format = { type: "json_schema" as const, name: "place", schema, strict };
  const { output_text } = await responses.create({ ...plain, max_output_tokens: 200, text: { format } });
  expect(["Bern", "Rome"]).toContain((JSON.parse(output_text) as { town: string }).town);
});

it("a custom tool's input is of its grammar, whole and streamed", async () => {
  const definition = `start: (line LF)+ "end"
line: "+" /[a-z ]{1,12}/ | "-" INT
%import common (INT, LF)`;
  const format = { type: "grammar" as const, syntax: "lark" as const, definition };
  const tools = [{ type: "custom" as const, name: "patch", format }];
  const asked = { ...tooled, tools, tool_choice: { type: "custom", name: "patch" } as const };
  const fits = /^(?:(?:\+[a-z ]{1,12}|-\d+)\n)+end$/;
  const whole = await responses.create(asked);
  const streamed = await responses.stream(asked).finalResponse();
  for (const { output } of [whole, streamed])
    expect(output).toMatchObject([
      { type: "custom_tool_call", status: "completed", input: expect.stringMatching(fits) as string },
    ]);
});

it("in the background, and in a conversation, the answer is the same", async () => {
  const whole = await responses.create(plain);
  const stream = await responses.create({ ...plain, background: true, stream: true });
  let id = "";
  // The stream is left at once, and followed again.
  for await (const event of stream) {
    if (event.type === "response.created") id = event.response.id;
    break;
  }
  let told = "";
  for await (const event of await responses.retrieve(id, { stream: true }))
    if (event.type === "response.output_text.delta") told += event.delta;
  expect(told).toBe(whole.output_text);
  expect((await responses.retrieve(id)).output_text).toBe(told);
  const running = await responses.create({ ...plain, max_output_tokens: 2000, background: true });
  expect((await responses.cancel(running.id)).status).toMatch(/cancelled|completed/);
  const { id: conversation } = await server.client.conversations.create();
  const first = await responses.create({ ...plain, conversation });
  expect(first.output_text).toBe(whole.output_text);
  const next = await responses.create({ ...plain, input: "And why?", conversation });
  const same = await responses.create({ ...plain, input: "And why?", previous_response_id: first.id });
  expect(next.usage?.input_tokens).toBe(same.usage?.input_tokens);
});
