import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StrategyConfig } from "../../src/strategies/registry.js";
import type { Engine } from "../../src/protocol/protocol.js";
import {
  answer,
  type Question,
  questions,
  resolvedConfig,
  startRealEngine,
  textRequest,
} from "../support/real-engine.js";

/**
 * Greedy scores on the starter questions against those of an independent program (test/data/starter/README.md), which
 * fuses in float32, one token at a time. Three points of tolerance: near-ties fall differently. The giant and the right
 * expert alone, and weight 1 over the joint set, are asked in eval.test.ts.
 */
const joint = { ratio: 0.1, of: "joint" } as const;
const expertOnly = { ratio: 0.1, of: "expert" } as const;
const weightOne = (expert: string, plausibility: typeof expertOnly | null): StrategyConfig => ({
  type: "static",
  weights: { [expert]: 1 },
  plausibility,
});
const solved = (plausibility: typeof joint | null): StrategyConfig => ({
  type: "dynamic",
  solver: "grid",
  plausibility,
});

const tasks = { recall: "trivia", sums: "sums" } as const;
type Task = keyof typeof tasks;

function score(task: Task, question: Question, text: string): boolean {
  const line = text.split("\n", 1)[0] ?? "";
  // The giant closes its sentences: the full stop is not part of the answer.
  const trimmed = line.trim().replace(/\.$/, "");
  const number = (from: string) => /####\s*(-?\d+)/.exec(from)?.[1];
  return task === "recall" ? trimmed === question.answer : number(line) === number(question.answer);
}

describe("scores of the starter models", () => {
  let engine: Engine;

  beforeAll(async () => {
    const family = { base: "giant", reference: "dwarf" };
    engine = await startRealEngine([
      resolvedConfig({ id: "trivia", ...family, experts: { trivia: "dwarf-trivia" } }),
      resolvedConfig({ id: "sums", ...family, experts: { sums: "dwarf-sums" } }),
      resolvedConfig({ id: "both", ...family, experts: { trivia: "dwarf-trivia", sums: "dwarf-sums" } }),
    ]);
  });

  afterAll(async () => engine.close());

  async function scoreOf(task: Task, configId: string, strategy: StrategyConfig | null, limit: number) {
    const asked = questions(task).slice(0, limit);
    const outcomes = await Promise.all(
      asked.map(async (question) => {
        const { text } = await answer(
          engine,
          textRequest(configId, question.prompt, { strategy, stop: ["\n"] }),
        );
        return score(task, question, text);
      }),
    );
    return outcomes.filter(Boolean).length / asked.length;
  }

  const rows: [
    name: string,
    config: (task: Task) => string,
    strategy: (task: Task) => StrategyConfig | null,
    recall: number,
    sums: number,
    limit: number,
  ][] = [
    ["weight 1", (task) => tasks[task], (task) => weightOne(tasks[task], null), 0.54, 0.01, 120],
    ["the solved weight, grid", (task) => tasks[task], () => solved(null), 0.53, 0.03, 120],
    ["the solved weight, joint set", (task) => tasks[task], () => solved(joint), 0.73, 0.07, 120],
    [
      "weight 1, the expert's set",
      (task) => tasks[task],
      (task) => weightOne(tasks[task], expertOnly),
      0.43,
      0.78,
      100,
    ],
    ["both experts by the paper's rule", () => "both", () => solved(null), 0.02, 0.0, 120],
  ];

  for (const [name, config, strategy, recall, sums, limit] of rows)
    for (const [task, expected] of Object.entries({ recall, sums }) as [Task, number][])
      it(`${name}: ${task} ${expected}`, async () => {
        const measured = await scoreOf(task, config(task), strategy(task), limit);
        expect(Math.abs(measured - expected), `measured ${measured}`).toBeLessThanOrEqual(0.03 + 0.005);
      });
});
