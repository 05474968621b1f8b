import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { scoreAnswer } from "../../../src/evaluation/scorers.js";
import { loadTask, parseTaskArgument, type TaskSource } from "../../../src/evaluation/tasks/load-task.js";
import type { Task } from "../../../src/evaluation/tasks/task.js";

const data = path.resolve(import.meta.dirname, "../../data/eval");
const options = { limit: null, seed: 1, numExamples: 5 };

const load = (argument: string, seed = 1): Task => {
  const source = parseTaskArgument(argument);
  return loadTask({ ...source, file: path.join(data, source.file) }, { ...options, seed });
};

const question = (task: Task, index = 0): string => {
  const prompt = task.items[index]?.prompt;
  return prompt?.type === "chat" ? (prompt.messages[0]?.content ?? "") : (prompt?.text ?? "");
};

describe("public forms", () => {
  it("reads GSM8K", () => {
    const { items, name } = load("gsm8k:gsm8k.jsonl");
    expect(name).toBe("gsm8k");
    expect(items).toHaveLength(2);
    expect(items[0]!.target).toContain("36-20");
    expect(scoreAnswer("So 16 rolls.\n#### 16", items[0]!)).toBe(1);
    expect(scoreAnswer("#### 2500", items[1]!)).toBe(1);
    expect(scoreAnswer("16", items[0]!)).toBe(0);
  });

  it.each([
    ["triviaqa:triviaqa.json", "Which river flows through Khartoum and Cairo?", "the Nile River"],
    ["triviaqa:triviaqa.jsonl", "What is the chemical symbol of iron?", "ferrum"],
  ])("reads TriviaQA from %s", (argument, asked, alias) => {
    const task = load(argument);
    expect(question(task)).toContain(asked);
    expect(scoreAnswer(alias, task.items[0]!)).toBe(1);
    expect(task.items[0]!.answers).not.toContain("");
  });

  it.each([
    ["truthfulqa:truthfulqa.json", "It falls until the ground stops it"],
    ["truthfulqa:truthfulqa.jsonl", "No, they remember for months"],
  ])("reads TruthfulQA from %s, in an order that the seed decides", (argument, right) => {
    const places = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const item = load(argument, seed).items[0]!;
      expect(item.answers).toEqual([right]);
      const place = item.choices.indexOf(right);
      places.add(place);
      expect(item.target).toBe("ABCD"[place]);
      expect(scoreAnswer(item.target, item)).toBe(1);
    }
    expect(places.size).toBeGreaterThan(2);
    expect(load(argument, 7)).toEqual(load(argument, 7));
  });

  it.each(["cnndm:cnndm.csv", "cnndm:cnndm.jsonl"])("reads CNN/DailyMail from %s", (argument) => {
    const { items } = load(argument);
    expect(items).toHaveLength(1);
    expect(scoreAnswer(items[0]!.target, items[0]!)).toBe(1);
  });

  it("keeps quotes and line ends of a CSV field", () => {
    const task = load("cnndm:cnndm.csv");
    expect(question(task)).toContain('"It is the ice," the harbour master said.\nShips wait');
  });

  it.each([
    ["mmlu:mmlu.csv", 2, "B"],
    ["mmlu:mmlu.jsonl", 1, "C"],
  ])("reads MMLU from %s", (argument, count, letter) => {
    const task = load(argument);
    expect(task.items).toHaveLength(count);
    expect(question(task)).toMatch(/\nA\. .*\nB\. .*\nC\. .*\nD\. /);
    expect(scoreAnswer(letter, task.items[0]!)).toBe(1);
    expect(scoreAnswer(task.items[0]!.answers[0]!, task.items[0]!)).toBe(1);
    expect(scoreAnswer("A", task.items[0]!)).toBe(0);
  });
});

