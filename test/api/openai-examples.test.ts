import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { answering } from "../support/fake-engine.js";
import { startRealServer, type RealServer } from "../support/real-server.js";
import { startTestServer } from "../support/server.js";

/** The examples of the openai package's own README and helpers, against the real engine: only names are ours. */

let server: RealServer;
let client: OpenAI;
beforeAll(async () => {
  server = await startRealServer();
  ({ client } = server);
});
afterAll(() => server.close());

const model = "both";
const question = "What is the home town of Venur Gevol?";
const messages = [{ role: "user" as const, content: question }];
const shape = z.object({ town: z.string().max(12), sure: z.boolean() });

describe("responses", () => {
  const plain = { model, instructions: question, input: question, temperature: 0 };

  it("create, streamed and not, say the same as a chat", async () => {
    const chat = await client.chat.completions.create({
      model,
      messages: [{ role: "system", content: plain.instructions }, ...messages],
      temperature: 0,
    });
    const expected = chat.choices[0]?.message.content;
    expect(expected).not.toBe("");
    const response = await client.responses.create(plain);
    expect(response.output_text).toBe(expected);
    expect(response.usage?.output_tokens).toBe(chat.usage?.completion_tokens);

    const types: string[] = [];
    let text = "";
    for await (const event of await client.responses.create({ ...plain, stream: true })) {
      types.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.completed")
        expect(event.response.output[0]).toMatchObject({ content: [{ text }] });
    }
    expect(text).toBe(expected);
    expect([types[0], types.at(-1)]).toEqual(["response.created", "response.completed"]);
  });

  it("the stream helper, and parse with zod", async () => {
    const stream = client.responses.stream({ ...plain, text: { format: zodTextFormat(shape, "answer") } });
    let text = "";
    stream.on("response.output_text.delta", ({ delta }) => (text += delta));
    const final = await stream.finalResponse();
    expect(final.output_text).toBe(text);
    expect(shape.parse(final.output_parsed)).toEqual(JSON.parse(text));
    const parsed = await client.responses.parse({
      ...plain,
      text: { format: zodTextFormat(shape, "answer") },
    });
    expect(parsed.output_parsed).toEqual(final.output_parsed);
  });

  it("previous_response_id goes on with the conversation, whose tokens can be counted before", async () => {
    const { id } = await client.responses.create(plain);
    const { model, instructions, input } = plain;
    const asked = { model, instructions, input, previous_response_id: id };
    const { object, input_tokens } = await client.responses.inputTokens.count(asked);
    const next = await client.responses.create({ ...plain, previous_response_id: id });
    expect([object, input_tokens]).toEqual(["response.input_tokens", next.usage?.input_tokens]);
    expect(next.previous_response_id).toBe(id);
    expect(next.usage?.input_tokens).toBeGreaterThan(
      (await client.responses.create(plain)).usage!.input_tokens,
    );
  });

  it("the conversation may be sent instead, with the answer as it came", async () => {
    const first = await client.responses.create(plain);
    const input = [
      { role: "user" as const, content: question },
      ...first.output,
      { role: "user" as const, content: "And?" },
    ];
    const second = await client.responses.create({ model, input: input as OpenAI.Responses.ResponseInput });
    expect(second.status).toMatch(/^(completed|incomplete)$/);
  });
});

