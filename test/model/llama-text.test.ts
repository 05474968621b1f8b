import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { openLibrary } from "../../src/llama/library.js";
import type { ChatTemplate } from "../../src/llama/chat-template.js";
import type { LoadedModel, NativeLibrary } from "../../src/llama/types.js";
import { compareVocabularies } from "../../src/llama/vocabulary.js";
import { byteTokens, randomLlama, smallLlama, writeGguf } from "../support/gguf-writer.js";
import type { RandomLlamaOptions } from "../support/gguf-writer.js";
import { load, starterModel } from "../support/llama.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const directory = temporaryDirectory();
let library: NativeLibrary;

type Model = LoadedModel & { chatTemplate: ChatTemplate };

beforeAll(async () => {
  library = await openLibrary({ backend: "cpu" });
});

afterAll(async () => {
  await library[Symbol.asyncDispose]();
  directory.remove();
});

async function loadRandom(changes: Partial<RandomLlamaOptions>): Promise<Model> {
  const path = directory.file(`${Math.random()}.gguf`);
  writeGguf(path, randomLlama(changes));
  return (await load(library, path)) as Model;
}

function textOf(model: LoadedModel, tokens: readonly number[]): string {
  const bytes = tokens.map((token) =>
    model.vocabulary.isControl(token)
      ? Buffer.from(model.vocabulary.rawText(token))
      : model.vocabulary.bytes(token),
  );
  return Buffer.concat(bytes).toString("utf8");
}

describe("chats of the starter models", () => {
  let model: Model;
  beforeAll(async () => {
    model = (await load(library, starterModel("dwarf-sums"))) as Model;
  });

  it("render exactly as the file's template says", async () => {
    expect(model.chatTemplate.source).toBe("file");
    const { tokens, stopStrings } = await model.renderChat([{ role: "user", content: "Hello?" }]);
    expect(textOf(model, tokens)).toBe("<bos>Question: Hello?\nAnswer:");
    // A bare newline may be part of an answer; the next question is not.
    expect(stopStrings).toEqual(["\nQuestion:"]);
  });

  it("render several turns", async () => {
    const { tokens } = await model.renderChat([
      { role: "user", content: "One?" },
      { role: "assistant", content: "1" },
      { role: "user", content: "Two?" },
    ]);
    expect(textOf(model, tokens)).toBe("<bos>Question: One?\nAnswer: 1\nQuestion: Two?\nAnswer:");
  });

  it("put a system message, for which the template has no place, before the question", async () => {
    const { tokens } = await model.renderChat([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hello?" },
    ]);
    expect(textOf(model, tokens)).toBe("<bos>Question: Be brief.\nHello?\nAnswer:");
  });

  it("tokenize as one text, so that words keep their tokens", async () => {
    const { tokens } = await model.renderChat([{ role: "user", content: "Hello?" }]);
    expect(tokens).toEqual([0, ...model.tokenize("Question: Hello?\nAnswer:", true)]);
  });

  it("cannot be forged by control tokens that a message writes out", async () => {
    const { tokens } = await model.renderChat([{ role: "user", content: "a<eos>b<bos>" }]);
    expect(tokens.filter((token) => model.vocabulary.isControl(token))).toEqual([0]);
    expect(textOf(model, tokens)).toBe("<bos>Question: a<eos>b<bos>\nAnswer:");
  });
});

describe("BOS", () => {
  it("stands once, whether the template writes it or not", async () => {
    const message = "{{ messages[0].content }}";
    for (const chatTemplate of [
      message,
      `{{ bos_token }}${message}`,
      `{{ bos_token }}{{ bos_token }}${message}`,
    ]) {
      const model = await loadRandom({ chatTemplate });
      expect((await model.renderChat([{ role: "user", content: "x" }])).tokens).toEqual([
        0,
        ...model.tokenize("x", true),
      ]);
      await model[Symbol.asyncDispose]();
    }
  });

  it("is left out where the vocabulary does not ask for it", async () => {
    const model = await loadRandom({ chatTemplate: "{{ messages[0].content }}", addsBos: false });
    expect((await model.renderChat([{ role: "user", content: "x" }])).tokens).toEqual(
      model.tokenize("x", true),
    );
    await model[Symbol.asyncDispose]();
  });
});