describe("plain task files", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "tasks-"));
  const write = (name: string, ...lines: (object | string)[]): string => {
    const file = path.join(folder, name);
    writeFileSync(
      file,
      lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"),
    );
    return file;
  };
  const read = (source: Partial<TaskSource> & { file: string }) =>
    loadTask({ format: null, ...source }, options);

  it("fills in what a line leaves open", () => {
    const file = write(
      "My Task.jsonl",
      { prompt: "Q:", answer: "yes" },
      { messages: [{ role: "user", content: "?" }], answers: ["B"], choices: ["no", "yes"], stop: ["\n"] },
    );
    const task = read({ file, maxTokens: 5 });
    expect(task.name).toBe("my-task");
    expect(task.items.map(({ scorer, stop, maxTokens }) => ({ scorer, stop, maxTokens }))).toEqual([
      { scorer: "exact", stop: [], maxTokens: 5 },
      { scorer: "choice", stop: ["\n"], maxTokens: 5 },
    ]);
  });

  it("knows unscored items, JSON answers, and a module beside it", () => {
    const file = write(
      "own.jsonl",
      { prompt: "Q:" },
      { prompt: "Q:", answer: { a: 1 }, scorer: "json", schema: { properties: { a: {} } } },
      { prompt: "Q:", answer: 7, scorer: "./mine.js" },
    );
    expect(read({ file }).items.map(({ scorer, answers, schema }) => [scorer, answers, schema])).toEqual([
      ["none", [], undefined],
      ["json", ['{"a":1}'], { properties: { a: {} } }],
      [path.join(folder, "mine.js"), ["7"], undefined],
    ]);
  });

  it("scores by what the command line names, whatever its lines say", () => {
    const file = write(
      "named.jsonl",
      { prompt: "Q:", answer: "a", scorer: "regex" },
      { prompt: "Q:", answer: "a" },
    );
    const scorers = (source: Partial<TaskSource>) =>
      read({ file, ...source }).items.map(({ scorer }) => scorer);
    expect(scorers({ scorer: "contains" })).toEqual(["regex", "contains"]);
    expect(scorers({ scorer: "contains", everyScorer: "likelihood" })).toEqual(["likelihood", "likelihood"]);
  });

  it("takes examples from a file of the same form", () => {
    const file = write("t.jsonl", {
      messages: [{ role: "user", content: "1+1?" }],
      answer: "2",
      expert: "sums",
    });
    const examples = write(
      "e.jsonl",
      ...[1, 2, 3, 4, 5, 6].map((n) => ({
        messages: [{ role: "user", content: `${n}?` }],
        answer: `${n}`,
        target: `so ${n}`,
      })),
    );
    const task = read({ file, examples });
    expect(task.expert).toBe("sums");
    expect(task.examples).toHaveLength(5);
    expect(task.examples[1]).toEqual({ user: "2?", assistant: "so 2" });
  });

  it.each<[string, (object | string)[], RegExp]>([
    [
      "a misspelt key",
      [{ prompt: "Q", answers: ["a"], anwsers: [] }],
      /item 1: anwsers: .*did you mean "answers"/,
    ],
    [
      "no answer to compare with",
      [{ prompt: "Q", scorer: "exact" }],
      /item 1: the scorer exact needs answers/,
    ],
    ["answer and answers", [{ prompt: "Q", answer: "a", answers: ["a"] }], /give either answers or answer/],
    [
      "no regular expression",
      [{ prompt: "Q", answer: "(", scorer: "regex" }],
      /"\(" is not what the scorer regex/,
    ],
    [
      "no JSON to compare",
      [{ prompt: "Q", answer: "{", scorer: "json" }],
      /is not what the scorer json reads/,
    ],
    ["prompt and messages", [{ prompt: "Q", messages: [], answer: "a" }], /item 1/],
    ["no JSON", [{ prompt: "Q", answer: "a" }, "{"], /bad\.jsonl:2: not JSON/],
    ["an unknown scorer", [{ prompt: "Q", answer: "a", scorer: "bleu" }], /scorer/],
    ["a key that is no choice", [{ prompt: "Q", answer: "c", choices: ["a1", "b1"] }], /no choice is named/],
    ["nothing", [""], /no items/],
    [
      "two experts",
      [
        { prompt: "Q", answer: "a", expert: "x" },
        { prompt: "Q", answer: "a", expert: "y" },
      ],
      /different experts/,
    ],
  ])("refuses %s", (_, lines, message) => {
    const file = write("bad.jsonl", ...lines);
    expect(() => read({ file })).toThrow(message);
    expect(() => read({ file })).toThrow(expect.objectContaining({ code: "evaluation_invalid" }));
  });

  it("refuses a file that is not there, and another form than said", () => {
    expect(() => read({ file: path.join(folder, "none.jsonl") })).toThrow(/cannot be read/);
    expect(() => load("gsm8k:mmlu.jsonl")).toThrow(/item 1: answer/);
    expect(() => load("mmlu:cnndm.csv")).toThrow(/not CSV|item 1/);
  });
});
