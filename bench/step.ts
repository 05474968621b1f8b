import { getLlama, type Token } from "node-llama-cpp";
import type { StepSample } from "../src/protocol/protocol.js";
import {
  answer,
  modelPath,
  questions,
  resolvedConfig,
  startRealEngine,
  textRequest,
} from "../test/support/real-engine.js";
import type { PartResult } from "./report.js";
import { median } from "./statistics.js";

const prompts = questions("recall")
  .slice(0, 8)
  .map(({ prompt }) => prompt);
const numTokens = 40;
const names = ["giant", "dwarf", "dwarf-trivia"] as const;

/** Where the time of a fused token goes on the starter models, beside the same loop over the library's public API. */
export async function benchStep(): Promise<PartResult> {
  const rows = [await throughEngine(1), await throughEngine(8), await throughPublicApi()];
  const table = {
    title: "A fused token on the starter models (giant + dwarf + dwarf-trivia, V = 980), median ms",
    workload: `${prompts.length} prompts, greedy, at most ${numTokens} tokens, weight solved exactly`,
    head: ["loop", "decode (slowest model)", "fuse", "sample", "whole step", "tokens a second"],
    rows,
  };
  return { values: {}, tables: [table] };
}

async function throughEngine(concurrency: number): Promise<(string | number)[]> {
  const engine = await startRealEngine([
    resolvedConfig({ id: "fused", base: "giant", reference: "dwarf", experts: { trivia: "dwarf-trivia" } }),
  ]);
  const run = (text: string) => answer(engine, textRequest("fused", text, { maxTokens: numTokens }));
  await Promise.all(prompts.map(run));
  const steps: StepSample[] = [];
  engine.onStep((step) => steps.push(step));
  const startMs = performance.now();
  const answers = [];
  for (let i = 0; i < prompts.length; i += concurrency)
    answers.push(...(await Promise.all(prompts.slice(i, i + concurrency).map(run))));
  const elapsedMs = performance.now() - startMs;
  await engine.close();
  const decoding = steps.filter((step) => step.rows > 0);
  const total = answers.reduce((sum, { ids }) => sum + ids.length, 0);
  return [
    `Shoulders, ${concurrency} at once`,
    median(decoding.map((step) => Math.max(...Object.values(step.decodeMs)))),
    median(decoding.map((step) => step.fuseMs)),
    median(decoding.map((step) => step.sampleMs)),
    elapsedMs / steps.length,
    Math.round((total / elapsedMs) * 1000),
  ];
}

/** The same models through controlledEvaluate: a sorted Map of the whole vocabulary per model and token. */
async function throughPublicApi(): Promise<(string | number)[]> {
  const llama = await getLlama({ build: "never", gpu: false });
  const sequences = await Promise.all(
    names.map(async (name) => {
      const model = await llama.loadModel({ modelPath: modelPath(name) });
      const context = await model.createContext({ contextSize: 512, threads: 1 });
      return { model, sequence: context.getSequence() };
    }),
  );
  const decodeMs: number[] = [];
  const fuseMs: number[] = [];
  let total = 0;
  const startMs = performance.now();
  for (const text of prompts) {
    const { model } = sequences[0]!;
    let pending: Token[] = [model.tokens.bos!, ...model.tokenize(text, true)];
    for (const { sequence } of sequences) await sequence.clearHistory();
    for (let count = 0; count < numTokens; count++) {
      const beforeMs = performance.now();
      const rows = await Promise.all(
        sequences.map(async ({ sequence }) => {
          const last = pending.at(-1)!;
          const output = await sequence.controlledEvaluate([
            ...pending.slice(0, -1),
            [last, { generateNext: { logits: true } }],
          ]);
          return output.at(-1)!.next.logits!;
        }),
      );
      const decodedMs = performance.now();
      const [base, reference, expert] = rows as [Map<Token, number>, Map<Token, number>, Map<Token, number>];
      let best: { token: Token; logit: number } | null = null;
      for (const [token, logit] of base) {
        const fused = logit + (expert.get(token)! - reference.get(token)!);
        if (best === null || fused > best.logit) best = { token, logit: fused };
      }
      if (count > 0) {
        decodeMs.push(decodedMs - beforeMs);
        fuseMs.push(performance.now() - decodedMs);
      }
      total++;
      pending = [best!.token];
      if (model.isEogToken(best!.token)) break;
    }
  }
  const elapsedMs = performance.now() - startMs;
  await llama.dispose();
  return [
    "node-llama-cpp's logits API, weight 1, nothing solved",
    median(decodeMs),
    median(fuseMs),
    0,
    median(decodeMs.map((ms, index) => ms + (fuseMs[index] ?? 0))),
    Math.round((total / elapsedMs) * 1000),
  ];
}
