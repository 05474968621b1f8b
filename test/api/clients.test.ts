import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import {
  generateObject,
  generateText,
  stepCountIs,
  streamText,
  tool as aiTool,
  type LanguageModel,
  type ToolSet,
} from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { startRealServer, type RealServer } from "../support/real-server.js";

let server: RealServer;
beforeAll(async () => {
  server = await startRealServer();
});
afterAll(() => server.close());

const question = "What is the home town of Venur Gevol?";
const shape = z.object({ town: z.string().max(12), sure: z.boolean() });

describe("LangChain", () => {
  const model = (fields: object = {}) =>
    new ChatOpenAI({
      model: "both",
      apiKey: "unused",
      configuration: { baseURL: `${server.url}/v1` },
      temperature: 0,
      maxTokens: 400,
      maxRetries: 0,
      ...fields,
    });

  it.each([false, true])("answers, whole and streamed; by responses: %s", async (useResponsesApi) => {
    const whole = await model({ useResponsesApi }).invoke(question);
    expect(whole.text.length).toBeGreaterThan(0);
    expect(whole).toMatchObject({ usage_metadata: { total_tokens: expect.any(Number) as number } });
    let streamed = "";
    for await (const chunk of await model({ useResponsesApi }).stream(question)) streamed += chunk.text;
    expect(streamed).toBe(whole.text);
  });

  it("structured output and tools", async () => {
    const answer = await model().withStructuredOutput(shape, { method: "jsonSchema" }).invoke(question);
    expect(shape.parse(answer)).toEqual(answer);
    const lookUp = tool(() => "found", { name: "look_up", description: "Looks up.", schema: shape });
    const called = await model().bindTools([lookUp], { tool_choice: "required" }).invoke(question);
    expect(called.tool_calls?.[0]?.name).toBe("look_up");
    expect(shape.parse(called.tool_calls?.[0]?.args)).toBeTruthy();
  });
});

/** Its providers: one for chat completions, its default one for responses, one for messages. */
const providers: Record<string, () => LanguageModel> = {
  compatible: () =>
    createOpenAICompatible({
      name: "shoulders",
      baseURL: `${server.url}/v1`,
      supportsStructuredOutputs: true,
      includeUsage: true,
    })("both"),
  openai: () => createOpenAI({ baseURL: `${server.url}/v1`, apiKey: "unused" })("both"),
  anthropic: () => createAnthropic({ baseURL: `${server.url}/v1`, apiKey: "unused" })("both"),
};

describe.each(Object.entries(providers))("the AI SDK's provider %s", (_name, model) => {
  const common = { maxOutputTokens: 400, temperature: 0, prompt: question, maxRetries: 0 };

  it("answers, whole and streamed, with usage", async () => {
    const whole = await generateText({ model: model(), ...common });
    expect(whole.text.length).toBeGreaterThan(0);
    const stream = streamText({ model: model(), ...common });
    let streamed = "";
    for await (const piece of stream.textStream) streamed += piece;
    expect(streamed).toBe(whole.text);
    expect((await stream.usage).totalTokens).toBe(whole.usage.totalTokens);
  });

  it("objects and tools", async () => {
    const { object } = await generateObject({ model: model(), schema: shape, ...common });
    expect(shape.parse(object)).toEqual(object);
    // Its types do not allow for exactOptionalPropertyTypes.
    const tools = { look_up: aiTool({ description: "Looks up.", inputSchema: shape }) } as unknown as ToolSet;
    const called = await generateText({ model: model(), tools, toolChoice: "required", ...common });
    expect(called.finishReason).toBe("tool-calls");
    expect(called.toolCalls[0]?.toolName).toBe("look_up");
  });

  it("steps: a call, its result, and an answer", async () => {
    const execute = () => "It is Bern.";
    const tools = {
      look_up: aiTool({ description: "Looks up.", inputSchema: shape, execute }),
    } as unknown as ToolSet;
    const { steps } = await generateText({
      ...common,
      model: model(),
      tools,
      stopWhen: stepCountIs(2),
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
    });
    expect(steps).toHaveLength(2);
    expect(steps[0]?.toolResults[0]).toMatchObject({ toolName: "look_up", output: "It is Bern." });
    expect(["stop", "length"]).toContain(steps[1]?.finishReason);
  });
});

it("curl, as a stranger types it", async () => {
  const data = JSON.stringify({
    model: "both",
    messages: [{ role: "user", content: question }],
    stream: true,
  });
  const { stdout } = await promisify(execFile)("curl", [
    "-sN",
    `${server.url}/v1/chat/completions`,
    "-H",
    "Content-Type: application/json",
    "-d",
    data,
  ]);
  expect(stdout.trimEnd().endsWith("data: [DONE]")).toBe(true);
  const list = await promisify(execFile)("curl", ["-s", `${server.url}/v1/models`]);
  expect(JSON.parse(list.stdout)).toMatchObject({ object: "list" });
});
