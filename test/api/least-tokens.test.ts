import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startRealServer, type RealServer } from "../support/real-server.js";

/** Answers that may not end before they have so many tokens, on the shipped models. */

let server: RealServer;
beforeAll(async () => {
  server = await startRealServer();
});
afterAll(() => server.close());

interface Answer {
  choices: { text: string; finish_reason: string }[];
  usage: { completion_tokens: number };
}

const prompt = "Where does Anna live?";

async function ask(fields: object): Promise<{ text: string; reason: string; numTokens: number }> {
  const body = { model: "both", prompt, max_tokens: 60, temperature: 0, ...fields };
  const response = await server.post("/v1/completions", body);
  const answer = (await response.json()) as Answer;
  expect(response.status, JSON.stringify(answer)).toBe(200);
  const [choice] = answer.choices;
  return { text: choice!.text, reason: choice!.finish_reason, numTokens: answer.usage.completion_tokens };
}

it("an answer goes on as it began, past where it would end", async () => {
  const plain = await ask({});
  expect([plain.reason, plain.numTokens < 40]).toEqual(["stop", true]);
  const long = await ask({ min_tokens: plain.numTokens + 5 });
  expect(long.numTokens).toBeGreaterThanOrEqual(plain.numTokens + 5);
  expect(long.text.startsWith(plain.text)).toBe(true);
  const endless = await ask({ ignore_eos: true });
  expect([endless.reason, endless.numTokens]).toEqual(["length", 60]);
  // Fewer than it has anyway.
  expect(await ask({ min_tokens: 1 })).toEqual(plain);
});

describe("what else may end it", () => {
  it("a stop string does, and a token that it is told to stop at does not", async () => {
    const { text } = await ask({ ignore_eos: true });
    const word = /[a-z]+/.exec(text)![0];
    expect(await ask({ ignore_eos: true, stop: word })).toMatchObject({ reason: "stop" });
    const stops = Array.from({ length: 60 }, (_, token) => token);
    const held = await ask({ min_tokens: 20, stop_token_ids: stops });
    expect(held.numTokens).toBeGreaterThanOrEqual(20);
  });

  it("a grammar does, when it allows no more", async () => {
    const held = await ask({ min_tokens: 30, grammar: 'root ::= "yes"' });
    expect(held).toMatchObject({ text: "yes", reason: "stop" });
    const open = await ask({ min_tokens: 30, grammar: "root ::= [a-z ]+" });
    expect(open.numTokens).toBeGreaterThanOrEqual(30);
  });
});

it("drafts and certain tokens change nothing", async () => {
  const fields = { model: "both", min_tokens: 45, seed: 3, temperature: 1 };
  const [fast, slow] = [await ask(fields), await ask({ ...fields, fusion: { speculation: "off" } })];
  expect(fast).toEqual(slow);
});
