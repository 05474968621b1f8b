import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeGguf } from "../support/gguf-writer.js";
import { located } from "../support/members.js";
import { resolvedConfig } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { withVocabularyOf } from "../support/real-vocabulary.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { checkOutVocabularies } from "../support/vocabularies.js";

/** Text in and out of Llama 2's vocabulary, whose tokenizer begins every text with a space. */

const template =
  "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}" +
  " {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}";
const sources = temporaryDirectory();
const directory = temporaryDirectory();
let server: RealServer;

beforeAll(async () => {
  const vocabularies = await checkOutVocabularies(sources.path);
  const file = directory.file("llama2.gguf");
  const vocabulary = path.join(vocabularies, "ggml-vocab-llama-spm.gguf");
  writeGguf(file, await withVocabularyOf(vocabulary, { chatTemplate: template, contextTrain: 1024 }));
  const resolved = resolvedConfig({ id: "llama2", base: "x" });
  server = await serveConfigs([{ ...resolved, members: located(resolved.config, () => file) }]);
}, 120_000);
afterAll(async () => {
  await server.close();
  sources.remove();
  directory.remove();
});

async function ask<Answer>(route: string, body: object): Promise<Answer> {
  const response = await server.post(route, body);
  const answer = (await response.json()) as Answer;
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return answer;
}

interface Templated {
  prompt: string;
  fusion: { prompts: Record<string, { text: string; tokens: number[] }> };
}

async function promptOf(content: string) {
  const messages = [{ role: "user", content }];
  const { prompt, fusion } = await ask<Templated>("/apply-template", { messages });
  const { tokens } = fusion.prompts["base"]!;
  const written = await ask<{ content: string }>("/detokenize", { tokens });
  return { prompt, tokens, written: written.content };
}

it.each(["plain", " two  spaces ", "<s>bold</s>", "a</s>b", "</s></s>", "x<s>", "é</s>日本", "\n</s>\n"])(
  "a message %j stands in the prompt as it was sent, and ends no turn",
  async (content) => {
    const { prompt, tokens, written } = await promptOf(content);
    expect(prompt).toBe(`<s>[INST] ${content} [/INST]`);
    // Only the first text has the tokenizer's space.
    expect(written).toBe(`<s> [INST] ${content} [/INST]`);
    expect(tokens.filter((token) => token === 1 || token === 2)).toEqual([1]);
  },
);

it("the prompt that a template writes can be sent back as text", async () => {
  const { prompt, tokens } = await promptOf("How are you?");
  const again = await ask<{ tokens: number[] }>("/tokenize", { content: prompt, add_special: true });
  expect(again.tokens).toEqual(tokens);
});

it.each(["is Paris", " is Paris", "ness", "\n", "é", "日本", "<b>", "</s>x", "12"])(
  "an answer goes on where its beginning %j ends, within a word too",
  async (given) => {
    const answer = await ask<{ choices: { message: { content: string } }[] }>("/v1/chat/completions", {
      model: "llama2",
      messages: [{ role: "user", content: "Where?" }],
      max_tokens: 1,
      fusion: { continue: given },
    });
    expect(answer.choices[0]!.message.content.startsWith(given), JSON.stringify(answer)).toBe(true);
  },
);