describe("chat", () => {
  it("the stream helper's events add up to its final message", async () => {
    const stream = client.chat.completions.stream({
      model,
      messages,
      temperature: 0,
      stream_options: { include_usage: true },
    });
    let text = "";
    stream.on("content", (delta) => (text += delta));
    const content = await stream.finalContent();
    expect(content).toBe(text);
    const whole = await client.chat.completions.create({ model, messages, temperature: 0 });
    expect(content).toBe(whole.choices[0]?.message.content);
    expect((await stream.totalUsage()).total_tokens).toBe(whole.usage?.total_tokens);
  });

  it("the stream helper parses, too", async () => {
    const stream = client.chat.completions.stream({
      model,
      messages,
      temperature: 0,
      response_format: zodResponseFormat(shape, "answer"),
    });
    const { choices } = await stream.finalChatCompletion();
    expect(shape.parse(choices[0]?.message.parsed)).toEqual(JSON.parse(choices[0]?.message.content ?? ""));
  });

  it("parse gives the arguments of a zod function", async () => {
    const completion = await client.chat.completions.parse({
      model,
      messages,
      tools: [zodFunction({ name: "look_up", parameters: shape })],
      tool_choice: "required",
      parallel_tool_calls: false,
      max_tokens: 200,
    });
    const call = completion.choices[0]?.message.tool_calls?.[0];
    expect(shape.parse(call?.function.parsed_arguments)).toEqual(call?.function.parsed_arguments);
  });

  it("runTools calls the function, with what was parsed", async () => {
    const seen: unknown[] = [];
    const runner = client.chat.completions.runTools({
      model,
      messages,
      max_tokens: 200,
      tools: [zodFunction({ name: "look_up", parameters: shape, function: (args) => void seen.push(args) })],
      tool_choice: { type: "function", function: { name: "look_up" } },
    });
    await runner.done();
    expect(seen).toHaveLength(1);
    expect(shape.parse(seen[0])).toEqual(seen[0]);
  });

  it("runTools goes on with the result until there is an answer, streamed or not", async () => {
    const scripted = await startTestServer();
    const own = new OpenAI({ baseURL: `${scripted.url}/v1`, apiKey: "unused", maxRetries: 0 });
    scripted.engine.script = ({ prompt }) => {
      const hasResult = prompt.type === "chat" && prompt.messages.at(-1)?.role === "tool";
      if (hasResult) return answering("It is", " Bofield.");
      const call = '<tool_call>{"name": "look_up", "arguments": {"town":"B","sure":true}}</tool_call>';
      return answering(call.slice(0, 30), call.slice(30));
    };
    const lookUp = zodFunction({
      name: "look_up",
      parameters: shape,
      function: ({ town }) => `${town}: found`,
    });
    const fields = { model, messages, tools: [lookUp] };
    expect(await own.chat.completions.runTools(fields).finalContent()).toBe("It is Bofield.");
    expect(await own.chat.completions.runTools({ ...fields, stream: true }).finalContent()).toBe(
      "It is Bofield.",
    );
    expect(scripted.engine.submitted).toHaveLength(4);
    for (const index of [1, 3])
      expect(scripted.engine.submitted[index]?.prompt).toMatchObject({
        messages: [{}, { toolCalls: [{ name: "look_up" }] }, { role: "tool", content: "B: found" }],
      });
  });
});

describe("legacy completions", () => {
  it("echo with logprobs, as evaluation harnesses ask", async () => {
    const prompt = "Question: What is 12 plus 30?\nAnswer:";
    const { choices } = await client.completions.create({
      model,
      prompt: [prompt],
      echo: true,
      logprobs: 1,
      max_tokens: 0,
    });
    const { text, logprobs } = choices[0]!;
    expect(text).toBe(prompt);
    expect(logprobs?.tokens?.join("")).toBe(prompt);
    const [first, ...others] = logprobs?.token_logprobs ?? [];
    expect(first).toBeNull();
    expect(others.every((logprob) => logprob <= 0)).toBe(true);
  });
});

it("system_fingerprint tells configs of the same models apart, and stays", async () => {
  const fingerprintOf = async (of: string) => {
    const answer = await server.post("/v1/chat/completions", { model: of, messages, max_tokens: 1 });
    return ((await answer.json()) as { system_fingerprint: string }).system_fingerprint;
  };
  const both = await fingerprintOf("both");
  expect(both).toMatch(/^fp_/);
  expect(await fingerprintOf("both")).toBe(both);
  expect(await fingerprintOf("plausible")).not.toBe(both);
  expect(await fingerprintOf("giant")).not.toBe(both);
});
