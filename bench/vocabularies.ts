import { readFileSync } from "node:fs";
import path from "node:path";
import { fusionConfigSchema } from "../src/config/fusion-config.js";
import type { Engine, ResolvedFusionConfig } from "../src/protocol/protocol.js";
import { located } from "../test/support/members.js";
import { answer, root, startRealEngine, textRequest } from "../test/support/real-engine.js";
import { costsOfLargeVocabularies } from "./large-vocabularies.js";
import type { PartResult } from "./report.js";

/** The shipped base with small models of its own vocabulary and of others, on the same questions. */

const numItems = 100;
const numClients = 8;
/** Of the questions that one client asks alone. */
const numTimed = 20;

const model = (name: string) => path.join(root, "models", `${name}.gguf`);
const tasks = ["recall", "problems"] as const;
type Task = (typeof tasks)[number];

interface Pair {
  label: string;
  reference: string;
  expert: (task: Task) => string;
}

const alike = (task: Task) => (task === "recall" ? "family/dwarf-recall" : "strangers/alike-problems");
const pairs: Pair[] = [
  { label: "the base's", reference: "family/dwarf", expert: alike },
  ...["merged", "digits"].map((name) => ({
    label: name,
    reference: `strangers/${name}-reference`,
    expert: (task: Task) => `strangers/${name}-${task}`,
  })),
];

function configOf(
  id: string,
  task: Task,
  pair: Pair | null,
  of: "joint" | "expert" | "gated",
): ResolvedFusionConfig {
  const parsed = fusionConfigSchema.parse({
    id,
    base: model("family/giant"),
    context: { tokens: 512, sequences: numClients },
    ...(pair && {
      vocabulary: "own",
      reference: model(pair.reference),
      experts: [{ id: task, model: model(pair.expert(task)) }],
      strategy: { type: "static", weights: { [task]: 1 }, plausibility: { ratio: 0.1, of } },
    }),
  });
  const strategy = parsed.strategy ?? { type: "base" as const };
  return { config: { ...parsed, strategy }, members: located(parsed), card: null };
}

interface Item {
  messages: { role: "user"; content: string }[];
  answers: string[];
}

function itemsOf(task: Task): Item[] {
  const lines = readFileSync(path.join(root, "models/tasks", `${task}.jsonl`), "utf8")
    .trim()
    .split("\n");
  return lines.slice(0, numItems).map((line) => JSON.parse(line) as Item);
}

/** As the evaluation scores these tasks. */
function isRight(task: Task, text: string, wanted: string): boolean {
  return task === "problems" ? /####\s*(-?\d+)/.exec(text)?.[1] === wanted : text.trim() === wanted;
}

/** Answers by so many clients. @returns the share that is right, and ms a token */
async function ask(
  engine: Engine,
  task: Task,
  { clients, items = numItems }: { clients: number; items?: number },
): Promise<{ right: number; ms: number }> {
  const waiting = itemsOf(task).slice(0, items);
  let [numRight, numTokens] = [0, 0];
  const startMs = performance.now();
  const client = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      const { text, ids } = await answer(engine, {
        ...textRequest("fused", "", { trace: "off", speculation: "off", stop: ["\n"], maxTokens: 64 }),
        prompt: { type: "chat", messages: item.messages },
      });
      numTokens += ids.length;
      if (isRight(task, text, item.answers[0] ?? "")) numRight++;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { right: numRight / items, ms: (performance.now() - startMs) / numTokens };
}

async function measure(config: ResolvedFusionConfig, task: Task) {
  const engine = await startRealEngine([config]);
  try {
    const { right, ms } = await ask(engine, task, { clients: numClients });
    const one = await ask(engine, task, { clients: 1, items: numTimed });
    return { right, ms, oneMs: one.ms };
  } finally {
    await engine.close();
  }
}

/** The expert alone, as a base. */
async function alone(task: Task, pair: Pair): Promise<number> {
  const config = configOf("fused", task, null, "joint");
  const expert = fusionConfigSchema.parse({
    id: "fused",
    base: model(pair.expert(task)),
    context: { tokens: 512 },
  });
  return (
    await measure(
      { ...config, config: { ...expert, strategy: { type: "base" } }, members: located(expert) },
      task,
    )
  ).right;
}

export async function benchVocabularies(): Promise<PartResult> {
  const rows: (string | number)[][] = [];
  const costs: (string | number)[][] = [];
  for (const task of tasks)
    for (const pair of pairs) {
      const [joint, expert, gated] = [
        await measure(configOf("fused", task, pair, "joint"), task),
        await measure(configOf("fused", task, pair, "expert"), task),
        await measure(configOf("fused", task, pair, "gated"), task),
      ];
      rows.push([task, pair.label, await alone(task, pair), joint.right, expert.right, gated.right]);
      costs.push([task, pair.label, expert.oneMs, expert.ms]);
    }
  return {
    values: {},
    tables: [
      {
        title: "Small models of other vocabularies",
        workload: `${numItems} questions each, greedy, weight 1 over the set of ratio 0.1; share that is right`,
        head: [
          "task",
          "vocabulary",
          "expert alone",
          "fused, joint set",
          "fused, expert's set",
          "fused, gated",
        ],
        rows: rows.map((row) => row.map((value) => (typeof value === "number" ? value.toFixed(3) : value))),
      },
      {
        title: "What they cost",
        workload: "ms a token without guessing, over the expert's set",
        head: ["task", "vocabulary", "1 client", `${numClients} clients`],
        rows: costs.map((row) => row.map((value) => (typeof value === "number" ? value.toFixed(2) : value))),
      },
      await costsOfLargeVocabularies(),
    ],
  };
}
