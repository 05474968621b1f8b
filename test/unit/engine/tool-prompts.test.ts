import { describe, expect, it } from "vitest";
import { asPlainTurns, asToldTurns, knowsForm, textsOf } from "../../../src/engine/tool-prompts.js";
import { createChatTemplate } from "../../../src/llama/chat-template.js";
import type { ChatRenderer, ChatTurn, Tool } from "../../../src/llama/types.js";
import { templateVectors } from "../../support/template-vectors.js";

const tools: Tool[] = [
  {
    name: "add",
    description: "Adds.",
    parameters: { type: "object", properties: { a: { type: "integer" } } },
  },
];
const turns: ChatTurn[] = [
  { role: "user", content: "12?" },
  { role: "assistant", content: "", toolCalls: [{ id: "c", name: "add", arguments: '{"a":12,"b":"x"}' }] },
  { role: "tool", content: "24", toolCallId: "c" },
];

function rendererOf(name: string): ChatRenderer & ReturnType<typeof createChatTemplate> {
  const template = createChatTemplate({
    text: templateVectors.templates[name]!,
    bosText: "<s>",
    eosText: "</s>",
    architecture: "llama",
    modelName: "model",
    fileName: "model.gguf",
  });
  return { ...template, renderChat: () => Promise.reject(new Error("not asked")) };
}

describe("what a template does not write of functions is written into the turns, in its form", () => {
  it("functions, where it writes calls only (DeepSeek V3.1)", () => {
    const renderer = rendererOf("deepseek-ai-DeepSeek-V3.1");
    expect(renderer.toolTelling).toEqual({ functions: false, calls: true });
    const told = asToldTurns(turns, tools, renderer);
    expect(told.tools).toEqual([]);
    const text = renderer.render(told.turns);
    expect(text).toContain(JSON.stringify(tools[0]));
    expect(text).toContain('<｜tool▁call▁begin｜>add<｜tool▁sep｜>{"a": 12, "b": "x"}<｜tool▁call▁end｜>');
    expect(text).toContain("<｜tool▁output▁begin｜>24<｜tool▁output▁end｜>");
  });

  it.each([
    ["LFM2-8B-A1B", `<|tool_call_start|>[add(a=12, b='x')]<|tool_call_end|>`, "<|tool_response_start|>24"],
    [
      "ibm-granite-granite-3.3-2B-Instruct",
      `<|tool_call|>[{"name": "add", "arguments": {"a":12,"b":"x"}}]`,
      "24",
    ],
  ])("calls, where it tells functions only (%s)", (name, call, result) => {
    const renderer = rendererOf(name);
    expect(renderer.toolTelling).toEqual({ functions: true, calls: false });
    const told = asToldTurns(turns, tools, renderer);
    expect(told.tools).toEqual(tools);
    const text = renderer.render(told.turns, { tools });
    expect(text).toContain(call);
    expect(text).toContain(result);
  });

  it("nothing, where it writes both", () => {
    const renderer = rendererOf("Qwen3-Coder");
    expect(asToldTurns(turns, tools, renderer)).toEqual({ turns, tools });
  });
});

it("models of another form are told in plain turns how the base writes calls", () => {
  const { toolForm } = rendererOf("Qwen3-Coder");
  expect(knowsForm(rendererOf("GLM-4.6"), toolForm!)).toBe(false);
  expect(knowsForm(rendererOf("Qwen3.5-4B"), toolForm!)).toBe(true);
  const [system, , called, result] = asPlainTurns(turns, tools, toolForm!);
  expect(system!.content).toContain(
    "A call is written as <tool_call>\n<function=name>\n<parameter=key>\nvalue\n</parameter>\n</function>\n</tool_call>",
  );
  expect(called!.content).toBe(
    "<tool_call>\n<function=add>\n<parameter=a>\n12\n</parameter>\n<parameter=b>\nx\n</parameter>\n</function>\n</tool_call>",
  );
  expect(result).toEqual({ role: "user", content: "<tool_response>\n24\n</tool_response>" });
});

it("all marks of a form are seen in answers, Gemma's quotes too", () => {
  expect(textsOf(rendererOf("google-gemma-4-31B-it").toolForm!)).toEqual(
    expect.arrayContaining(["<|tool_call>call:", '<|"|>']),
  );
});
