import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { Template } from "../../../src/jinja/template.js";
import { chatTemplates, templateVectors } from "../../support/template-vectors.js";

/** jinja2's own renderings, made once by test/vectors/templates.py; null: it refuses. */
const { chats, rendered, snippets, values } = templateVectors;

beforeAll(() => {
  vi.useFakeTimers({ now: new Date(2026, 0, 2, 3, 4, 5) });
});
afterAll(() => {
  vi.useRealTimers();
});

function render(text: string, input: object): string | null {
  try {
    return new Template(text).render({ messages: [], ...input }, JSON.stringify(input).length);
  } catch {
    return null;
  }
}

/** They need what transformers' sandbox refuses and llama.cpp has: lists that are changed, JSON of a generator. */
const refusedByTheSandbox = new Set(["llama-cpp-deepseek-r1", "Kimi-K2-Instruct", "Kimi-K2-Thinking"]);

it.each(chatTemplates)("%s", (name, text) => {
  for (const [chat, context] of Object.entries(chats)) {
    const expected = rendered[name]![chat] ?? null;
    if (expected === null && refusedByTheSandbox.has(name)) continue;
    const input = { add_generation_prompt: true, bos_token: "<bos>", eos_token: "<eos>", ...context };
    expect(render(text, input), chat).toBe(expected);
  }
});

it.each(Object.entries(snippets))("%j", (snippet, expected) => {
  expect(render(snippet, values)).toBe(expected);
});
