import type { StepSample } from "../src/protocol/protocol.js";
import { answer, startRealEngine, textRequest } from "../test/support/real-engine.js";
import { promptTokens } from "./bare.js";
import { makeFamily, vocabularySize } from "./family.js";
import { familyConfig } from "./overhead.js";
import type { PartResult } from "./report.js";
import { median, quantile } from "./statistics.js";

const numRunning = 4;
const contextTokens = 512;
const budgetMs = 40_000;

/** How much longer the tokens of running requests take while a prompt of the largest size is read. */
export async function benchEntering(): Promise<PartResult> {
  makeFamily();
  const engine = await startRealEngine([familyConfig("fused", ["expert-1"], numRunning + 1)], {
    threads: null,
    batchTokens: contextTokens,
  });
  const [idle, entering]: [number[], number[]] = [[], []];
  let gaps = idle;
  let lastMs: number | null = null;
  engine.onStep(({ rows }: StepSample) => {
    const now = performance.now();
    // A step in which all of them got a token, after another such.
    if (rows >= numRunning && lastMs !== null) gaps.push(now - lastMs);
    lastMs = rows >= numRunning ? now : null;
  });
  const ask = (seed: number, length: number, maxTokens: number) =>
    answer(
      engine,
      textRequest("fused", "", { prompt: { type: "tokens", tokens: promptTokens(length, seed) }, maxTokens }),
    );
  try {
    const startMs = performance.now();
    for (let seed = 0; entering.length === 0 || performance.now() - startMs < budgetMs; seed += numRunning) {
      gaps = idle;
      const running = Array.from({ length: numRunning }, (_, index) => ask(seed + index, 4, 120));
      const numIdle = idle.length;
      while (idle.length - numIdle < 40) await new Promise((resolve) => setTimeout(resolve, 5));
      gaps = entering;
      await ask(seed + 1000, contextTokens - 2, 1);
      gaps = [];
      await Promise.all(running);
    }
  } finally {
    await engine.close();
  }
  const p99 = (values: number[]) => quantile(values, 0.99);
  return {
    values: { entering_gap: p99(entering) / p99(idle) },
    tables: [
      {
        title: "Between tokens of running requests while a prompt of the largest size enters, ms",
        workload:
          `${numRunning} requests of base + reference + expert-1, V = ${vocabularySize}, float16; a prompt of ` +
          `${contextTokens - 2} tokens joins; ${idle.length} steps without it, ${entering.length} with it`,
        head: ["what", "median", "p99"],
        rows: [
          ["without it", median(idle), p99(idle)],
          ["while it is read", median(entering), p99(entering)],
        ],
      },
    ],
  };
}
