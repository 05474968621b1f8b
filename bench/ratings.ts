import path from "node:path";
import { scoreAnswer } from "../src/evaluation/scorers.js";
import { bootstrapInterval } from "../src/evaluation/statistics.js";
import { loadTask } from "../src/evaluation/tasks/load-task.js";
import type { Item } from "../src/evaluation/tasks/task.js";
import type { ChatCompletion } from "../src/wire/completion.js";
import {
  armIds,
  arms,
  bestOf,
  playTurns,
  type ScoreTable,
  type Traffic,
} from "../test/support/turning-traffic.js";
import type { PartResult } from "./report.js";
import { startShoulders, type RunningProcess } from "./server-process.js";
import { sum } from "./statistics.js";

const models = path.resolve(import.meta.dirname, "../models");
const tasks = ["recall", "problems", "headline", "choice"] as const;
type TaskName = (typeof tasks)[number];

const family = (name: string) => path.join(models, "family", `${name}.gguf`);

function configOf(id: string, experts: readonly string[], fields: object) {
  return {
    ...{ id, base: family("giant"), reference: family("dwarf"), context: { tokens: 512, sequences: 8 } },
    experts: experts.map((expert) => ({ id: expert, model: family(`dwarf-${expert}`) })),
    ...fields,
  };
}

const itemsOf = (task: TaskName, limit: number): Item[] =>
  loadTask(
    { file: path.join(models, `tasks/${task}.jsonl`), format: null },
    { limit, seed: 1, numExamples: 0 },
  ).items;

async function post<Body>({ url }: RunningProcess, to: string, body: object): Promise<Body> {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(url + to, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new TypeError(`${to}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Body;
}

async function ask(server: RunningProcess, model: string, { prompt }: Item, fields: object) {
  const messages = prompt.type === "chat" ? prompt.messages : [];
  const body = { model, messages, max_tokens: 80, stop: ["\n"], ...fields };
  return post<ChatCompletion>(server, "/v1/chat/completions", body);
}

const scoreOf = ({ choices }: ChatCompletion, item: Item) =>
  scoreAnswer(choices[0]?.message.content ?? "", item) ?? 0;

/** Eight at a time. */
async function each<Result>(items: readonly Item[], run: (item: Item, index: number) => Promise<Result>) {
  const results: Result[] = [];
  for (let from = 0; from < items.length; from += 8)
    results.push(...(await Promise.all(items.slice(from, from + 8).map((item, at) => run(item, from + at)))));
  return results;
}

const numRounds = 300;
const numSeeds = 40;

/**
 * 300 rated answers of problems, then 300 of headline: real answers of five policies to 300 items each, drawn 40 times by
 * the server's own rules.
 */
export async function benchTurningTraffic(): Promise<PartResult> {
  await using server = await startShoulders([configOf("turning", tasks, { policies: { arms } })]);
  const tables: ScoreTable[] = [];
  for (const task of ["problems", "headline"] as const)
    tables.push(
      await each(itemsOf(task, numRounds), (item) =>
        Promise.all(
          armIds.map(async (policy) =>
            scoreOf(await ask(server, "turning", item, { temperature: 0, fusion: { policy } }), item),
          ),
        ),
      ),
    );
  const rows = (["tsallis-inf", "exp3-ix"] as const).flatMap((choose) =>
    [100, null].flatMap((halfLife) =>
      [false, true].map((isGraded) => turningRow(tables, { choose, halfLife, isGraded, explore: 0.02 })),
    ),
  );
  const workload = `${armIds.length} policies; best: ${tables.map((table) => bestOf(table).toFixed(2)).join(" and ")}`;
  const head = [
    "choose",
    "half-life",
    "ratings",
    "problems ÷ best",
    "headline ÷ best",
    "share of runs at 0.7",
  ];
  return { values: {}, tables: [{ title: "turning-traffic", workload, head, rows }] };
}

function turningRow(tables: readonly ScoreTable[], traffic: Omit<Traffic, "seed">): (string | number)[] {
  const runs = Array.from({ length: numSeeds }, (_, index) =>
    playTurns(tables, numRounds, { ...traffic, seed: index + 1 }),
  );
  const ratios = tables.map((table, at) => runs.map((run) => (run[at] ?? 0) / bestOf(table)));
  const [first = 0, second = 0] = ratios.map((values) => sum(values) / numSeeds);
  const numFound = (ratios[1] ?? []).filter((ratio) => ratio >= 0.7).length;
  const ratings = traffic.isGraded ? "scores" : "thumbs";
  return [traffic.choose, traffic.halfLife ?? "none", ratings, first, second, numFound / numSeeds];
}

const numRated = 200;
const numAsked = 200;

/** The best of seven drawn answers against the greedy one, by the task's own scorer, after 200 rated answers. */
export async function benchPick(): Promise<PartResult> {
  const configs = tasks.map((task) =>
    configOf(task, [task], {
      strategy: { type: "static", weights: { [task]: 1 }, plausibility: { ratio: 0.1, of: "gated" } },
    }),
  );
  await using server = await startShoulders(configs);
  const rows: (string | number)[][] = [];
  for (const task of tasks) {
    const items = itemsOf(task, numRated + numAsked);
    await each(items.slice(0, numRated), async (item, seed) => {
      const answer = await ask(server, task, item, { temperature: 1, seed });
      await post(server, "/v1/fusion/feedback", { trace: answer.id, score: scoreOf(answer, item) });
    });
    const asked = items.slice(numRated);
    const greedy = await each(asked, async (item) =>
      scoreOf(await ask(server, task, item, { temperature: 0 }), item),
    );
    for (const by of ["predicted", "likelihood"] as const) {
      const picked = await each(asked, async (item, seed) => {
        const answer = await ask(server, task, item, {
          temperature: 1,
          seed,
          fusion: { pick: { of: 7, by } },
        });
        return { score: scoreOf(answer, item), head: answer.choices[0]?.fusion?.picked?.head ?? "" };
      });
      const gains = picked.map(({ score }, index) => score - (greedy[index] ?? 0));
      const { low, high } = bootstrapInterval(gains, 1);
      const scores = [sum(greedy) / numAsked, sum(gains) / numAsked];
      rows.push([task, by, picked[0]?.head ?? "", ...scores, low, high]);
    }
  }
  const head = ["task", "by", "head", "greedy", "best of 7 − greedy", "low", "high"];
  const workload = `${numRated} rated answers, ${numAsked} others; intervals by bootstrap`;
  return { values: {}, tables: [{ title: "pick", workload, head, rows }] };
}
