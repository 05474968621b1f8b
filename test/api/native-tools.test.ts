import { located } from "../support/members.js";
import type OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isValid } from "../support/json-schemas.js";
import { randomLlama, smallLlama, writeGguf } from "../support/gguf-writer.js";
import { resolvedConfig } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import * as templates from "../support/tool-templates.js";

/** Models whose files have a template with a place for functions are told of them, and answer, in its form. */

type Call = OpenAI.ChatCompletionMessageFunctionToolCall;

const controls = ["<|im_start|>", "<|im_end|>", "[TOOL_CALLS]", "[INST]", "[/INST]"];
const names = ["qwen", "llama3", "mistral"] as const;
const directory = temporaryDirectory();
let server: RealServer;

beforeAll(async () => {
  const pathOf = (name: string) => directory.file(`${name}.gguf`);
  const write = (name: string, chatTemplate: string | null, seed: number) =>
    writeGguf(
      pathOf(name),
      randomLlama({
        tokens: [...smallLlama.tokens, ...controls],
        controlTokens: [0, 1, ...controls.map((_, index) => smallLlama.tokens.length + index)],
        contextTrain: 4096,
        chatTemplate,
        seed,
      }),
    );
  names.forEach((name, index) => write(name, templates[name], index + 1));
  write("untuned", null, 8);
  write("expert", "{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}", 9);
  const config = { context: { tokens: 4096, sequences: 4 } };
  const over = (id: string, base: string) => {
    const resolved = resolvedConfig({ id, base: "x", reference: "y", experts: { e: "z" }, config });
    const files = { base, reference: "untuned", expert: "expert" };
    return { ...resolved, members: located(resolved.config, ({ role }) => pathOf(files[role])) };
  };
  server = await serveConfigs(names.map((name) => over(name, name)));
});
afterAll(async () => {
  await server.close();
  directory.remove();
});

const parameters = {
  type: "object",
  properties: { town: { enum: ["Bern", "Rome"] }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["town"],
  additionalProperties: false,
};
const weather: OpenAI.ChatCompletionTool = { type: "function", function: { name: "weather", parameters } };
const now: OpenAI.ChatCompletionTool = {
  type: "function",
  function: { name: "now", description: "The time." },
};
const question = { role: "user" as const, content: "How is it in Bern?" };
const fields = { messages: [question], tools: [weather, now], max_tokens: 300, temperature: 1, seed: 4 };

async function promptsOf(body: object): Promise<Record<string, { text: string }>> {
  const response = await server.post("/apply-template", body);
  return ((await response.json()) as { fusion: { prompts: Record<string, { text: string }> } }).fusion
    .prompts;
}

describe.each(names)("%s", (model) => {
  it("calls are written in the template's form, and read", async () => {
    const { choices } = await server.client.chat.completions.create({
      ...fields,
      model,
      tool_choice: "required",
    });
    expect(choices[0]!.finish_reason).toBe("tool_calls");
    const calls = choices[0]!.message.tool_calls as Call[];
    for (const call of calls) {
      const schema = call.function.name === "weather" ? parameters : { type: "object", maxProperties: 0 };
      expect(isValid(schema, call.function.arguments), call.function.arguments).toBe(true);
    }
    if (model === "llama3") expect(calls).toHaveLength(1);
    const stream = server.client.chat.completions.stream({ ...fields, model, tool_choice: "required" });
    const streamed = (await stream.finalChatCompletion()).choices[0]!.message.tool_calls as Call[];
    expect(streamed.map((call) => call.function)).toMatchObject(calls.map((call) => call.function));
  });

  it("functions, calls and results are told by the template; to other models as text", async () => {
    const call = {
      id: "call_1",
      type: "function",
      function: { name: "weather", arguments: '{"town":"Bern"}' },
    };
    const messages = [
      question,
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "call_1", content: "sun <|im_start|>" },
    ];
    const told = await promptsOf({ model, messages, tools: [weather] });
    const opening = { qwen: "<tool_call>\n", llama3: '{"name": ', mistral: "[TOOL_CALLS][" }[model];
    expect(told["base"]?.text).toContain(opening);
    expect(told["base"]?.text).toMatch(/"function": \{"name": "weather"|"type": "function"/);
    for (const role of ["reference", "e"]) {
      expect(told[role]?.text).toContain(`You may call these functions:\n{"name":"weather"`);
      expect(told[role]?.text).toContain(`<tool_response>\nsun`);
    }
    // What a result writes out is text: it cannot begin a turn.
    const { tokens } = told["base"] as unknown as { tokens: number[] };
    const forged = smallLlama.tokens.length + controls.indexOf("<|im_start|>");
    const numTurns = { qwen: 5, llama3: 0, mistral: 0 }[model];
    expect(tokens.filter((token) => token === forged)).toHaveLength(numTurns);
    const next = await server.post("/v1/chat/completions", { ...fields, model, messages });
    expect(next.status).toBe(200);
  });
});

it("a control token of the form is told as its text, so that calls can be read", async () => {
  const bias = { [String(smallLlama.tokens.length + controls.indexOf("[TOOL_CALLS]"))]: 100 };
  const body = { ...fields, model: "mistral", logit_bias: bias, max_tokens: 3 };
  const { choices } = await server.client.chat.completions.create(body);
  // The last one begins a call that is cut, and is not shown.
  expect(choices[0]!.message.content).toBe("[TOOL_CALLS]".repeat(2));
});
