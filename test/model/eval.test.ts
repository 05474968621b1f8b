import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AnswerLine } from "../../src/evaluation/answers-file.js";
import type { Report } from "../../src/evaluation/report.js";
import { run, start, untilPrinted } from "../support/command-line.js";
import { modelPath, root } from "../support/real-engine.js";
import { type TemporaryDirectory, temporaryDirectory } from "../support/temporary-directory.js";

/** `shoulders eval` as a person runs it, on the starter models. */

const starter = path.join(root, "test/data/starter/suite.json");
let directory: TemporaryDirectory;
beforeAll(() => {
  directory = temporaryDirectory();
});
afterAll(() => directory.remove());

const evaluate = (out: string, ...args: string[]) =>
  run(["eval", ...args, "--threads", "1", "--out", directory.file(out)]);
const reportOf = (out: string): Report =>
  JSON.parse(readFileSync(path.join(directory.file(out), "report.json"), "utf8")) as Report;
const answersOf = (out: string): AnswerLine[] =>
  readFileSync(path.join(directory.file(out), "answers.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as AnswerLine);

describe("shoulders eval", () => {
  // test/data/starter/README.md, by an independent program; three points of tolerance, because near-ties fall differently.
  it("comes to the known scores, and does not ask again what it knows", async () => {
    const args = ["--suite", starter, "--methods", "giant,right-expert,static-1+joint"];
    const first = await evaluate("scores", ...args);
    expect(first).toMatchObject({ code: 0 });
    expect(first.stdout).toMatch(/^score +recall +sums\n/);
    const { tasks, figures } = reportOf("scores");
    const expected = { recall: [0.05, 0.14, 0.74], sums: [0, 0.92, 0.12] };
    for (const [task, scores] of Object.entries(expected))
      ["giant", "right-expert", "static-1+joint"].forEach((method, index) => {
        const measured = tasks[task]![method]!;
        expect(measured.items).toBe(120);
        expect(Math.abs(measured.score! - scores[index]!), `${task} ${method}`).toBeLessThanOrEqual(0.035);
      });
    expect(figures[0]).toMatchObject({ holds: true, target: "at least 0.7" });
    const known = answersOf("scores");
    // One question of recall is there twice, and asked once.
    expect(known).toHaveLength(3 * (119 + 120));
    const again = await evaluate("scores", ...args);
    expect(again.stdout).toBe(first.stdout);
    expect(again.stderr).not.toContain("Asking");
    expect(answersOf("scores")).toEqual(known);
  });

  it("runs every method that a suite of all roles makes possible", async () => {
    const item = (user: string, answer: string) => ({ messages: [{ role: "user", content: user }], answer });
    const lines = [
      item("What is the job of Kudos Zabim?", "miner"),
      item("When was Monen Rupi born?", "1961"),
    ];
    const tasks = directory.file("people.jsonl");
    writeFileSync(tasks, lines.map((line) => JSON.stringify(line)).join("\n"));
    const suite = directory.file("suite.json");
    const written = {
      base: modelPath("giant"),
      reference: modelPath("dwarf"),
      experts: { trivia: modelPath("dwarf-trivia"), sums: modelPath("dwarf-sums") },
      merged: { "trivia-again": modelPath("dwarf-trivia") },
      tunedGiants: { people: modelPath("dwarf-trivia") },
      alone: { dwarf: modelPath("dwarf") },
      context: { tokens: 256 },
      tasks: [{ file: "people.jsonl", expert: "trivia", examples: "people.jsonl", maxTokens: 6 }],
    };
    writeFileSync(suite, JSON.stringify(written));
    const { code, stderr } = await evaluate("all", "--suite", suite);
    expect(code, stderr).toBe(0);
    const { methods, tasks: measured } = reportOf("all");
    expect(Object.keys(measured.people!)).toEqual(Object.keys(methods));
    expect(Object.values(measured.people!).map(({ errors }) => errors)).toEqual(
      Object.keys(methods).map(() => 0),
    );
    // The dwarf merged of one expert is that expert.
    const answers = (method: string) => answersOf("all").filter((line) => line.method === method);
    expect(answers("dynamic-merged:trivia-again").map(({ answer }) => answer)).toEqual(
      answers("dynamic-exact").map(({ answer }) => answer),
    );
    // Examples are in the prompt of the giant.
    expect(answers("giant-5-shot")[0]!.promptTokens).toBeGreaterThan(answers("giant")[0]!.promptTokens);
  });

  it("ends on SIGINT with a state to go on from", async () => {
    const args = ["--suite", starter, "--limit", "12", "--methods", "dynamic-*", "--threads", "1"];
    const out = directory.file("stopped");
    const child = start(["eval", ...args, "--out", out]);
    const exited = once(child, "exit");
    await new Promise<void>((resolve) => {
      child.stderr?.on("data", (chunk: Buffer) => {
        if (chunk.toString().includes("dynamic-exact")) resolve();
      });
    });
    child.kill("SIGINT");
    expect(await exited).toEqual([130, null]);
    const before = answersOf("stopped");
    expect(before.length).toBeGreaterThan(0);
    expect(before.length).toBeLessThan(12 * 2 * 8);
    expect(await evaluate("stopped", ...args)).toMatchObject({ code: 0 });
    const after = answersOf("stopped");
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after).toHaveLength(12 * 2 * 8);
    expect(new Set(after.map(({ key }) => key)).size).toBe(after.length);
  });

  it("gets the same answers from a server", async () => {
    const server = start(["serve", "--port", "0", "--load", "trivia", "--threads", "1"]);
    try {
      const printed = await untilPrinted(server, "Try:");
      const url = `${/http:\/\/[\d.:]+/.exec(printed)?.[0] ?? ""}/v1`;
      const args = ["--fusion", "trivia", "--tasks", "test/data/starter/recall.jsonl", "--limit", "10"];
      expect(await evaluate("engine", ...args)).toMatchObject({ code: 0 });
      expect(await evaluate("server", ...args, "--url", url)).toMatchObject({ code: 0 });
      const byItem = (out: string) => answersOf(out).sort((a, b) => a.item - b.item);
      expect(byItem("server").map(({ answer, score, numTokens }) => ({ answer, score, numTokens }))).toEqual(
        byItem("engine").map(({ answer, score, numTokens }) => ({ answer, score, numTokens })),
      );
      expect(byItem("engine")[0]!.weights!.trivia).toHaveLength(byItem("engine")[0]!.numTokens);
    } finally {
      server.kill("SIGTERM");
    }
  });

  it("scores given answers by their likelihood, here and at a server, and compares the two runs", async () => {
    const tasks = directory.file("likely.jsonl");
    const items = readFileSync(path.join(root, "test/data/starter/recall.jsonl"), "utf8")
      .split("\n")
      .slice(0, 10);
    const lines = items.map((text) => JSON.parse(text) as { prompt: string; answer: string });
    const right = lines.map(({ answer }) => answer);
    writeFileSync(
      tasks,
      lines
        .map(({ prompt, answer }, at) => ({
          ...{ prompt, answer, scorer: "likelihood" },
          choices: [answer, ...right.filter((other, index) => index !== at && other !== answer)].slice(0, 4),
        }))
        .map((line) => JSON.stringify(line))
        .join("\n"),
    );
    const server = start(["serve", "--port", "0", "--load", "trivia", "--threads", "1"]);
    try {
      const printed = await untilPrinted(server, "Try:");
      const url = `${/http:\/\/[\d.:]+/.exec(printed)?.[0] ?? ""}/v1`;
      const args = ["--fusion", "trivia", "--tasks", tasks];
      expect(await evaluate("likely", ...args)).toMatchObject({
        code: 0,
        stderr: expect.anything() as string,
      });
      expect(await evaluate("likely-url", ...args, "--url", url)).toMatchObject({ code: 0 });
      const sums = (out: string) =>
        answersOf(out)
          .sort((a, b) => a.item - b.item)
          .flatMap(({ likelihoods }) => likelihoods!.map(({ logprob }) => logprob));
      const here = sums("likely");
      expect(here.length).toBeGreaterThanOrEqual(30);
      // In other batches sums of floats come out a little differently.
      sums("likely-url").forEach((logprob, index) =>
        expect(Math.abs(logprob - here[index]!)).toBeLessThan(0.1),
      );
      // By far more than one in four.
      expect(reportOf("likely").tasks["likely"]!["fusion:trivia"]!.score).toBeGreaterThanOrEqual(0.6);
      const compared = await run(["compare", directory.file("likely"), directory.file("likely-url")]);
      expect(compared).toMatchObject({ code: 0, stderr: "" });
      expect(compared.stdout).toMatch(/^likely +fusion:trivia +10 /m);
    } finally {
      server.kill("SIGTERM");
    }
  });

  it("scores by a function of one's own, shows answers side by side, and has a model judge them", async () => {
    const mine = directory.file("mine.mjs");
    writeFileSync(mine, "export default (answer, { answers }) => answer.trim().startsWith(answers[0]);");
    const server = start(["serve", "--port", "0", "--load", "trivia", "--threads", "1"]);
    try {
      const printed = await untilPrinted(server, "Try:");
      const url = `${/http:\/\/[\d.:]+/.exec(printed)?.[0] ?? ""}/v1`;
      const args = ["--fusion", "trivia,giant", "--tasks", "test/data/starter/recall.jsonl", "--limit", "3"];
      const judge = ["--judge-url", url, "--judge-model", "trivia", "--judge-against", "fusion:giant"];
      const { code, stderr } = await evaluate("judged", ...args, "--scorer", mine, ...judge);
      expect(code, stderr).toBe(0);
      const { judged } = reportOf("judged");
      const { wins, ties, losses } = judged!.tasks["recall"]!["fusion:trivia"]!;
      expect(wins + ties + losses).toBe(3);
      expect(judged!.prompt).toContain("{first}");
      const page = readFileSync(path.join(directory.file("judged"), "report.html"), "utf8");
      expect(page).toMatch(/judged (better|equal|worse)/);
    } finally {
      server.kill("SIGTERM");
    }
  });

  it("counts what a server refuses, and says so", async () => {
    const args = ["--fusion", "x", "--tasks", "test/data/starter/recall.jsonl", "--limit", "2"];
    const { code, stderr } = await evaluate("nowhere", ...args, "--url", "http://127.0.0.1:1/v1");
    expect(code).toBe(1);
    expect(stderr).toContain(
      "2 of 2 answers failed, the first: http://127.0.0.1:1/v1/completions cannot be reached",
    );
  });

  it.each<[string[], RegExp]>([
    [[], /nothing to ask: give --tasks or --suite/],
    [["--tasks", "test/data/starter/recall.jsonl"], /nobody to ask: give --fusion or --suite/],
    [["--suite", starter, "--limit", "0"], /--limit: "0" is not allowed/],
    [["--suite", starter, "--methods", "gaint"], /no method is called "gaint"/],
    [["--tasks", "test/data/starter/recall.jsonl", "--fusion", "trvia"], /did you mean "trivia"/],
    [
      ["--tasks", "gsm8k:test/data/starter/recall.jsonl", "--fusion", "giant"],
      /recall\.jsonl: item 1: question/,
    ],
    [["--suite", starter, "--url", "http://x"], /leave --suite and --methods out/],
  ])("refuses %j with exit code 2", async (args, message) => {
    const { code, stderr } = await evaluate("refused", ...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});
