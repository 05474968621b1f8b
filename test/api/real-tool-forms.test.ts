import type OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { located } from "../support/members.js";
import { randomLlama, smallLlama, writeGguf } from "../support/gguf-writer.js";
import { isValid } from "../support/json-schemas.js";
import { resolvedConfig } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { templateVectors } from "../support/template-vectors.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** Models with the templates of well-known ones, whose marks are control tokens of their vocabularies as in their files. */

type Call = OpenAI.ChatCompletionMessageFunctionToolCall;

/** A template, and the control tokens that its models have. */
const models: Record<string, string> = {
  "Qwen3-Coder": "<|im_start|> <|im_end|> <tool_call> </tool_call>",
  "GLM-4.6": "[gMASK] <sop> <|user|> <|assistant|> <|observation|> <think> </think> <arg_key> </arg_key>",
  "MiniMax-M2": "]~b] [e~[ <minimax:tool_call> </minimax:tool_call>",
  "MiniMax-M3": "]~b] [e~[ ]<]minimax[>[ <mm:think> </mm:think>",
  "muse-glimmer": "<|start|> <|message|> <|eot|> <|eom|>",
  "Kimi-K3": "<|open|> <|close|> <|sep|> <|end_of_msg|>",
  "meetkai-functionary-medium-v3.2": "<|start_header_id|> <|end_header_id|> <|eot_id|>",
  "fireworks-ai-llama-3-firefunction-v2": "<|start_header_id|> <|end_header_id|> <|eot_id|>",
  "deepseek-ai-DeepSeek-V3.2": "<｜User｜> <｜Assistant｜> ｜DSML｜ <think> </think>",
  "google-gemma-4-31B-it": `<|turn> <turn|> <|tool_call> <tool_call|> <|"|> <|channel> <channel|>`,
  "LFM2.5-8B-A1B": "<|im_start|> <|im_end|> <|tool_call_start|> <|tool_call_end|>",
  "openai-gpt-oss-120b": "<|start|> <|end|> <|message|> <|channel|> <|constrain|> <|call|> <|return|>",
  "Kimi-K2-Instruct":
    "<|im_system|> <|im_middle|> <|im_end|> <|tool_calls_section_begin|> <|tool_calls_section_end|> " +
    "<|tool_call_begin|> <|tool_call_argument_begin|> <|tool_call_end|>",
  "Mistral-Small-3.2-24B-Instruct-2506": "[INST] [/INST] [TOOL_CALLS] [CALL_ID] [ARGS]",
  "upstage-Solar-Open-100B":
    "<|begin|> <|end|> <|think|> <|content|> <|tool_calls|> <|tool_call:begin|> <|tool_call:name|> " +
    "<|tool_call:args|> <|tool_call:end|> <|calls|>",
  "GigaChat3-10B-A1.8B": "<|message_sep|> <|role_sep|>",
  "deepseek-ai-DeepSeek-V3.1":
    "<｜User｜> <｜Assistant｜> <｜tool▁calls▁begin｜> <｜tool▁call▁begin｜> <｜tool▁sep｜> <｜tool▁call▁end｜> <｜tool▁calls▁end｜>",
};
/** The control token that ends an answer, where it is to be more than a mark. */
const ends: Record<string, string> = { "Kimi-K3": "<|end_of_msg|>" };
const names = Object.keys(models);
const idOf = (name: string) => name.toLowerCase();
const directory = temporaryDirectory();
let server: RealServer;

