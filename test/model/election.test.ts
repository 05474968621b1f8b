import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadFusionConfigs } from "../../src/config/load.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { located } from "../support/members.js";
import { type Answer, answer, root, startRealEngine, textRequest } from "../support/real-engine.js";

/** The four experts of the shipped family without their card, on prompts that chose nothing of the rule. */

const tasks = ["recall", "problems", "headline", "choice"];
const numItems = 8;
let engine: Engine;

beforeAll(async () => {
  const [loaded] = loadFusionConfigs(path.join(root, "fusion-configs/all.json"));
  const { config } = loaded!;
  const family = path.join(root, "models/family");
  const inFamily = (model: string) => path.join(family, path.basename(model));
  const whole = {
    ...config,
    base: { ...config.base, model: inFamily(config.base.model) },
    reference: { ...config.reference!, model: inFamily(config.reference!.model) },
    experts: config.experts.map((expert) => ({
      ...expert,
      model: { ...expert.model!, model: inFamily(expert.model!.model) },
    })),
  };
  const resolved: ResolvedFusionConfig = { config: whole, members: located(whole), card: null };
  engine = await startRealEngine([resolved]);
}, 60_000);

afterAll(async () => engine.close());

it.each(tasks)(
  "without a card finds the expert that a prompt of %s is for",
  async (task) => {
    const lines = readFileSync(path.join(root, `models/tasks/${task}.jsonl`), "utf8")
      .split("\n")
      .slice(0, numItems);
    const answers = await Promise.all(
      lines.map((line) => {
        const { messages } = JSON.parse(line) as { messages: { role: "user"; content: string }[] };
        return answer(engine, textRequest("all", "", { prompt: { type: "chat", messages }, maxTokens: 4 }));
      }),
    );
    const isRight = ({ tokens }: Answer) => tokens[0]?.record.shares?.[task] === 1;
    expect(answers.filter(isRight).length).toBeGreaterThanOrEqual(numItems - 2);
  },
  120_000,
);
