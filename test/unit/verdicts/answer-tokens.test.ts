import { expect, it } from "vitest";
import type { EngineQuery, Prompt, QueryResults } from "../../../src/protocol/protocol.js";
import { answerTokens, spaced, type Tokenizing } from "../../../src/verdicts/answer-tokens.js";

const codes = (text: string) => Array.from(text, (character) => character.charCodeAt(0));

/** An engine whose tokens are characters, and whose template writes a space before an answer. */
function engineOf(tokenize: (text: string) => number[]): { asked: Tokenizing; queries: string[] } {
  const queries: string[] = [];
  const textOf = (prompt: Prompt) =>
    prompt.type === "chat"
      ? prompt.messages
          .map(({ role, content }) => (role === "user" ? `Q:${content}\nA:` : ` ${content}`))
          .join("")
      : prompt.type === "text"
        ? prompt.text
        : "";
  const query = (asked: EngineQuery) => {
    queries.push(asked.type);
    const result =
      asked.type === "renderPrompt"
        ? { prompts: { base: { text: textOf(asked.prompt), tokens: tokenize(textOf(asked.prompt)) } } }
        : { ids: Int32Array.from(tokenize((asked as { text: string }).text)) };
    return Promise.resolve(result as unknown as QueryResults[EngineQuery["type"]]);
  };
  return { asked: { engine: { query: query as Tokenizing["engine"]["query"] }, configId: "x" }, queries };
}

const chat: Prompt & { type: "chat" } = { type: "chat", messages: [{ role: "user", content: "who" }] };

it("has what the template puts before an answer, and renders the prompt once for all of them", async () => {
  const { asked, queries } = engineOf(codes);
  const tokens = await answerTokens(asked, chat, ["me", "you", "them"]);
  expect(tokens).toEqual([" me", " you", " them"].map(codes));
  expect(queries.filter((type) => type === "renderPrompt")).toHaveLength(2);
});

it("goes on with an answer that has begun", async () => {
  const { asked } = engineOf(codes);
  const begun = {
    ...chat,
    messages: [...chat.messages, { role: "assistant" as const, content: "It is " }],
    ending: "continue" as const,
  };
  expect(await answerTokens(asked, begun, ["me"])).toEqual([codes("me")]);
});

it("keeps the prompt's tokens where the answer would change the last of them", async () => {
  // Pairs of characters: behind an odd prompt the last token would be another one.
  const pairs = (text: string) =>
    (text.match(/..?/gs) ?? []).map((pair) => pair.charCodeAt(0) * 256 + (pair.charCodeAt(1) || 0));
  const { asked } = engineOf(pairs);
  expect(await answerTokens(asked, { type: "text", text: "abc" }, ["de"])).toEqual([pairs("de")]);
  // Where it would not, but by itself an answer begins otherwise, it is what stands behind the prompt.
  const marked = (text: string) => [1, ...codes(text)];
  const other = engineOf(marked);
  expect(await answerTokens(other.asked, { type: "text", text: "abc" }, ["de", "f"])).toEqual([
    codes("de"),
    codes("f"),
  ]);
});

it("a space comes between a plain text and its answer, unless there is one", () => {
  expect(spaced({ type: "text", text: "a" }, "b")).toBe(" b");
  expect(spaced({ type: "text", text: "a " }, "b")).toBe("b");
  expect(spaced({ type: "text", text: "a" }, "\nb")).toBe("\nb");
  expect(spaced(chat, "b")).toBe("b");
});
