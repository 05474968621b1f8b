import { mkdtempSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AnswerLine } from "../../../src/evaluation/answers-file.js";
import { judgeResults, pairKey, verdictOf } from "../../../src/evaluation/judge.js";
import { answerLine } from "../../support/answer-line.js";
import type { Results } from "../../../src/evaluation/runner.js";

it.each([
  ["Verdict: 1", "1"],
  ["**Verdict**: 2.", "2"],
  ["The first is 2 words longer.\nverdict: TIE", "tie"],
  ["Verdict: 1, or rather verdict: 2", "2"],
  [" 1. ", "1"],
  ["Tie", "tie"],
  ["I like 1 and 2", null],
  ["Verdict: 12", null],
  ["", null],
])("verdict of %j: %s", (reply, verdict) => {
  expect(verdictOf(reply)).toBe(verdict);
});

const line = (method: string, item: number, answer: string | null): AnswerLine =>
  answerLine({
    ...{
      key: `${method}-${item}`,
      task: "t",
      method,
      item,
      prompt: `question ${item}?`,
      answer,
      score: null,
    },
    error: answer === null ? { code: "x", message: "x" } : null,
  });
const lines = (method: string, answers: (string | null)[]) =>
  answers.map((answer, item) => line(method, item, answer));
const resultsOf = (methods: Record<string, (string | null)[]>): Results =>
  new Map([["t", new Map(Object.entries(methods).map(([name, answers]) => [name, lines(name, answers)]))]]);

describe("judgeResults", () => {
  let server: Server;
  let url: string;
  let file: string;
  let prompts: string[];
  let reply: (first: string, second: string) => string;

  beforeAll(async () => {
    server = createServer((request, response) => {
      let text = "";
      request.on("data", (part: Buffer) => (text += part.toString()));
      request.on("end", () => {
        const { messages } = JSON.parse(text) as { messages: { content: string }[] };
        const prompt = messages[0]!.content;
        prompts.push(prompt);
        const [, first = "", second = ""] = /Answer 1:\n(.*)\n\nAnswer 2:\n(.*)\n/.exec(prompt) ?? [];
        const message = { role: "assistant", content: reply(first, second) };
        response.end(JSON.stringify({ choices: [{ message, finish_reason: "stop" }] }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());
  beforeEach(() => {
    prompts = [];
    file = path.join(mkdtempSync(path.join(tmpdir(), "judge-")), "judgements.jsonl");
    // Longer is better.
    reply = (first, second) =>
      `Verdict: ${first.length > second.length ? "1" : first.length < second.length ? "2" : "tie"}`;
  });

  const judge = (results: Results, signal = new AbortController().signal) =>
    judgeResults(results, {
      ...{ url, apiKey: null, model: "judge", against: "base", file, seed: 1, concurrency: 2, signal },
      onProgress: () => undefined,
    });

  it("asks each pair in both orders and counts", async () => {
    const results = resultsOf({
      base: ["aa", "aa", "aa", "same", "aa"],
      fused: ["aaaa", "a", "bb", "same", null],
    });
    const { judged, pairs } = await judge(results);
    expect(judged.tasks).toMatchObject({
      t: { fused: { wins: 1, ties: 2, losses: 1, unreadable: 0, rate: 0.5 } },
    });
    // What is equal is not asked, nor what failed.
    expect(prompts).toHaveLength(6);
    expect(prompts[0]).toContain("question 0?");
    const [first] = lines("fused", ["aaaa"]);
    expect(pairs.get(pairKey(first!, line("base", 0, "aa")))).toBe(1);
  });

  it("takes a verdict that goes by the order as a tie", async () => {
    reply = () => "Verdict: 1";
    const { judged } = await judge(resultsOf({ base: ["a"], fused: ["b"] }));
    expect(judged.tasks["t"]!["fused"]).toMatchObject({ wins: 0, ties: 1, losses: 0 });
  });

  it("counts replies without a verdict", async () => {
    reply = () => "Both are fine.";
    const { judged } = await judge(resultsOf({ base: ["a"], fused: ["b"] }));
    expect(judged.tasks["t"]!["fused"]).toMatchObject({ ties: 1, unreadable: 2 });
  });

  it("keeps what was said, with what was asked, and does not ask again", async () => {
    const results = resultsOf({ base: ["a", "b"], fused: ["b", "bbb"] });
    const first = await judge(results);
    const kept = readFileSync(file, "utf8").trim().split("\n");
    expect(kept).toHaveLength(4);
    expect(JSON.parse(kept[0]!)).toMatchObject({
      model: "judge",
      url,
      prompt: prompts[0],
      reply: "Verdict: tie",
    });
    expect(await judge(results)).toEqual(first);
    expect(prompts).toHaveLength(4);
  });

  it("lets no answer fill another's place in the prompt", async () => {
    await judge(resultsOf({ base: ["{second} $& $1"], fused: ["{question}"] }));
    expect(prompts[0]).toContain("Answer 1:\n{question}\n\nAnswer 2:\n{second} $& $1\n");
  });
});
