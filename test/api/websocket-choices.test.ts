import type OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ServerFrame } from "../../src/wire/frames.js";
import { ShouldersError } from "../../src/errors.js";
import { accepted, answering, deltaOf, doneAfter, Gate, tokenOf } from "../support/fake-engine.js";
import { startRealServer, type RealServer } from "../support/real-server.js";
import { metricOf, startTestServer, type TestServer } from "../support/server.js";
import { connect, type TestSocket } from "../support/socket.js";

/** Everything of a completion that is more than one plain text, over the WebSocket. */

const messages = [{ role: "user" as const, content: "What is 12 plus 30?" }];
const parameters = {
  type: "object",
  properties: { a: { type: "integer" }, unit: { enum: ["m", "km"] } },
  required: ["a", "unit"],
  additionalProperties: false,
};
const tools: OpenAI.ChatCompletionTool[] = [
  { type: "function", function: { name: "add", description: "Adds.", parameters } },
  { type: "function", function: { name: "now" } },
];

type DoneResponse = Extract<ServerFrame, { type: "response.done" }>["response"];

/** @returns what the one `response.done` says. */
async function ask(
  socket: TestSocket,
  response: { id: string; [field: string]: unknown },
): Promise<DoneResponse> {
  socket.send({ type: "response.create", response });
  const done = await socket.until("response.done", (frame) => frame.response.id === response.id);
  expect(socket.of("response.done").filter((frame) => frame.response.id === response.id)).toHaveLength(1);
  return done.response;
}

/** By choice: what its frames add up to. */
function textsOf(socket: TestSocket, id: string): string[] {
  const texts: string[] = [];
  for (const { response_id, choice_index, delta } of socket.of("response.output_text.delta"))
    if (response_id === id) texts[choice_index] = (texts[choice_index] ?? "") + delta;
  return texts;
}

const outcomes = async (server: TestServer, outcome: string) =>
  metricOf(server, `shoulders_requests_total{route="/v1/stream",model="both",outcome="${outcome}"}`);

