import { located } from "../support/members.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { byteTokens, randomLlama, smallLlama, writeGguf } from "../support/gguf-writer.js";
import { resolvedConfig } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { readEvents } from "../support/server.js";
import { connect } from "../support/socket.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** Characters that are split over tokens, by a real model whose vocabulary has the parts. */

const characters = ["é", "日", "😀"];
/** Every way to part a character's bytes in two. */
const splits = characters.flatMap((character) => {
  const bytes = [...Buffer.from(character)];
  return bytes.slice(1).map((_, at) => ({ character, parts: [bytes.slice(0, at + 1), bytes.slice(at + 1)] }));
});
const nameOf = (bytes: readonly number[]) => bytes.map((byte) => byteTokens()[byte]).join("");
const pieces = [
  ...new Set(splits.flatMap(({ parts }) => parts.filter(({ length }) => length > 1).map(nameOf))),
];
const tokens = [...smallLlama.tokens, ...pieces];
const idOf = (bytes: readonly number[]) => tokens.indexOf(nameOf(bytes));

const directory = temporaryDirectory();
let server: RealServer;
beforeAll(async () => {
  const write = (name: string, seed: number) => {
    const path = directory.file(`${name}.gguf`);
    writeGguf(path, randomLlama({ tokens, seed }));
    return path;
  };
  const config = resolvedConfig({ id: "split", base: "x", reference: "y", experts: { e: "z" } });
  const files = new Map(["base", "reference", "e"].map((id, index) => [id, write(id, index + 1)]));
  const members = located(config.config, ({ id }) => files.get(id)!);
  server = await serveConfigs([{ ...config, members }]);
});
afterAll(async () => {
  await server.close();
  directory.remove();
});

interface ChatPart {
  choices: {
    message?: { content: string };
    delta?: { content?: string };
    logprobs: { content: { token: string; bytes: number[] }[] } | null;
    finish_reason: string | null;
  }[];
}
interface TextPart {
  choices: { text: string; logprobs: { tokens: string[]; text_offset: number[] } | null }[];
}

async function whole<Answer>(path: string, body: object): Promise<Answer> {
  const response = await server.post(path, body);
  const answer = (await response.json()) as Answer;
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return answer;
}

async function streamed<Answer>(path: string, body: object): Promise<Answer[]> {
  const events = await readEvents(await server.post(path, { ...body, stream: true }));
  expect(events.at(-1)).toBe("[DONE]");
  return events.slice(0, -1) as Answer[];
}

const strict = new TextDecoder("utf-8", { fatal: true });

describe.each(splits)("$character as $parts", ({ character, parts }) => {
  const text = `a${character}b`;
  const bias = Object.fromEntries(parts.map((part) => [String(idOf(part)), 100]));
  const forced = {
    model: "split",
    grammar: `root ::= "${text}"`,
    temperature: 0,
    max_tokens: 8,
    logit_bias: bias,
    fusion: { trace: "off" },
  };
  const chat = { ...forced, messages: [{ role: "user", content: `Say ${character}.` }], logprobs: true };
  const legacy = { ...forced, prompt: parts.map(idOf), logprobs: 1 };
  const expectedBytes = [[97], ...parts, [98]];

  it("chat: streamed = not streamed, and each token has its own bytes", async () => {
    const answer = (await whole<ChatPart>("/v1/chat/completions", chat)).choices[0]!;
    expect(answer.message?.content).toBe(text);
    const entries = answer.logprobs!.content;
    expect(entries.map(({ bytes }) => bytes)).toEqual(expectedBytes);
    const chunks = await streamed<ChatPart>("/v1/chat/completions", chat);
    const deltas = chunks.map(({ choices }) => choices[0]?.delta?.content ?? "");
    expect(deltas.join("")).toBe(text);
    // A half character is never shown: each delta is text of its own.
    for (const delta of deltas) expect(strict.decode(Buffer.from(delta))).not.toContain("\uFFFD");
    const own = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []);
    const plain = (list: typeof own) => list.map(({ token, bytes }) => ({ token, bytes }));
    expect(plain(own)).toEqual(plain(entries));
  });

  it("legacy: from a split prompt, echoed, with tokens named by their bytes", async () => {
    const answer = (await whole<TextPart>("/v1/completions", { ...legacy, echo: true })).choices[0]!;
    expect(answer.text).toBe(character + text);
    const names = parts.map((part) => `bytes:${part.map((byte) => `\\x${byte.toString(16)}`).join("")}`);
    expect(answer.logprobs!.tokens).toEqual([...names, "a", ...names, "b"]);
    const chunks = await streamed<TextPart>("/v1/completions", { ...legacy, echo: true });
    expect(chunks.map(({ choices }) => choices[0]?.text ?? "").join("")).toBe(answer.text);
    const own = chunks.flatMap(({ choices }) => choices[0]?.logprobs ?? []);
    expect(own.flatMap((part) => part.tokens)).toEqual(answer.logprobs!.tokens);
    expect(own.flatMap((part) => part.text_offset)).toEqual(answer.logprobs!.text_offset);
  });

  it("WebSocket: the same text", async () => {
    const socket = await connect(server.url);
    socket.send({ type: "response.create", response: chat });
    expect((await socket.until("response.done")).response.output_text).toBe(text);
    const deltas = socket.of("response.output_text.delta").map(({ delta }) => delta);
    expect(deltas.join("")).toBe(text);
  });

  it.each([character, `${character}b`])("a stop string %s that is split is found", async (stop) => {
    const body = { ...chat, stop };
    const answer = (await whole<ChatPart>("/v1/chat/completions", body)).choices[0]!;
    expect([answer.message?.content, answer.finish_reason]).toEqual(["a", "stop"]);
    const chunks = await streamed<ChatPart>("/v1/chat/completions", body);
    expect(chunks.map(({ choices }) => choices[0]?.delta?.content ?? "").join("")).toBe("a");
    const own = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []);
    expect(own.map(({ bytes }) => bytes)).toEqual(answer.logprobs!.content.map(({ bytes }) => bytes));
  });

  it("an answer that is cut within it: streamed = not streamed", async () => {
    // Without a grammar, which would see to it that the text can end.
    const cut = { ...chat, grammar: null, max_tokens: 1, logit_bias: { [String(idOf(parts[0]!))]: 100 } };
    const answer = (await whole<ChatPart>("/v1/chat/completions", cut)).choices[0]!;
    expect(answer.finish_reason).toBe("length");
    expect(answer.logprobs!.content.map(({ bytes }) => bytes)).toEqual([parts[0]]);
    const chunks = await streamed<ChatPart>("/v1/chat/completions", cut);
    expect(chunks.map(({ choices }) => choices[0]?.delta?.content ?? "").join("")).toBe(
      answer.message?.content,
    );
  });
});
