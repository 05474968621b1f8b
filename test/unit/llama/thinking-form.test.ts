import { expect, it } from "vitest";
import { createChatTemplate, opensThought } from "../../../src/llama/chat-template.js";
import { templateVectors } from "../../support/template-vectors.js";

const create = (name: string) =>
  createChatTemplate({
    text: templateVectors.templates[name]!,
    bosText: "<s>",
    eosText: "</s>",
    architecture: "llama",
    modelName: "model",
    fileName: "model.gguf",
  });

it.each([
  ["Kimi-K3", "<|open|>think<|sep|>"],
  ["Qwen3.5-4B", "<think>"],
  ["GLM-4.7-Flash", "<think>"],
  ["deepseek-ai-DeepSeek-V4", "<think>"],
])("%s: a prompt opens a thought with its own mark, and only where one is wanted", (name, opening) => {
  const { thinking, render } = create(name);
  expect(thinking?.opening).toBe(opening);
  const promptWith = (isThinking: boolean) => render([{ role: "user", content: "U" }], { isThinking });
  expect(opensThought(promptWith(true), thinking)).toBe(true);
  expect(opensThought(promptWith(false), thinking)).toBe(false);
});

it("harmony has a channel for what is said ahead of calls", () => {
  expect(create("openai-gpt-oss-120b").thinking).toEqual({
    opening: "<|channel|>analysis<|message|>",
    closing: "<|end|><|start|>assistant",
    answer: "<|channel|>final<|message|>",
    preamble: "<|channel|>commentary<|message|>",
  });
});
