import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { AnswerLine } from "../../../src/evaluation/answers-file.js";
import { compareRuns, readRun, type Run } from "../../../src/evaluation/compare-runs.js";
import { answerLine } from "../../support/answer-line.js";
import { mcNemar } from "../../../src/verdicts/mcnemar.js";

const line = (item: number, score: number | null, parts: Partial<AnswerLine> = {}): AnswerLine =>
  answerLine({ key: `k${item}`, task: "t", item, prompt: `q${item}`, score, ...parts });
const runOf = (scores: (number | null)[], method = "m"): Run =>
  new Map([["t", new Map([[method, scores.map((score, item) => line(item, score))]])]]);
const options = { methods: null, seed: 1 };

describe("McNemar's exact test", () => {
  // By hand, from the binomial distribution with p = 1/2.
  it.each([
    [0, 0, 1],
    [1, 0, 1],
    [5, 0, 2 / 32],
    [6, 1, (2 * (1 + 7)) / 128],
    [3, 3, 1],
    [10, 2, (2 * (1 + 12 + 66)) / 4096],
  ])("of %d and %d is %d", (b, c, p) => {
    expect(mcNemar(b, c)).toBeCloseTo(p, 12);
    expect(mcNemar(c, b)).toBeCloseTo(p, 12);
  });

  it("holds for many changes", () => {
    expect(mcNemar(3000, 3000)).toBe(1);
    expect(mcNemar(3200, 2800)).toBeLessThan(1e-6);
  });
});

describe("compareRuns", () => {
  it("pairs the items and names those that changed", () => {
    const [compared] = compareRuns(runOf([1, 0, 0, 0, 1, null]), runOf([1, 1, 1, 1, 0, 1]), options);
    expect(compared).toMatchObject({ task: "t", items: 5, before: 0.4, after: 0.8, better: 3, worse: 1 });
    expect(compared!.p).toBeCloseTo((2 * (1 + 4)) / 16, 12);
    expect(compared!.changed.map(({ item }) => item)).toEqual([1, 2, 3, 4]);
    expect(compared!.low).toBeLessThan(0.4);
    expect(compared!.high).toBeGreaterThan(0.4);
  });

  it("has no p for scores between 0 and 1", () => {
    expect(compareRuns(runOf([0.5, 1]), runOf([1, 1]), options)[0]).toMatchObject({ p: null, better: 1 });
  });

  it("leaves out items whose question is another", () => {
    const after = runOf([0, 0]);
    after.get("t")!.get("m")![1] = line(1, 0, { prompt: "edited" });
    expect(compareRuns(runOf([1, 1]), after, options)[0]).toMatchObject({ items: 1, worse: 1 });
  });

  it("compares one method with another", () => {
    const compared = compareRuns(runOf([0], "base"), runOf([1], "fused"), {
      methods: ["base", "fused"],
      seed: 1,
    });
    expect(compared).toMatchObject([{ methods: ["base", "fused"], better: 1 }]);
  });

  it("says what there is where nothing is in common", () => {
    expect(() => compareRuns(runOf([0], "base"), runOf([1], "fused"), options)).toThrow(
      /no scored item in common; the first has base \(tasks t\), the second fused/,
    );
  });
});

describe("readRun", () => {
  it("reads the answers that the run is about, and no others", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "run-"));
    const lines = [line(0, 1), line(1, 0), line(2, 1)].map((one) => JSON.stringify(one));
    writeFileSync(path.join(folder, "answers.jsonl"), `${lines.join("\n")}\n`);
    writeFileSync(path.join(folder, "run.json"), JSON.stringify({ t: { m: ["k1", "k0"] } }));
    const read = readRun(folder).get("t")?.get("m");
    expect(read?.map(({ item, score }) => [item, score])).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });

  it("says where it is another file", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "run-"));
    writeFileSync(path.join(folder, "run.json"), "{");
    expect(() => readRun(folder)).toThrow(/run.json: not what eval writes/);
  });

  it("says where there is none", () => {
    expect(() => readRun(mkdtempSync(path.join(tmpdir(), "run-")))).toThrow(
      /no run.json there: name a folder/,
    );
  });
});
