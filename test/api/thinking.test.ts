import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isValid } from "../support/json-schemas.js";
import { located } from "../support/members.js";
import { randomLlama, smallLlama, writeGguf } from "../support/gguf-writer.js";
import { resolvedConfig } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** Models whose template marks what is thought: told apart, switched, counted, and grammars begin after it. */

const template =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n" +
  "</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n" +
  "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}" +
  "{% endif %}";
// Of the file's control tokens, as Magistral's are.
const controls = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"];
const directory = temporaryDirectory();
let server: RealServer;

beforeAll(async () => {
  const write = (name: string, seed: number) =>
    writeGguf(
      directory.file(`${name}.gguf`),
      randomLlama({
        tokens: [...smallLlama.tokens, ...controls],
        controlTokens: [0, 1, ...controls.map((_, index) => smallLlama.tokens.length + index)],
        contextTrain: 4096,
        chatTemplate: template,
        seed,
      }),
    );
  ["base", "reference", "expert"].forEach((name, index) => write(name, index + 1));
  const config = { context: { tokens: 2048, sequences: 4 } };
  const resolved = resolvedConfig({ id: "m", base: "x", reference: "y", experts: { e: "z" }, config });
  const members = located(resolved.config, ({ role }) => directory.file(`${role}.gguf`));
  server = await serveConfigs([{ ...resolved, members }]);
});
afterAll(async () => {
  await server.close();
  directory.remove();
});

const schema = {
  type: "object",
  properties: { town: { enum: ["Bern", "Rome"] } },
  required: ["town"],
  additionalProperties: false,
};
const fields = {
  model: "m",
  messages: [{ role: "user" as const, content: "Where?" }],
  max_tokens: 80,
  temperature: 1,
  seed: 3,
  fusion: { trace: "weights" },
  response_format: { type: "json_schema" as const, json_schema: { name: "place", strict: true, schema } },
};

interface Thought {
  reasoning_content?: string;
}

it("a grammar begins after what was thought, which stands apart and is counted", async () => {
  const whole = await server.client.chat.completions.create(fields);
  const message = whole.choices[0]!.message as Thought & { content: string };
  expect(isValid(schema, message.content), message.content).toBe(true);
  expect(message.reasoning_content?.length).toBeGreaterThan(0);
  expect(message.reasoning_content).not.toMatch(/<\/?think>/);
  const { completion_tokens: all, completion_tokens_details: details } = whole.usage!;
  expect(details?.reasoning_tokens).toBeGreaterThan(1);
  expect(details?.reasoning_tokens).toBeLessThan(all);
  const { tokens } = (whole.choices[0] as unknown as { fusion: { tokens: { thought?: true }[] } }).fusion;
  expect(tokens.filter(({ thought }) => thought)).toHaveLength(details!.reasoning_tokens!);

  const streamed = { reasoning: "", content: "" };
  for await (const { choices } of await server.client.chat.completions.create({ ...fields, stream: true })) {
    const delta = choices[0]!.delta as Thought & { content?: string };
    if (delta.reasoning_content !== undefined) expect(streamed.content).toBe("");
    streamed.reasoning += delta.reasoning_content ?? "";
    streamed.content += delta.content ?? "";
  }
  expect(streamed).toEqual({ reasoning: message.reasoning_content, content: message.content });
});

it("log-probabilities are those of the content", async () => {
  const { choices } = await server.client.chat.completions.create({ ...fields, logprobs: true });
  const bytes = choices[0]!.logprobs!.content!.flatMap((entry) => entry.bytes ?? []);
  expect(Buffer.from(bytes).toString().trim()).toBe(choices[0]!.message.content);
});

it.each([
  { reasoning_effort: "none" },
  { enable_thinking: false },
  { chat_template_kwargs: { enable_thinking: false } },
  { think: false },
])("nothing is thought with %j", async (off) => {
  const body = { ...fields, ...off };
  const { choices, usage } = await server.client.chat.completions.create(body as typeof fields);
  expect(choices[0]!.message).not.toHaveProperty("reasoning_content");
  expect(isValid(schema, choices[0]!.message.content!)).toBe(true);
  expect(usage!.completion_tokens_details).not.toHaveProperty("reasoning_tokens");
});

it.each([{ include_reasoning: false }, { reasoning: { exclude: true } }])(
  "what was thought is counted and not shown with %j",
  async (hidden) => {
    const body = { ...fields, ...hidden } as typeof fields;
    const { choices, usage } = await server.client.chat.completions.create(body);
    const { message } = (await server.client.chat.completions.create(fields)).choices[0]!;
    expect(choices[0]!.message).toEqual({ role: "assistant", content: message.content, refusal: null });
    expect(usage!.completion_tokens_details?.reasoning_tokens).toBeGreaterThan(1);
    let content = "";
    for await (const { choices: parts } of await server.client.chat.completions.create({
      ...body,
      stream: true,
    })) {
      expect(parts[0]!.delta).not.toHaveProperty("reasoning_content");
      content += parts[0]!.delta.content ?? "";
    }
    expect(content).toBe(message.content);
  },
);

it("messages have it as a block where thinking is asked for, and responses as an item; both as a chat has it", async () => {
  const { model, messages, max_tokens } = fields;
  const body = { model, messages, max_tokens, temperature: 0 };
  const chat = await server.client.chat.completions.create(body);
  const thought = (chat.choices[0]!.message as Thought).reasoning_content;
  expect(thought?.length).toBeGreaterThan(0);

  const client = new Anthropic({ baseURL: server.url, apiKey: "unused", maxRetries: 0 });
  const thinking = { type: "enabled" as const, budget_tokens: 1024 };
  const whole = await client.messages.create({ ...body, thinking });
  expect(whole.content[0]).toMatchObject({ type: "thinking", thinking: thought });
  expect(whole.usage.output_tokens_details?.thinking_tokens).toBeGreaterThan(0);
  const streamed = await client.messages.stream({ ...body, thinking }).finalMessage();
  expect(streamed.content).toEqual(whole.content);
  const plain = await client.messages.create(body);
  expect(plain.content.map(({ type }) => type)).not.toContain("thinking");

  const asked = { model, input: messages, max_output_tokens: max_tokens, temperature: 0 };
  const { output } = await server.client.responses.create(asked);
  expect(output[0]).toMatchObject({
    type: "reasoning",
    content: [{ type: "reasoning_text", text: thought }],
  });
  const silent = await server.client.responses.create({ ...asked, reasoning: { effort: "none" } });
  expect(silent.output.map(({ type }) => type)).toEqual(["message"]);
});

it("what was thought can be sent back, and is told as the template tells it", async () => {
  const messages = [
    ...fields.messages,
    { role: "assistant", content: "Bern", reasoning_content: "Hm." },
    { role: "user", content: "Sure?" },
  ];
  const response = await server.post("/apply-template", { model: "m", messages });
  const { prompt } = (await response.json()) as { prompt: string };
  expect(prompt).toContain("<think>\nHm.\n</think>\n\nBern<|im_end|>");
});

it("an answer that is cut while it thinks has no content", async () => {
  const body = { ...fields, response_format: { type: "text" as const }, max_completion_tokens: 3 };
  const { choices } = await server.client.chat.completions.create(body);
  expect(choices[0]).toMatchObject({ finish_reason: "length", message: { content: "" } });
  expect((choices[0]!.message as Thought).reasoning_content).toEqual(expect.any(String));
});