beforeAll(async () => {
  const configs = names.map((name, index) => {
    const controls = models[name]!.split(" ");
    const file = directory.file(`${name}.gguf`);
    const content = randomLlama({
      tokens: [...smallLlama.tokens, ...controls],
      controlTokens: [0, 1, ...controls.map((_, at) => smallLlama.tokens.length + at)],
      contextTrain: 8192,
      chatTemplate: templateVectors.templates[name]!,
      ...(ends[name] && { eos: smallLlama.tokens.length + controls.indexOf(ends[name]) }),
      seed: index + 1,
    });
    writeGguf(file, content);
    const resolved = resolvedConfig({
      id: idOf(name),
      base: "x",
      config: { context: { tokens: 8192, sequences: 2 } },
    });
    return { ...resolved, members: located(resolved.config, () => file) };
  });
  server = await serveConfigs(configs);
}, 240_000);
afterAll(async () => {
  await server.close();
  directory.remove();
});

const parameters = {
  type: "object",
  properties: {
    town: { enum: ["Bern", "Rome"] },
    note: { type: "string" },
    days: { type: "integer", minimum: 1, maximum: 9 },
    tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 2 },
  },
  required: ["town", "days"],
  additionalProperties: false,
};
const weather: OpenAI.ChatCompletionTool = {
  type: "function",
  function: { name: "weather", description: "How it is.", parameters, strict: true },
};
const now: OpenAI.ChatCompletionTool = {
  type: "function",
  function: { name: "now", description: "The time." },
};
const question = { role: "user" as const, content: "How is it in Bern?" };
const fields = {
  messages: [question],
  tools: [weather, now],
  max_completion_tokens: 500,
  temperature: 1,
  seed: 4,
};

function expectCalls(calls: readonly Call[]): void {
  expect(calls.length).toBeGreaterThan(0);
  for (const { function: called } of calls) {
    const schema = called.name === "weather" ? parameters : { type: "object", maxProperties: 0 };
    expect(isValid(schema, called.arguments), called.arguments).toBe(true);
  }
}

async function promptOf(body: object): Promise<string> {
  const response = await server.post("/apply-template", body);
  const answer = (await response.json()) as { prompt: string };
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return answer.prompt;
}

describe.each(names)("%s", (name) => {
  const model = idOf(name);

  it("required: calls that match, whole and streamed alike", async () => {
    const asked = { ...fields, model, tool_choice: "required" as const, parallel_tool_calls: false };
    const { choices } = await server.client.chat.completions.create(asked);
    expect(choices[0]!.finish_reason).toBe("tool_calls");
    expect(choices[0]!.message.content).toBeNull();
    const calls = choices[0]!.message.tool_calls as Call[];
    expectCalls(calls);
    const stream = server.client.chat.completions.stream(asked);
    const streamed = (await stream.finalChatCompletion()).choices[0]!.message.tool_calls as Call[];
    expect(streamed.map((call) => call.function)).toMatchObject(calls.map((call) => call.function));
  });

  it("required: several calls are whole at the cap at the latest", async () => {
    const asked = { ...fields, model, tool_choice: "required" as const, seed: 2 };
    const { choices } = await server.client.chat.completions.create(asked);
    expect(choices[0]!.finish_reason).toBe("tool_calls");
    expectCalls(choices[0]!.message.tool_calls as Call[]);
  });

  it("named: one call of this function, whatever stops are asked for", async () => {
    const { choices } = await server.client.chat.completions.create({
      ...fields,
      model,
      stop: ["B", "R", '"'],
      tool_choice: { type: "function", function: { name: "weather" } },
    });
    expect(choices[0]!.finish_reason).toBe("tool_calls");
    const calls = choices[0]!.message.tool_calls as Call[];
    expectCalls(calls);
    expect(calls.map((call) => call.function.name)).toEqual(["weather"]);
  });

  it("a call that the cap cuts is neither shown nor counted", async () => {
    for (const cut of [4, 12, 20]) {
      const { choices } = await server.client.chat.completions.create({
        ...fields,
        model,
        tool_choice: { type: "function", function: { name: "weather" } },
        max_completion_tokens: cut,
      });
      const { content, tool_calls: calls } = choices[0]!.message;
      if (choices[0]!.finish_reason === "tool_calls") expectCalls(calls as Call[]);
      else {
        expect(content?.trim()).toBe("");
        expect(calls).toBeUndefined();
        expect(choices[0]!.finish_reason).toBe("length");
      }
    }
  });

  it("the call and its result are in the next prompt, in the template's own words", async () => {
    const call = {
      id: "call_1",
      type: "function",
      function: { name: "weather", arguments: '{"town":"Bern","days":3}' },
    };
    const messages = [
      question,
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "call_1", content: "sunny" },
    ];
    const prompt = await promptOf({ model, messages, tools: [weather, now] });
    expect(prompt).toContain("sunny");
    expect(prompt).toContain("Bern");
    const next = await server.post("/v1/chat/completions", {
      ...fields,
      model,
      messages,
      max_completion_tokens: 20,
    });
    expect(next.status).toBe(200);
  });

  it("auto: an answer may be text", async () => {
    const { choices } = await server.client.chat.completions.create({
      ...fields,
      model,
      max_completion_tokens: 30,
    });
    const { content, tool_calls: calls } = choices[0]!.message;
    if (calls) expectCalls(calls as Call[]);
    else expect(content).toEqual(expect.any(String));
  });
});

