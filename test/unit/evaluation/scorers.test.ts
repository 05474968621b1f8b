import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chosenChoice, scoreAnswer } from "../../../src/evaluation/scorers.js";
import type { Item, ScorerName } from "../../../src/evaluation/tasks/task.js";

const item = (scorer: ScorerName, answers: string[], choices: string[] = []): Item => ({
  prompt: { type: "text", text: "?" },
  answers,
  choices,
  scorer,
  stop: [],
  maxTokens: 8,
  target: answers[0] ?? "",
});

describe("exact", () => {
  it.each([
    [" miner.", "miner", 1],
    ["The Nile", "nile", 1],
    ["river  Nile!", "River Nile", 1],
    ["Nile delta", "Nile", 0],
    ["1961", "1962", 0],
    ["", "miner", 0],
    ["the", "a", 0],
    ["?", "!", 0],
    ["Zoë", "zoë", 1],
  ])("%j for %j is %d", (answer, expected, score) => {
    expect(scoreAnswer(answer, item("exact", [expected]))).toBe(score);
  });

  it("takes the best of several answers", () => {
    expect(scoreAnswer("Ferrum", item("exact", ["Fe", "ferrum"]))).toBe(1);
  });
});

describe("number", () => {
  it.each([
    ["3 + 4 = 7. #### 7", "7", 1],
    ["#### 7 and more #### 8", "8", 0],
    ["7", "7", 0],
    ["#### -12", "-12", 1],
    ["#### 2,500", "2500", 1],
    ["####2500", "36-20 = 16\n#### 2,500", 1],
    ["#### $5.50", "5.5", 1],
    ["#### 70", "7", 0],
    ["#### ", "7", 0],
  ])("%j for %j is %d", (answer, expected, score) => {
    expect(scoreAnswer(answer, item("number", [expected]))).toBe(score);
  });
});

/** ROUGE-N F1 as in Lin's paper, by plain counting. */
function plainRouge2(answer: string[], expected: string[]): number {
  const pairs = (words: string[]) => words.slice(1).map((word, index) => `${words[index] ?? ""} ${word}`);
  const left = pairs(expected);
  const total = pairs(answer).length + left.length;
  let shared = 0;
  for (const pair of pairs(answer)) {
    const at = left.indexOf(pair);
    if (at < 0) continue;
    left.splice(at, 1);
    shared++;
  }
  return shared === 0 ? 0 : (2 * shared) / total;
}

describe("rouge2", () => {
  it.each([
    // 4 of 6 pairs on both sides.
    ["New bridge for Zacombe costs 10 thousand", "New bridge for Zacombe costs 12 thousand", 4 / 6],
    // One shared pair of 2 and 3: P = 1/2, R = 1/3, F1 = 2·1/(2 + 3).
    ["the gunman fled", "Police killed the gunman", 2 / 5],
    // "the the" counts once: one of 2 and 1 pairs.
    ["the the the", "the the", 2 / 3],
    ["It's 3.5 %", "it s 3 5", 1],
    ["one", "one", 0],
    ["", "a storm in Gecombe", 0],
  ])("%j for %j is %d", (answer, expected, score) => {
    expect(scoreAnswer(answer, item("rouge2", [expected]))).toBeCloseTo(score, 12);
  });

  it("agrees with plain counting", () => {
    const words = fc.array(fc.constantFrom("a", "b", "c", "storm"), { maxLength: 12 });
    fc.assert(
      fc.property(words, words, (answer, expected) => {
        const score = scoreAnswer(answer.join(" "), item("rouge2", [expected.join(" ")]));
        expect(score).toBeCloseTo(plainRouge2(answer, expected), 12);
      }),
    );
  });
});

describe("choice", () => {
  const choices = ["Sable", "Isker", "A boat", "New York"];

  it.each([
    ["Isker", 1],
    [" isker.\nMore text", 1],
    ["B", 1],
    ["(B) Isker", 1],
    ["B. whatever", 1],
    ["The answer is B.", 1],
    ["A boat", 2],
    ["It lies at the Isker, I think", 1],
    ["In New York", 3],
    ["Isker or Sable", null],
    ["Newark", null],
    ["E", null],
    ["", null],
  ])("%j names %j", (answer, index) => {
    expect(chosenChoice(answer, choices)).toBe(index);
  });

  it("compares what the answer names with what the key names", () => {
    expect(scoreAnswer("B", item("choice", ["Isker"], choices))).toBe(1);
    expect(scoreAnswer("Isker", item("choice", ["B"], choices))).toBe(1);
    expect(scoreAnswer("Sable", item("choice", ["Isker"], choices))).toBe(0);
    expect(scoreAnswer("nothing", item("choice", ["Isker"], choices))).toBe(0);
  });
});

describe("contains", () => {
  it.each([
    ["It is the Nile, I think.", "nile", 1],
    ["Nileside", "nile", 0],
    ["the river Nile", "River Nile", 1],
    ["", "nile", 0],
  ])("%j for %j is %d", (answer, expected, score) => {
    expect(scoreAnswer(answer, item("contains", [expected]))).toBe(score);
  });
});

describe("regex", () => {
  it.each([
    ["  42\n", "^\\d+$", 1],
    ["about 42", "^\\d+$", 0],
    ["colour", "colou?r", 1],
    ["Zoë", "^\\p{L}+$", 1],
  ])("%j for %j is %d", (answer, expected, score) => {
    expect(scoreAnswer(answer, item("regex", [expected]))).toBe(score);
  });
});

describe("json", () => {
  const schema = {
    type: "object",
    properties: { town: {}, tags: { type: "array", uniqueItems: true }, at: { properties: { x: {} } } },
  };

  it.each([
    ['{ "b": 1.0, "a": [1, 2] }', '{"a":[1,2],"b":1}', 1],
    ['Here:\n```json\n{"a": 1}\n```', '{"a":1}', 1],
    ['{"a":1,"b":2}', '{"a":1}', 0],
    ["[2,1]", "[1,2]", 0],
    ["a: 1", '{"a":1}', 0],
    ["null", "null", 1],
  ])("%j for %j is %d", (answer, expected, score) => {
    expect(scoreAnswer(answer, item("json", [expected]))).toBe(score);
  });

  it.each([
    ['{"town":"Oslo","note":"north"}', '{"town":"Oslo"}', 1],
    ['{"tags":["b","a"]}', '{"tags":["a","b"]}', 1],
    ['{"at":{"x":1,"y":2}}', '{"at":{"x":1,"y":3}}', 1],
    ['{"at":{"x":2}}', '{"at":{"x":1}}', 0],
    ["{}", '{"town":"Oslo"}', 0],
  ])("with a schema, %j for %j is %d", (answer, expected, score) => {
    expect(scoreAnswer(answer, { ...item("json", [expected]), schema })).toBe(score);
  });
});
