import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { scoreAnswer } from "../../src/evaluation/scorers.js";
import { loadTask } from "../../src/evaluation/tasks/load-task.js";
import type { Item } from "../../src/evaluation/tasks/task.js";
import type { Credit } from "../../src/wire/feedback.js";
import type { ChatCompletion } from "../../src/wire/completion.js";
import { familyPath, resolvedConfig, root } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";

/** What ratings of whole answers teach about real ones: thumbs and scores are the tasks' own scorers'. */

const configOf = (task: string) =>
  resolvedConfig({
    id: task,
    base: familyPath("giant"),
    reference: familyPath("dwarf"),
    experts: { [task]: familyPath(`dwarf-${task}`) },
    strategy: { type: "static", weights: { [task]: 1 }, plausibility: { ratio: 0.1, of: "gated" } },
  });

let server: RealServer;
beforeAll(async () => {
  server = await serveConfigs([configOf("problems"), configOf("recall"), configOf("headline")]);
});
afterAll(() => server.close());

function itemsOf(task: string): Item[] {
  const source = { file: path.join(root, `models/tasks/${task}.jsonl`), format: null };
  return loadTask(source, { limit: null, seed: 1, numExamples: 0 }).items;
}

const messagesOf = ({ prompt }: Item) => (prompt.type === "chat" ? prompt.messages : []);

const post = async <Body>(to: string, body: object) => (await (await server.post(to, body)).json()) as Body;

const ask = (model: string, item: Item, fields: object) =>
  post<ChatCompletion>("/v1/chat/completions", {
    model,
    messages: messagesOf(item),
    max_tokens: 80,
    temperature: 1,
    ...fields,
  });

const textOf = ({ choices }: ChatCompletion) => choices[0]!.message.content ?? "";

/** Eight at a time. */
async function each<Item, Result>(
  items: readonly Item[],
  run: (item: Item, index: number) => Promise<Result>,
) {
  const results: Result[] = [];
  for (let from = 0; from < items.length; from += 8)
    results.push(...(await Promise.all(items.slice(from, from + 8).map((item, at) => run(item, from + at)))));
  return results;
}

const rate = (answers: readonly ChatCompletion[], items: readonly Item[]) =>
  each(answers, (answer, index) =>
    post("/v1/fusion/feedback", { trace: answer.id, score: scoreAnswer(textOf(answer), items[index]!) }),
  );

/** The steps of a word problem's right chain: `85-52=33`. */
function chainOf(problem: string): string[] {
  const [first = "", ...events] = problem
    .replace(/How many.*/, "")
    .split(". ")
    .filter((part) => /\d/.test(part));
  const numberIn = (text: string) => Number(/\d+/.exec(text)?.[0]);
  let value = numberIn(first);
  return events.map((event) => {
    const sign = /breaks|drops|sells|gives|loses/.test(event) ? "-" : "+";
    const before = value;
    value += (sign === "-" ? -1 : 1) * numberIn(event);
    return `${before}${sign}${numberIn(event)}=${value}`;
  });
}

/** Where an answer's chain goes wrong: the step's place, and that of its first wrong character; null: nowhere. */
function firstWrong(problem: string, text: string): { from: number; to: number; at: number } | null {
  const steps = chainOf(problem);
  for (const [index, { 0: step, index: from }] of [...text.matchAll(/\d+[-+]\d+=\d+/g)].entries()) {
    const right = steps[index];
    if (right === undefined) return null;
    if (step === right) continue;
    const parts = step.split("").findIndex((character, at) => character !== right[at]);
    return { from, to: from + step.length, at: from + Math.max(0, parts) };
  }
  return null;
}

it("of 50 thumbs on whole answers, the best-marked token finds where a wrong chain goes wrong", async () => {
  const items = itemsOf("problems").slice(0, 180);
  const answers = await each(items, (item, seed) =>
    ask("problems", item, { seed, fusion: { trace: "weights" } }),
  );
  await rate(answers.slice(0, 50), items);
  let [numWrong, numSteps, numTokens] = [0, 0, 0];
  for (let index = 50; index < items.length; index++) {
    const answer = answers[index]!;
    const wrong = firstWrong(messagesOf(items[index]!)[0]!.content, textOf(answer));
    if (wrong === null) continue;
    const { tokens } = await post<Credit>("/v1/fusion/credit", { trace: answer.id });
    const worst = tokens.reduce((least, token) => (token.credit < least.credit ? token : least)).index;
    const texts = answer.choices[0]!.fusion!.tokens!.map(({ token }) => token.text);
    const from = texts.slice(0, worst).join("").length;
    const to = from + texts[worst]!.length;
    numWrong++;
    numSteps += Number(to > wrong.from && from < wrong.to);
    numTokens += Number(from <= wrong.at && wrong.at < to);
  }
  expect(numWrong).toBeGreaterThan(8);
  expect(numSteps / numWrong).toBeGreaterThanOrEqual(0.75);
  // By chance one of forty.
  expect(numTokens / numWrong).toBeGreaterThanOrEqual(0.5);
}, 180_000);

it("the best of several drawn answers is about as good as the greedy one, where a drawn one is worse", async () => {
  let missing = 0;
  for (const task of ["recall", "headline"]) {
    const items = itemsOf(task).slice(0, 90);
    const drawn = await each(items.slice(0, 60), (item, seed) => ask(task, item, { seed }));
    await rate(drawn, items);
    const asked = items.slice(60);
    const meanOf = async (fields: object) => {
      const answers = await each(asked, (item, seed) => ask(task, item, { seed, ...fields }));
      const scores = answers.map((answer, index) => scoreAnswer(textOf(answer), asked[index]!) ?? 0);
      return scores.reduce((sum, score) => sum + score, 0) / asked.length;
    };
    const greedy = await meanOf({ temperature: 0 });
    missing += greedy - (await meanOf({}));
    for (const by of ["predicted", "likelihood"])
      expect(await meanOf({ fusion: { pick: { of: 5, by } } })).toBeGreaterThan(greedy - 0.04);
  }
  expect(missing).toBeGreaterThan(0.1);
}, 180_000);
