import { mapRoles, membersOf } from "../src/config/members.js";
import { writeFileSync } from "node:fs";
import path from "node:path";
import type { ResolvedFusionConfig } from "../src/protocol/protocol.js";
import type { LoadedFusionConfig } from "../src/config/load.js";
import type { Method, Plan } from "../src/evaluation/methods/method.js";
import { deriveMethods } from "../src/evaluation/methods/methods.js";
import { scoreAnswer } from "../src/evaluation/scorers.js";
import { loadSuite } from "../src/evaluation/suite.js";
import { loadTask } from "../src/evaluation/tasks/load-task.js";
import type { Item, Task } from "../src/evaluation/tasks/task.js";
import { type Answer, answer, startRealEngine, textRequest } from "../test/support/real-engine.js";
import { root } from "./generated-docs.js";
import { type TracedFailure, failuresPath } from "./results.js";

/**
 * `npm run build && npx tsx scripts/trace-failures.ts`: for each of three of the paper's rules the first test item
 * that it gets wrong and a better method right, with its trace; writes models/failures.json.
 */

const cases = [
  { id: "distance without direction", task: "problems", failing: "dynamic-exact", right: "right-expert" },
  { id: "which expert does not matter", task: "problems", failing: "paper-all", right: "static-1+expert" },
  { id: "a noisy shift", task: "headline", failing: "dynamic-exact", right: "dynamic-exact+expert" },
];
const numItems = 120;
/** Tokens before the one that goes wrong, and candidates of each model. */
const numBefore = 2;
const numTop = 3;

const suite = loadSuite(path.join(root, "models/suite.json"));
const tasks = suite.tasks.map((source) => loadTask(source, { limit: numItems, seed: 1, numExamples: 5 }));
const { methods, configs } = deriveMethods(suite.roles, tasks);

const found = <T extends { name: string }>(all: readonly T[], name: string): T => {
  const one = all.find((candidate) => candidate.name === name);
  if (one === undefined) throw new Error(`there is no ${name}`);
  return one;
};

const resolved = ({ config }: LoadedFusionConfig): ResolvedFusionConfig => ({
  config,
  members: mapRoles(membersOf(config), (member) => ({
    ...member,
    path: member.source.model,
    adapterPath: null,
  })),
  card: null,
});

const planOf = (method: Method, task: Task): Plan => {
  const plan = method.planFor(task);
  if (plan === null) throw new Error(`${method.name} does not apply to ${task.name}`);
  return plan;
};

const asked = cases.flatMap(({ task, failing, right }) =>
  [failing, right].map((name) => planOf(found(methods, name), found(tasks, task)).configId),
);
const engine = await startRealEngine(configs.filter(({ config }) => asked.includes(config.id)).map(resolved));

const ask = ({ configId, strategy }: Plan, { prompt, stop, maxTokens }: Item): Promise<Answer> =>
  answer(engine, textRequest(configId, "", { prompt, stop, maxTokens, strategy, trace: "full" }));

/** The first item that the one gets wrong and the other right, both answers with it. */
async function firstFailure(task: Task, failing: Method, right: Method) {
  for (const [index, item] of task.items.entries()) {
    const wrong = await ask(planOf(failing, task), item);
    if ((scoreAnswer(wrong.text, item) ?? 1) >= 0.5) continue;
    const good = await ask(planOf(right, task), item);
    if (scoreAnswer(good.text, item) === 1) return { index, item, wrong, good };
  }
  throw new Error(
    `${failing.name} fails on none of ${numItems} items of ${task.name} that ${right.name} gets right`,
  );
}

const failures: TracedFailure[] = [];
for (const { id, task: taskName, failing, right } of cases) {
  const task = found(tasks, taskName);
  const [method, better] = [found(methods, failing), found(methods, right)];
  const { index, item, wrong, good } = await firstFailure(task, method, better);
  const parting = wrong.ids.findIndex((token, at) => token !== good.ids[at]);
  const records = wrong.tokens.slice(Math.max(0, parting - numBefore), parting + 1);
  failures.push({
    id,
    task: taskName,
    item: index,
    question: item.prompt.type === "chat" ? (item.prompt.messages.at(-1)?.content ?? "") : item.prompt.text,
    expected: item.answers[0] ?? "",
    failing: { method: failing, description: method.description, answer: wrong.text.trim() },
    right: {
      method: right,
      description: better.description,
      answer: good.text.trim(),
      token: good.tokens[parting]?.record.token.text ?? "",
    },
    tokens: records.map(({ record }) => ({
      token: record.token.text,
      weights: record.weights,
      chosen: record.chosen,
      divergence: record.divergence,
      objective: record.objective,
      top: {
        base: record.top?.base.slice(0, numTop) ?? [],
        reference: record.top?.reference.slice(0, numTop) ?? [],
        experts: Object.fromEntries(
          Object.entries(record.top?.experts ?? {}).map(([expert, row]) => [expert, row.slice(0, numTop)]),
        ),
        fused: record.top?.fused.slice(0, numTop) ?? [],
      },
    })),
  });
  console.log(`${id}: item ${index} of ${taskName}`);
}
await engine.close();
writeFileSync(failuresPath, `${JSON.stringify(failures, null, 2)}\n`);
