import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Label, labelSchema } from "../../src/distillation/label.js";
import { run } from "../support/command-line.js";

/** The real program on the starter models. */

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shoulders-distill-"));
  const lines = questions.map((content) =>
    JSON.stringify({ messages: [{ role: "user", content }], choices: ["Trorar", "12"], maxTokens: 24 }),
  );
  writeFileSync(inFolder("prompts.jsonl"), lines.join("\n"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const questions = ["What is the home town of Venur Gevol?", "What is 3 + 4?", "What is 2 + 9?"];
const inFolder = (name: string) => path.join(directory, name);

const distill = (out: string, ...flags: string[]) =>
  run(["distill", "trivia", "--prompts", inFolder("prompts.jsonl"), "--out", inFolder(out), ...flags]);

const labelsOf = (name: string): Label[] =>
  readFileSync(inFolder(name), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => labelSchema.parse(JSON.parse(line)));

const answerOf = ({ messages }: Label) => messages?.at(-1)?.content;

describe("shoulders distill", () => {
  it("writes what complete answers, with a distribution at each token, and goes on where it was", async () => {
    const first = await distill("fused.jsonl");
    expect(first.code, first.stderr).toBe(0);
    expect(first.stderr).toMatch(
      /3 of 3 answers are in the file; .* trust of 0\.\d+ at least\.\nThey took \d+ tokens/,
    );
    const labels = labelsOf("fused.jsonl");
    expect(labels.map(({ item }) => item)).toEqual([0, 1, 2]);
    const { stdout } = await run(["complete", "--fusion", "trivia", questions[0]!]);
    expect(answerOf(labels[0]!)).toBe(stdout.trim());
    expect(labels[0]?.messages?.[0]).toEqual({ role: "user", content: questions[0] });
    for (const { tokens, logprob, trust } of labels) {
      expect(trust).toBeCloseTo(Math.exp(logprob), 4);
      for (const { id, top, tail, weights, vouch } of tokens) {
        const mass = top.reduce((sum, [, value]) => sum + Math.exp(value), 0) + Math.exp(tail);
        expect(mass).toBeCloseTo(1, 4);
        // Greedy.
        expect(top[0]?.[0]).toBe(id);
        expect(Object.keys(weights)).toEqual(["trivia"]);
        expect(vouch).not.toBeNull();
      }
    }
    // Stopped within its third line.
    const whole = readFileSync(inFolder("fused.jsonl.all"), "utf8");
    writeFileSync(inFolder("fused.jsonl.all"), whole.slice(0, -20));
    const again = await distill("fused.jsonl", "--trust", "0.5");
    expect(again.stderr).toContain("\n2 were there before");
    const keysOf = (text: string) =>
      text
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as Label).key);
    expect(keysOf(readFileSync(inFolder("fused.jsonl.all"), "utf8"))).toEqual(keysOf(whole));
    const kept = labelsOf("fused.jsonl").map(({ item }) => item);
    const surest = [...labels].sort((a, b) => b.trust - a.trust).slice(0, 2);
    expect(kept).toEqual(surest.map(({ item }) => item).sort());
  });

  it("has the base's answer beside it, as the rejected one", async () => {
    const { code, stderr } = await distill("pairs.jsonl", "--pairs");
    expect(code, stderr).toBe(0);
    for (const { prompt, chosen, rejected } of labelsOf("pairs.jsonl")) {
      expect(prompt).toHaveLength(1);
      expect(chosen).not.toEqual(rejected);
      expect(chosen).toMatchObject([{ role: "assistant" }]);
    }
  });

  it("takes verdicts, several draws, or the base", async () => {
    await distill("judge.jsonl", "--law", "judge");
    const [verdict] = labelsOf("judge.jsonl");
    expect(verdict).toMatchObject({
      law: "judge",
      candidates: [
        ["Trorar", verdict?.trust],
        ["12", expect.any(Number)],
      ],
    });
    expect(answerOf(verdict!)).toBe("Trorar");
    await distill("drawn.jsonl", "--samples", "3", "--top", "5");
    const drawn = labelsOf("drawn.jsonl");
    expect(new Set(drawn.map(({ item, sample }) => `${item} ${sample}`)).size).toBe(drawn.length);
    expect(drawn.length).toBeGreaterThan(3);
    expect(
      Math.max(...drawn.flatMap(({ tokens }) => tokens.map(({ top }) => top.length))),
    ).toBeLessThanOrEqual(5);
  });

  it("refuses prompts that are tested on, and laws that nobody has", async () => {
    const tested = await distill("x.jsonl", "--test", inFolder("prompts.jsonl"));
    expect(tested).toMatchObject({ code: 2, stdout: "" });
    expect(tested.stderr).toMatch(/3 of the prompts are in .*prompts\.jsonl, the first is prompt 1/);
    const law = await distill("x.jsonl", "--law", "expert:sums");
    expect(law.code).toBe(2);
    expect(law.stderr).toContain("known: fused, base, judge, expert:trivia");
  });
});
