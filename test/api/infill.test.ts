import { afterAll, beforeAll, expect, it } from "vitest";
import { byteTokens, randomLlama, writeGguf } from "../support/gguf-writer.js";
import { located } from "../support/members.js";
import { resolvedConfig } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** What stands between a prompt and a suffix, from a model that has tokens for that and from one that has none. */

const marks = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"];
const tokens = ["<bos>", "<eos>", ...byteTokens(), ...marks];
const [prefix, suffix, middle] = [258, 259, 260];
const directory = temporaryDirectory();
let server: RealServer;

beforeAll(async () => {
  const configs = [true, false].map((hasMarks) => {
    const id = hasMarks ? "code" : "prose";
    const file = directory.file(`${id}.gguf`);
    const own = hasMarks ? { tokens, controlTokens: [0, 1, prefix, suffix, middle] } : {};
    writeGguf(file, randomLlama({ ...own, vocabularySize: 320 }));
    const resolved = resolvedConfig({ id, base: "x" });
    return { ...resolved, members: located(resolved.config, () => file) };
  });
  server = await serveConfigs(configs);
}, 60_000);
afterAll(async () => {
  await server.close();
  directory.remove();
});

const body = { model: "code", max_tokens: 8, temperature: 0, logprobs: 0 };
/** The answers to a prompt as text and as tokens, with what both are made of. */
async function answersTo(fields: object) {
  const response = await server.post("/v1/completions", { ...body, ...fields });
  return (await response.json()) as {
    choices: { text: string; logprobs: { token_logprobs: number[] } }[];
    usage: { prompt_tokens: number };
    error?: { param: string; code: string };
  };
}
const bytesOf = async (text: string) => {
  const response = await server.post("/tokenize", { model: "code", content: text });
  return ((await response.json()) as { tokens: number[] }).tokens;
};

it("the prompt is what the models were trained to fill in, whatever either text writes out", async () => {
  const [before, after] = ["def f(x):\n  <|fim_middle|>", "\n  return y é"];
  const asked = await answersTo({ prompt: before, suffix: after });
  const plain = (await Promise.all(Array.from(before, (character) => bytesOf(character)))).flat();
  const given = [0, prefix, ...plain, suffix, ...(await bytesOf(after)), middle];
  const expected = await answersTo({ prompt: given });
  expect(asked.usage.prompt_tokens).toBe(given.length);
  expect(asked.choices).toEqual(expected.choices);
  const without = await answersTo({ prompt: before });
  expect(asked.choices[0]!.logprobs.token_logprobs).not.toEqual(without.choices[0]!.logprobs.token_logprobs);
});

it("each of several prompts has the suffix; an empty one asks for nothing", async () => {
  const { choices } = await answersTo({ prompt: ["a", "b"], suffix: "c" });
  const single = await answersTo({ prompt: "b", suffix: "c" });
  expect(choices[1]!.text).toBe(single.choices[0]!.text);
  expect((await answersTo({ prompt: "a", suffix: "" })).choices).toEqual(
    (await answersTo({ prompt: "a" })).choices,
  );
});

it.each([
  [{ model: "prose", prompt: "a", suffix: "b" }, "suffix", "unsupported_field"],
  [{ prompt: [5, 6], suffix: "b" }, "suffix", "invalid_request"],
  [{ prompt: "a", suffix: "b", echo: true }, "echo", "invalid_request"],
])("%j is refused: %s", async (fields, param, code) => {
  expect((await answersTo(fields)).error).toMatchObject({ param, code });
});
