import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createRandom } from "../src/evaluation/random.js";
import { BagWriter } from "../src/feedback/bag.js";
import { drawOf } from "../src/feedback/chooser.js";
import { FeedbackLog } from "../src/feedback/feedback-log.js";
import { foldRatings, type RatedDraw } from "../src/feedback/fold.js";
import { Journal } from "../src/store/journal.js";
import { SqliteStore } from "../src/store/sqlite-store.js";
import type { Trace } from "../src/wire/trace.js";
import type { PartResult } from "./report.js";
import { startShoulders } from "./server-process.js";
import { median } from "./statistics.js";

const numTokens = 64;
const numAnswers = 20;
const numRatings = 10_000;
const numRounds = 200;

/**
 * What an answer's numbers take the event loop until they are on their way to the thread that writes, against the answer
 * itself; and how long ratings take to add up.
 */
export async function benchFeedback(): Promise<PartResult> {
  const { answerMs, records } = await answers();
  const keepMs = await keeping(records);
  const foldMs = folding();
  return {
    values: { feedback_overhead: keepMs / answerMs, fold_ms: foldMs },
    tables: [
      {
        title: "feedback",
        workload: `config problems, ${numTokens} tokens an answer, one stream; ${numRatings} ratings of 6 policies`,
        head: ["an answer, ms", "keeping its numbers, ms", "ratings added up, ms"],
        rows: [[answerMs, keepMs, foldMs]],
      },
    ],
  };
}

async function answers(): Promise<{ answerMs: number; records: Trace["tokens"] }> {
  await using server = await startShoulders("shipped", ["--feedback", "off"]);
  const times: number[] = [];
  let records: Trace["tokens"] = [];
  for (let index = 0; index < numAnswers; index++) {
    const startMs = performance.now();
    const response = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        ...{
          model: "problems",
          prompt: `Tom has ${index} cards.`,
          max_tokens: numTokens,
          temperature: 1,
          seed: index,
        },
        fusion: { trace: index === 0 ? "weights" : "off" },
      }),
    });
    const { choices } = (await response.json()) as { choices: { fusion?: { tokens: Trace["tokens"] } }[] };
    if (index === 0) records = choices[0]?.fusion?.tokens ?? [];
    else times.push(performance.now() - startMs);
  }
  return { answerMs: median(times), records };
}

async function keeping(records: Trace["tokens"]): Promise<number> {
  const directory = mkdtempSync(path.join(tmpdir(), "shoulders-bench-"));
  const journal = new Journal(new SqliteStore(path.join(directory, "log.db")));
  const log = new FeedbackLog(journal, { isOn: true, keepsTexts: false, maxAgeMs: 1e9, maxBytes: 1e9 });
  const times: number[] = [];
  for (let round = 0; round < numRounds; round++) {
    const startMs = performance.now();
    const bag = new BagWriter();
    for (const record of records) bag.add(record);
    log.answered({ owner: "bench", model: "problems", trace: String(round) }, { bag, policy: null });
    await new Promise((resolve) => setImmediate(resolve));
    times.push(performance.now() - startMs);
    // The thread's own time is nobody's wait.
    await log.answer("bench", String(round));
  }
  await journal.close();
  rmSync(directory, { recursive: true });
  return median(times);
}

function folding(): number {
  const random = createRandom(1);
  const policies = ["a", "b", "c", "d", "e", "f"];
  const ratings = Array.from({ length: numRatings }, (_, index): RatedDraw => ({
    policy: policies[index % policies.length] ?? "a",
    ...{ score: random(), probability: 0.05 + random() * 0.9, gamma: 0.01, isDrawn: true },
  }));
  const times = Array.from({ length: 20 }, () => {
    const startMs = performance.now();
    drawOf("tsallis-inf", foldRatings(ratings, policies, 200), { explore: 0.02, means: [] });
    return performance.now() - startMs;
  });
  return median(times);
}