const wholeCall = (name: string) =>
  `<|message|><atem:function_calls>\n<atem:invoke name="${name}">\n</atem:invoke>\n</atem:function_calls>`;

it.each<[model: string, said: string, reasoning: string | undefined]>([
  [
    "openai-gpt-oss-120b",
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>Let me look." +
      "<|end|><|start|>assistant<|channel|>commentary to=functions.now <|constrain|>json<|message|>{",
    "Hm.",
  ],
  [
    "muse-glimmer",
    " to=self<|message|>Hm.<|eom|><|start|>assistant to=user<|message|>Let me look.<|eom|><|start|>assistant to=now" +
      wholeCall("now"),
    "Hm.",
  ],
  ["meetkai-functionary-medium-v3.2", "all\nLet me look.>>>now\n{", undefined],
])(
  "%s: what is thought, what is said ahead of a call, and the call are told apart",
  async (model, said, thought) => {
    const asked = { ...fields, model: idOf(model), parallel_tool_calls: false, fusion: { continue: said } };
    const { choices } = await server.client.chat.completions.create(asked);
    expect(choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: {
        content: "Let me look.",
        tool_calls: [{ function: { name: "now", arguments: "{}" } }],
      },
    });
    expect((choices[0]!.message as { reasoning_content?: string }).reasoning_content).toBe(thought);
    const stream = server.client.chat.completions.stream(asked);
    const { message } = (await stream.finalChatCompletion()).choices[0]!;
    expect(message.content).toBe("Let me look.");
    expect((message.tool_calls as Call[]).map((call) => call.function.name)).toEqual(["now"]);
  },
);

it.each<[model: string, said: string]>([
  ["meetkai-functionary-medium-v3.2", "all\nIt is sunny."],
  ["muse-glimmer", " to=user<|message|>It is sunny."],
  ["MiniMax-M3", "</mm:think>It is sunny."],
  [
    "Kimi-K3",
    "Hm.<|close|>think<|sep|><|open|>response<|sep|>It is sunny.<|close|>response<|sep|><|close|>message<|sep|>",
  ],
])("%s: marks of a plain answer are none of its text", async (model, said) => {
  const asked = { messages: [question], model: idOf(model), max_completion_tokens: 1, seed: 1 };
  for (const tools of [undefined, [weather, now]]) {
    const { choices } = await server.client.chat.completions.create({
      ...asked,
      ...(tools && { tools }),
      // One token is drawn after what is given.
      max_completion_tokens: 2 * said.length,
      ...({ fusion: { continue: said } } as object),
    });
    expect(choices[0]!.message.content).toMatch(/^It is sunny\./);
    if (model === "Kimi-K3")
      expect(choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "It is sunny." } });
  }
});