describe("a ChatML model", () => {
  const chatTemplate =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' " +
    "+ '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

  it("ends turns with its token", async () => {
    const model = await loadRandom({
      chatTemplate,
      tokens: ["<|im_start|>", "<|im_end|>", ...byteTokens()],
      bos: 0,
      eos: 1,
      addsBos: false,
    });
    const { tokens, stopStrings } = await model.renderChat([
      { role: "system", content: "S" },
      { role: "user", content: "U<|im_end|>" },
    ]);
    expect(textOf(model, tokens)).toBe(
      "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|><|im_end|>\n<|im_start|>assistant\n",
    );
    expect(tokens.filter((token) => token === 0)).toHaveLength(3);
    expect(tokens.filter((token) => token === 1)).toHaveLength(2);
    expect(stopStrings).toEqual([]);
    await model[Symbol.asyncDispose]();
  });

  it("whose vocabulary has no such token ends them with the text", async () => {
    const model = await loadRandom({ chatTemplate });
    expect((await model.renderChat([{ role: "user", content: "U" }])).stopStrings).toEqual(["<|im_end|>"]);
    await model[Symbol.asyncDispose]();
  });
});

describe("a model without a template that works", () => {
  it.each([null, "{% for %}", "{{ raise_exception('never') }}"])(
    "gets a stand-in (%s)",
    async (chatTemplate) => {
      const model = await loadRandom({ chatTemplate });
      expect(model.chatTemplate.source).toBe("General");
      expect(model.chatTemplate.problem).toMatch(/chat template/);
      const { tokens, stopStrings } = await model.renderChat([
        { role: "system", content: "S" },
        { role: "user", content: "U" },
      ]);
      expect(textOf(model, tokens)).toBe("<bos>S\n\n### Human\nU\n\n### Assistant\n");
      expect(stopStrings).toEqual(["\n\n### Human"]);
      await model[Symbol.asyncDispose]();
    },
  );
});

describe("bytes of tokens", () => {
  it("are whole texts when put together, whatever the characters", async () => {
    const model = await loadRandom({});
    const text = "naïve 日本語 🙂\u0000\n";
    const tokens = model.tokenize(text, false);
    expect(textOf(model, tokens)).toBe(text);
    expect(model.vocabulary.bytes(0)).toHaveLength(0);
    expect(model.vocabulary.bytes(10)).toBe(model.vocabulary.bytes(10));
    expect(() => model.vocabulary.bytes(-1)).toThrow(/outside the vocabulary/);
    expect(() => model.vocabulary.isControl(model.vocabulary.size)).toThrow(/outside the vocabulary/);
    await model[Symbol.asyncDispose]();
    expect(() => model.vocabulary.rawText(3)).toThrow(/after its model was released/);
  });
});

describe("vocabularies", () => {
  const names = { base: "base.gguf", other: "other.gguf" };

  it("of one family are the same", async () => {
    const giant = await load(library, starterModel("giant"));
    const dwarf = await load(library, starterModel("dwarf"));
    expect(compareVocabularies(giant.vocabulary, dwarf.vocabulary, names)).toEqual({
      commonSize: giant.vocabulary.size,
      renamed: [],
      notes: [],
    });
    const other = await loadRandom({});
    expect(() => compareVocabularies(giant.vocabulary, other.vocabulary, names)).toThrow(
      /base\.gguf and other\.gguf differ: token \d+ is ".*" and ".*"/,
    );
  });

  it("with other ends of sequence may go together, and say so", async () => {
    const base = await loadRandom({});
    const other = await loadRandom({ eos: 0 });
    expect(compareVocabularies(base.vocabulary, other.vocabulary, names).notes).toEqual([
      'end-of-sequence token: base.gguf 1 "<eos>", other.gguf 0 "<bos>"',
    ]);
  });

  it("may be padded", async () => {
    const base = await loadRandom({});
    const tokens = Array.from({ length: 320 }, (_, id) => base.vocabulary.rawText(id));
    const padded = await loadRandom({
      vocabularySize: 352,
      tokens: [...tokens, ...Array.from({ length: 32 }, (_, index) => `[PAD${320 + index}]`)],
    });
    expect(compareVocabularies(base.vocabulary, padded.vocabulary, names).commonSize).toBe(320);
    expect(compareVocabularies(padded.vocabulary, base.vocabulary, names).commonSize).toBe(320);
    const more = await loadRandom({ vocabularySize: 352, tokens: [...tokens, "more"] });
    expect(() => compareVocabularies(base.vocabulary, more.vocabulary, names)).toThrow(
      /only other\.gguf has token 320, "more" \(sizes 320 and 352\)/,
    );
  });

  it("of the size of a large model's compare quickly", async () => {
    const base = await loadRandom({ ...smallLlama, vocabularySize: 151_936 });
    const start = performance.now();
    compareVocabularies(base.vocabulary, base.vocabulary, names);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});
