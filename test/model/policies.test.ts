import path from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { policiesSchema } from "../../src/config/policies.js";
import { scoreAnswer } from "../../src/evaluation/scorers.js";
import { loadTask } from "../../src/evaluation/tasks/load-task.js";
import type { ChatCompletion } from "../../src/wire/completion.js";
import { familyPath, resolvedConfig, root } from "../support/real-engine.js";
import { serveConfigs } from "../support/real-server.js";
import { armIds, arms, bestOf, playTurns, type ScoreTable } from "../support/turning-traffic.js";

/** Answers of the shipped models by five policies; ratings are the tasks' own scores. */

const experts = ["recall", "problems", "headline", "choice"];
const numItems = 40;

it("traffic that turns from one task to another is followed with a half-life, and missed without", async () => {
  const server = await serveConfigs([
    resolvedConfig({
      id: "turning",
      base: familyPath("giant"),
      reference: familyPath("dwarf"),
      experts: Object.fromEntries(experts.map((expert) => [expert, familyPath(`dwarf-${expert}`)])),
      config: { policies: policiesSchema.parse({ arms }) },
    }),
  ]);
  onTestFinished(() => server.close());
  const tables: ScoreTable[] = [];
  for (const task of ["problems", "headline"]) {
    const file = path.join(root, `models/tasks/${task}.jsonl`);
    const { items } = loadTask({ file, format: null }, { limit: numItems, seed: 1, numExamples: 0 });
    const scoresOf = async (item: (typeof items)[number]) => {
      const messages = item.prompt.type === "chat" ? item.prompt.messages : [];
      const answers = armIds.map(async (policy) => {
        const body = { model: "turning", messages, max_tokens: 80, temperature: 0, fusion: { policy } };
        const answer = (await (await server.post("/v1/chat/completions", body)).json()) as ChatCompletion;
        expect(answer.choices[0]!.fusion!.policy).toEqual({ id: policy, probability: 1 });
        return scoreAnswer(answer.choices[0]!.message.content ?? "", item) ?? 0;
      });
      return Promise.all(answers);
    };
    tables.push(await Promise.all(items.map(scoresOf)));
  }
  const seeds = Array.from({ length: 40 }, (_, index) => index + 1);
  const ratios = (halfLife: number | null) => {
    const traffic = { choose: "tsallis-inf", explore: 0.02, isGraded: false, halfLife } as const;
    const runs = seeds.map((seed) => playTurns(tables, 300, { ...traffic, seed }));
    return tables.map(
      (table, at) => runs.reduce((sum, run) => sum + run[at]!, 0) / seeds.length / bestOf(table),
    );
  };
  const [first, second] = ratios(100);
  expect(first).toBeGreaterThanOrEqual(0.85);
  expect(second).toBeGreaterThanOrEqual(0.7);
  const [, missed] = ratios(null);
  expect(missed).toBeLessThan(0.5);
}, 180_000);
