import { appendFileSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { ShouldersError } from "../../../src/errors.js";
import type { Answer, Answerer } from "../../../src/evaluation/answerer.js";
import { AnswersFile } from "../../../src/evaluation/answers-file.js";
import { candidatesOf } from "../../../src/evaluation/scorers.js";
import { OwnScorers } from "../../../src/evaluation/own-scorer.js";
import { type Method, type Plan, plan } from "../../../src/evaluation/methods/method.js";
import { type RunOptions, type RunProgress, runEvaluation } from "../../../src/evaluation/runner.js";
import type { Item, Task } from "../../../src/evaluation/tasks/task.js";

const task = (name: string, numItems: number): Task => ({
  name,
  expert: null,
  examples: [],
  items: Array.from({ length: numItems }, (_, index) => ({
    prompt: { type: "text", text: `${name} ${index}?` },
    answers: [`${index}`],
    choices: [],
    scorer: "exact",
    stop: [],
    maxTokens: 4,
    target: "",
  })),
});

const method = (name: string, configId: string | null = name): Method => ({
  name,
  kind: "alone",
  description: name,
  planFor: () => (configId === null ? null : plan(configId, null)),
});

/** Answers every item with its number; remembers what was asked. */
class ScriptedAnswerer implements Answerer {
  readonly asked: string[] = [];
  version = 1;
  before: (asked: string) => Promise<void> | void = () => undefined;

  async answer({ configId }: Plan, item: Item, signal: AbortSignal): Promise<Answer | null> {
    const text = item.prompt.type === "text" ? item.prompt.text : "";
    this.asked.push(`${configId}: ${text}`);
    await this.before(`${configId}: ${text}`);
    if (signal.aborted) return null;
    return {
      text: /\d+/.exec(text)?.[0] ?? "",
      finishReason: "stop",
      promptTokens: 3,
      numTokens: 2,
      weights: { sums: [1, 0.5] },
      shares: { base: [0.5, 0.2], sums: [0.5, 0.8] },
      forward: 0.25,
      flipped: 0.5,
      skippedShare: 0,
      steps: null,
      trace: null,
      likelihoods: null,
      firstTokenMs: 1,
      totalMs: 2,
    };
  }

  /** The number that the prompt has is four times as likely as any other. */
  async likelihoods(plan: Plan, item: Item, signal: AbortSignal): Promise<Answer | null> {
    const answer = await this.answer(plan, item, signal);
    const logprob = (text: string) => Math.log(text === answer?.text ? 0.8 : 0.2);
    return (
      answer && {
        ...answer,
        likelihoods: candidatesOf(item).map((text) => ({ logprob: logprob(text), numTokens: 1 })),
      }
    );
  }

  identityOf({ configId }: Plan): unknown {
    return { configId, version: this.version };
  }
}

describe("runEvaluation", () => {
  let out: string;
  let answerer: ScriptedAnswerer;
  let stop: AbortController;

  beforeEach(() => {
    out = path.join(mkdtempSync(path.join(tmpdir(), "run-")), "answers.jsonl");
    answerer = new ScriptedAnswerer();
    stop = new AbortController();
  });

  const run = async (options: Partial<RunOptions> = {}) =>
    runEvaluation({
      tasks: [task("t", 3)],
      ownScorers: await OwnScorers.of((options.tasks ?? []).flatMap(({ items }) => items)),
      methods: [method("a")],
      answerer,
      file: new AnswersFile(out),
      concurrency: 1,
      signal: stop.signal,
      onProgress: () => undefined,
      ...options,
    });

  const linesOf = (): Record<string, unknown>[] =>
    readFileSync(out, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  it("writes a line an item, with everything that is known of it", async () => {
    await run();
    expect(linesOf()).toHaveLength(3);
    expect(linesOf()[1]).toMatchObject({
      task: "t",
      method: "a",
      item: 1,
      prompt: "t 1?",
      expected: ["1"],
      answer: "1",
      score: 1,
      weights: { sums: [1, 0.5] },
      forward: 0.25,
      totalMs: 2,
      error: null,
    });
  });

  it("asks nothing twice, and only what is new of a larger run", async () => {
    const small = await run();
    const again = await run();
    expect(answerer.asked).toHaveLength(3);
    expect(again).toEqual(small);
    const larger = await run({ tasks: [task("t", 5)], methods: [method("a"), method("b")] });
    expect(answerer.asked).toHaveLength(3 + 2 + 5);
    expect(
      larger
        .get("t")
        ?.get("a")
        ?.map(({ item }) => item),
    ).toEqual([0, 1, 2, 3, 4]);
  });

  it("asks anew what a setting changed, and keeps the old answers out", async () => {
    await run();
    answerer.version = 2;
    const results = await run();
    expect(answerer.asked).toHaveLength(6);
    expect(results.get("t")?.get("a")).toHaveLength(3);
    const shorter = task("t", 3);
    for (const item of shorter.items) item.maxTokens = 2;
    await run({ tasks: [shorter] });
    expect(answerer.asked).toHaveLength(9);
  });

  it("scores again, and asks nobody, where only the scorer or the right answers are others", async () => {
    await run();
    const other = task("t", 3);
    for (const item of other.items) Object.assign(item, { scorer: "contains", answers: ["2"] });
    const results = await run({ tasks: [other] });
    expect(answerer.asked).toHaveLength(3);
    const lines = results.get("t")?.get("a") ?? [];
    expect(lines.map(({ score, expected }) => [score, expected])).toEqual([
      [0, ["2"]],
      [0, ["2"]],
      [1, ["2"]],
    ]);
    const before = linesOf().length;
    await run({ tasks: [other] });
    expect(linesOf()).toHaveLength(before);
  });

  it("asks for likelihoods where they are scored: the right choice, or how likely the answer is", async () => {
    const choices = task("t", 2);
    for (const item of choices.items)
      Object.assign(item, { scorer: "likelihood", choices: ["0", "7"], answers: ["0"] });
    const results = await run({ tasks: [choices] });
    const scores = results.get("t")?.get("a") ?? [];
    expect(scores.map(({ score }) => score)).toEqual([1, 1]);
    expect(scores[0]!.likelihoods!.map(({ logprob }) => Math.exp(logprob))).toEqual([0.8, 0.2]);
    const open = task("t", 2);
    for (const item of open.items) item.scorer = "likelihood";
    const likely = await run({ tasks: [open] });
    expect(
      likely
        .get("t")
        ?.get("a")
        ?.map(({ score }) => score),
    ).toEqual([0.8, 0.8]);
  });

  it("keeps answers that nobody scores", async () => {
    const unscored = task("t", 2);
    for (const item of unscored.items) Object.assign(item, { scorer: "none", answers: [] });
    const results = await run({ tasks: [unscored] });
    expect(
      results
        .get("t")
        ?.get("a")
        ?.map(({ answer, score, error }) => [answer, score, error]),
    ).toEqual([
      ["0", null, null],
      ["1", null, null],
    ]);
    await run({ tasks: [unscored] });
    expect(answerer.asked).toHaveLength(2);
  });

  describe("a scorer of one's own", () => {
    const written = (code: string) => {
      const file = path.join(mkdtempSync(path.join(tmpdir(), "scorer-")), "mine.mjs");
      writeFileSync(file, code);
      const own = task("t", 3);
      for (const item of own.items) item.scorer = file;
      return { file, own };
    };

    it("scores by its function, which may take its time", async () => {
      const { own } = written(
        "export default async (answer, { answers, prompt }) =>\n" +
          "  prompt.text === 't 2?' ? 0.25 : answer === answers[0] && answer !== '1';",
      );
      const results = await run({ tasks: [own] });
      expect(
        results
          .get("t")
          ?.get("a")
          ?.map(({ score }) => score),
      ).toEqual([1, 0, 0.25]);
    });

    it("is told what it gave wrongly, and loses no answer by it", async () => {
      const { file, own } = written("export default (answer) => (answer === '1' ? 7 : 1);");
      await expect(run({ tasks: [own] })).rejects.toThrow(
        /mine.mjs: gave 7 for the answer "1"; give a number/,
      );
      expect(linesOf().map(({ answer }) => answer)).toEqual(["0", "1"]);
      writeFileSync(file, "export default () => { throw new Error('no luck'); };");
      await expect(run({ tasks: [own] })).rejects.toThrow(/gave 7|no luck/);
      expect(answerer.asked).toHaveLength(2);
    });

    it.each([
      ["export const score = 1;", /must export a function by default/],
      ["this is no module", /not a scorer/],
    ])("refuses %j", async (code, message) => {
      await expect(run({ tasks: [written(code).own] })).rejects.toThrow(message);
    });
  });

  it("asks once what two methods share", async () => {
    const results = await run({ methods: [method("a"), method("right", "a"), method("none", null)] });
    expect(answerer.asked).toHaveLength(3);
    expect([...(results.get("t")?.keys() ?? [])]).toEqual(["a", "right"]);
    expect(results.get("t")?.get("right")).toEqual(results.get("t")?.get("a"));
  });

  it("writes an item's error down, goes on, and asks it again the next time", async () => {
    answerer.before = (asked) => {
      if (asked.includes("1?")) throw new ShouldersError("context_length_exceeded", "too long");
    };
    const results = await run();
    const lines = results.get("t")?.get("a") ?? [];
    expect(lines.map(({ score }) => score)).toEqual([1, null, 1]);
    expect(lines[1]?.error).toEqual({ code: "context_length_exceeded", message: "too long" });
    answerer.before = () => undefined;
    const repaired = await run();
    expect(answerer.asked).toHaveLength(4);
    expect(
      repaired
        .get("t")
        ?.get("a")
        ?.map(({ score }) => score),
    ).toEqual([1, 1, 1]);
  });

  it("waits where the queue is full or the engine starts again", async () => {
    let refusals = 1;
    answerer.before = () => {
      if (refusals-- > 0) throw new ShouldersError("queue_full", "try again");
    };
    const results = await run();
    expect(
      results
        .get("t")
        ?.get("a")
        ?.map(({ error }) => error),
    ).toEqual([null, null, null]);
    expect(answerer.asked).toHaveLength(4);
  });

  it("leaves a state to go on from when it is stopped, even within a line", async () => {
    answerer.before = (asked) => {
      if (asked.includes("t 1?")) stop.abort();
    };
    await run();
    expect(linesOf()).toHaveLength(1);
    appendFileSync(out, '{"key":"half a li');
    stop = new AbortController();
    answerer.before = () => undefined;
    const results = await run();
    expect(answerer.asked.slice(2)).toEqual(["a: t 1?", "a: t 2?"]);
    expect(linesOf()).toHaveLength(3);
    expect(results.get("t")?.get("a")).toHaveLength(3);
  });

  it("asks so many at a time, and tells how far it is", async () => {
    let open = 0;
    let most = 0;
    answerer.before = async () => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setTimeout(resolve, 5));
      open--;
    };
    const shown: RunProgress[] = [];
    await run({ concurrency: 4, tasks: [task("t", 12)], onProgress: (progress) => shown.push(progress) });
    expect(most).toBe(4);
    expect(shown.map(({ done }) => done)).toEqual(Array.from({ length: 12 }, (_, index) => index + 1));
    expect(shown[0]).toMatchObject({ total: 12, reused: 0, task: "t", method: "a" });
  });
});