describe("scripted", () => {
  it("the choices of n and of a prompt list come interleaved, and end in one response.done", async () => {
    const server = await startTestServer();
    const second = new Gate();
    server.engine.script = ({ requestId }) =>
      requestId.endsWith("-1") ? [accepted, second, deltaOf("B"), doneAfter(1)] : answering("A");
    const socket = await connect(server.url);
    socket.send({ type: "response.create", response: { id: "two", model: "both", messages, n: 2, seed: 5 } });
    await socket.until("response.output_text.done", ({ choice_index }) => choice_index === 0);
    expect(socket.of("response.done")).toEqual([]);
    second.open();
    const { response } = await socket.until("response.done");
    expect(response).toEqual({
      id: "two",
      status: "completed",
      output_text: "A",
      choices: [
        { index: 0, output_text: "A", finish_reason: "stop" },
        { index: 1, output_text: "B", finish_reason: "stop" },
      ],
      usage: {
        prompt_tokens: 7,
        completion_tokens: 4,
        total_tokens: 11,
        prompt_tokens_details: { cached_tokens: 3 },
        completion_tokens_details: { accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
        fusion: {
          nats: 1,
          flipped: 2,
          tokens: 4,
          certain: 0,
          contested: 0,
          unvouched: 0,
          base_passes: 4,
          skipped_share: 0.25,
        },
      },
      finish_reason: "stop",
    });
    const texts = socket
      .of("response.output_text.done")
      .map(({ choice_index, text }) => [choice_index, text]);
    expect(texts).toEqual([
      [0, "A"],
      [1, "B"],
    ]);
    expect(server.engine.submitted.map(({ seed }) => seed)).toEqual([5, 6]);

    server.engine.script = ({ prompt }) => answering(prompt.type === "text" ? prompt.text : "?");
    const list = await ask(socket, { id: "list", model: "both", prompt: ["x", "y"], n: 2 });
    expect(list.choices.map(({ output_text }) => output_text)).toEqual(["x", "x", "y", "y"]);
    expect(list.usage).toMatchObject({ prompt_tokens: 14, completion_tokens: 8 });
    await expect.poll(() => outcomes(server, "ok")).toBe(2);
    expect(await metricOf(server, "shoulders_generated_tokens_total")).toBe(12);
    expect(await metricOf(server, "shoulders_prompt_tokens_total")).toBe(21);
  });

  it("a choice that is cut makes the whole incomplete", async () => {
    const server = await startTestServer();
    server.engine.script = ({ requestId }) =>
      requestId.endsWith("-1") ? [accepted, deltaOf("B"), doneAfter(1, "length")] : answering("A");
    const socket = await connect(server.url);
    const response = await ask(socket, { id: "r", model: "both", messages, n: 2 });
    expect(response).toMatchObject({ status: "incomplete", finish_reason: "stop" });
    expect(response.choices[1]).toMatchObject({ finish_reason: "length" });
  });

  it("cancel ends all choices, and says what there was of them", async () => {
    const server = await startTestServer();
    const never = new Gate();
    server.engine.script = ({ requestId }) =>
      requestId.endsWith("-1") ? answering("whole") : [accepted, deltaOf("part"), never];
    const socket = await connect(server.url);
    socket.send({ type: "response.create", response: { id: "goes", model: "both", messages, n: 3 } });
    await socket.until("response.output_text.done");
    for (const index of [0, 2])
      await socket.until("response.output_text.delta", ({ choice_index }) => choice_index === index);
    socket.send({ type: "response.cancel", response_id: "goes" });
    const { response } = await socket.until("response.done");
    expect(response).toMatchObject({
      status: "cancelled",
      finish_reason: null,
      choices: [
        { index: 0, output_text: "part", finish_reason: null },
        { index: 1, output_text: "whole", finish_reason: "stop" },
        { index: 2, output_text: "part", finish_reason: null },
      ],
      usage: { prompt_tokens: 7, completion_tokens: 4 },
    });
    await server.engine.untilCancelled(2);
    expect(socket.of("response.output_text.done")).toHaveLength(3);
    expect(server.engine.stats.running).toBe(0);
    await expect.poll(() => outcomes(server, "aborted")).toBe(1);
    expect(await metricOf(server, "shoulders_requests_started_total")).toBe(1);
  });

  it("a choice that fails ends the others, once", async () => {
    const server = await startTestServer();
    const never = new Gate();
    const broken = new ShouldersError("engine_died", "It died.");
    server.engine.script = ({ requestId }) =>
      requestId.endsWith("-1") ? [accepted, deltaOf("B"), broken] : [accepted, deltaOf("A"), never];
    const socket = await connect(server.url);
    const response = await ask(socket, { id: "r", model: "both", messages, n: 2 });
    expect(response).toMatchObject({ status: "failed", error: { code: "engine_died" } });
    expect(response.choices.map(({ output_text }) => output_text)).toEqual(["A", "B"]);
    await server.engine.untilCancelled(1);
    expect(await outcomes(server, "server_error")).toBe(1);
  });

  it("a reader who pauses holds up the choices of his own response only", async () => {
    const server = await startTestServer({ drainTimeoutMs: 60_000 });
    const numDeltas = 200;
    server.engine.script = (request) =>
      request.maxTokens === 1
        ? answering("fine")
        : (function* () {
            yield accepted;
            for (let index = 0; index < numDeltas; index++)
              yield { type: "delta", text: "x".repeat(50_000), tokens: [tokenOf("x", index)] };
            yield doneAfter(numDeltas);
          })();
    const slow = await connect(server.url);
    slow.socket.pause();
    slow.send({ type: "response.create", response: { id: "slow", model: "both", messages, n: 4 } });
    await server.engine.untilSubmitted(4);
    const other = await connect(server.url);
    await ask(other, { id: "quick", model: "both", messages, max_tokens: 1 });
    // Buffers are full once nothing more is taken from the engine.
    let taken = -1;
    await expect
      .poll(() => {
        const isStill = taken === server.engine.numYielded;
        taken = server.engine.numYielded;
        return isStill;
      })
      .toBe(true);
    expect(taken).toBeLessThan(4 * numDeltas);
    slow.socket.resume();
    const { response } = await slow.until("response.done");
    expect(response.choices.map(({ output_text }) => output_text.length)).toEqual(
      Array.from({ length: 4 }, () => numDeltas * 50_000),
    );
  });

  it("calls are events in pieces, with text before them, and stand in response.done", async () => {
    const server = await startTestServer();
    const answer =
      'Well. <tool_call>{"name": "add", "arguments": {"a":1,"unit":"m"}}</tool_call>\n' +
      '<tool_call>{"name": "now", "arguments": {}}</tool_call>';
    server.engine.script = () => answering(...(answer.match(/.{1,7}/gs) ?? []));
    const socket = await connect(server.url);
    const response = await ask(socket, {
      id: "r",
      model: "both",
      messages,
      tools,
      fusion: { trace: "off" },
    });
    expect(response).toMatchObject({
      status: "completed",
      finish_reason: "tool_calls",
      output_text: "Well. ",
      choices: [
        {
          tool_calls: [
            { type: "function", function: { name: "add", arguments: '{"a":1,"unit":"m"}' } },
            { type: "function", function: { name: "now", arguments: "{}" } },
          ],
        },
      ],
    });
    const [first, second] = response.choices[0]?.tool_calls?.map(({ id }) => id) ?? [];
    expect([first, second]).toEqual([
      expect.stringMatching(/^call_\w+$/),
      expect.stringMatching(/^call_\w+$/),
    ]);
    expect(second).not.toBe(first);
    expect(textsOf(socket, "r")).toEqual(["Well. "]);
    const pieces = socket.of("response.function_call_arguments.delta");
    const joined = (callId: string | undefined) =>
      pieces.flatMap(({ call_id, delta }) => (call_id === callId ? [delta] : [])).join("");
    expect([joined(first), joined(second)]).toEqual(['{"a":1,"unit":"m"}', "{}"]);
    expect(pieces.filter(({ call_id }) => call_id === first).length).toBeGreaterThan(1);
    expect(socket.of("response.function_call_arguments.done")).toEqual([
      {
        type: "response.function_call_arguments.done",
        response_id: "r",
        choice_index: 0,
        call_id: first,
        name: "add",
        arguments: '{"a":1,"unit":"m"}',
      },
      expect.objectContaining({ call_id: second, name: "now", arguments: "{}" }),
    ]);
    // A call is over before the next begins, and all are before the response is.
    const order = socket.frames.flatMap((frame) =>
      "call_id" in frame ? [`${frame.type.split(".")[2]} ${frame.name}`] : [],
    );
    expect([...new Set(order)]).toEqual(["delta add", "done add", "delta now", "done now"]);
  });

  it("a call that is cut is told as far as it came", async () => {
    const server = await startTestServer();
    const cut = '<tool_call>{"name": "add", "arguments": {"a":1';
    server.engine.script = () => [accepted, deltaOf(cut), doneAfter(1, "length")];
    const socket = await connect(server.url);
    const response = await ask(socket, { id: "r", model: "both", messages, tools });
    expect(response).toMatchObject({ status: "incomplete", finish_reason: "length" });
    expect(socket.of("response.function_call_arguments.done")).toMatchObject([{ arguments: '{"a":1' }]);
  });
});

describe("on the starter models", () => {
  let server: RealServer;
  beforeAll(async () => {
    server = await startRealServer();
  });
  afterAll(() => server.close());

  const fusion = { trace: "weights" as const };
  const warm = { model: "both", messages, max_tokens: 12, temperature: 1, seed: 11, fusion };
  const prompt = "Question: What is 12 plus 30?\nAnswer:";

  it("n: each choice is the one that HTTP answers with the same seed, in pieces and whole", async () => {
    const whole = await server.client.chat.completions.create({ ...warm, n: 3 });
    const expected = whole.choices.map(({ message }) => message.content);
    expect(new Set(expected).size).toBeGreaterThan(1);
    const socket = await connect(server.url);
    const response = await ask(socket, { id: "r", ...warm, n: 3 });
    expect(response.choices.map(({ output_text }) => output_text)).toEqual(expected);
    expect(response.output_text).toBe(expected[0]);
    expect(response.choices.map(({ finish_reason }) => finish_reason)).toEqual(
      whole.choices.map(({ finish_reason }) => finish_reason),
    );
    expect(textsOf(socket, "r")).toEqual(expected);
    const { prompt_tokens, completion_tokens } = whole.usage!;
    expect(response.usage).toMatchObject({ prompt_tokens, completion_tokens });
    const records = socket.of("response.output_text.delta").flatMap(({ tokens }) => tokens);
    expect(records).toHaveLength(completion_tokens);
  });

  it("a prompt list with echo and logprobs is what the legacy endpoint answers", async () => {
    const body = { model: "both", prompt: [prompt, "Hello"], echo: true, logprobs: 2, max_tokens: 4 };
    const greedy = { ...body, temperature: 0 };
    const whole = await server.client.completions.create(greedy);
    const socket = await connect(server.url);
    const response = await ask(socket, { id: "r", ...greedy });
    expect(response.choices.map(({ output_text }) => output_text)).toEqual(
      whole.choices.map(({ text }) => text),
    );
    const parts = [0, 1].map((index) => {
      const frames = socket.of("response.output_text.delta").filter((frame) => frame.choice_index === index);
      return frames.flatMap(({ logprobs }) => (logprobs && "tokens" in logprobs ? [logprobs] : []));
    });
    for (const [index, { logprobs }] of whole.choices.entries()) {
      expect(parts[index]!.flatMap(({ tokens }) => tokens)).toEqual(logprobs!.tokens);
      expect(parts[index]!.flatMap(({ text_offset }) => text_offset)).toEqual(logprobs!.text_offset);
      expect(parts[index]![0]!.token_logprobs[0]).toBeNull();
    }
  });

  it("tools: the calls that HTTP answers, as events, and their results in the next turn", async () => {
    const fields = { ...warm, max_tokens: 200, tools, tool_choice: "required" as const };
    const whole = (await server.client.chat.completions.create(fields)).choices[0]!;
    const calls = whole.message.tool_calls as OpenAI.ChatCompletionMessageFunctionToolCall[];
    const socket = await connect(server.url);
    const response = await ask(socket, { id: "r", ...fields });
    const made = response.choices[0]!.tool_calls!;
    expect(made.map((call) => call.type === "function" && call.function)).toEqual(
      calls.map((call) => call.function),
    );
    expect(response.finish_reason).toBe(whole.finish_reason);
    const done = socket.of("response.function_call_arguments.done");
    expect(done.map(({ name, arguments: text }) => ({ name, arguments: text }))).toEqual(
      calls.map((call) => call.function),
    );
    const next = await ask(socket, {
      id: "next",
      model: "both",
      messages: [
        ...messages,
        { role: "assistant", content: null, tool_calls: made },
        ...made.map(({ id }) => ({ role: "tool", tool_call_id: id, content: "42" })),
      ],
      max_tokens: 4,
    });
    expect(next.error).toBeUndefined();
  });

  it("cancel and a hang-up free every choice's sequence", async () => {
    const endless = {
      ...warm,
      max_tokens: 400,
      logit_bias: { "0": -100, "1": -100, "2": -100, "3": -100 },
      n: 4,
    };
    const socket = await connect(server.url);
    socket.send({ type: "response.create", response: { id: "goes", ...endless } });
    await socket.until("response.output_text.delta", ({ choice_index }) => choice_index === 3);
    socket.send({ type: "response.cancel", response_id: "goes" });
    expect((await socket.until("response.done")).response).toMatchObject({ status: "cancelled" });
    await expect.poll(() => server.engine.stats.running).toBe(0);
    const leaving = await connect(server.url);
    leaving.send({ type: "response.create", response: endless });
    await leaving.until("response.output_text.delta");
    leaving.socket.terminate();
    await expect.poll(() => [server.engine.stats.running, server.engine.stats.waiting]).toEqual([0, 0]);
  });
});
