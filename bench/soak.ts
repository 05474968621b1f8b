import { questions } from "../test/support/real-engine.js";
import { inParallel, metric, post, streamCompletion } from "./http-client.js";
import type { PartResult } from "./report.js";
import { childPids, residentBytes, startShoulders } from "./server-process.js";
import { slope } from "./statistics.js";
import { makeRandom } from "./support/rows.js";

const numRequests = 20_000;
const budgetMs = 15 * 60_000;
const concurrency = 16;
const sampleEvery = 500;
/** Share of the requests after which memory should have settled. */
const warmUp = 0.25;
/** Recent traces are kept up to this; it fills up within the warm-up. */
const traceMegabytes = 2;

interface Sample {
  requests: number;
  serverMb: number;
  engineMb: number;
}

/** Many short requests, some of them cancelled and some bad: memory stays, and nothing is left behind. */
export async function benchSoak(): Promise<PartResult> {
  await using server = await startShoulders("starter", [
    "--load",
    "trivia",
    "--trace-megabytes",
    String(traceMegabytes),
  ]);
  const [enginePid] = childPids(server.pid) as [number];
  const samples: Sample[] = [];
  const outcomes = new Map<string, number>();
  const random = makeRandom(1);
  const startMs = performance.now();
  let numDone = 0;
  await inParallel(numRequests, concurrency, async (index) => {
    if (performance.now() - startMs > budgetMs) return;
    const outcome = await ask(server.url, index, random());
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (++numDone % sampleEvery !== 0) return;
    const [serverMb, engineMb] = [residentBytes(server.pid) / 1e6, residentBytes(enginePid) / 1e6];
    samples.push({ requests: numDone, serverMb, engineMb });
  });
  const elapsedS = (performance.now() - startMs) / 1000;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const gauges = ["shoulders_sequences_running", "shoulders_requests_waiting"];
  const left = await Promise.all(gauges.map((name) => metric(server.url, name)));
  const settled = samples.filter(({ requests }) => requests > warmUp * numDone);
  const growth = (read: (sample: Sample) => number) =>
    1000 * slope(settled.map((sample) => [sample.requests, read(sample)] as const));
  const total = growth(({ serverMb, engineMb }) => serverMb + engineMb);
  const every = Math.max(1, Math.floor(samples.length / 10));
  if (left.some((value) => value !== 0))
    throw new Error(`gauges are not back to 0: ${gauges.join(", ")} read ${left.join(", ")}`);
  return {
    values: { soak_mb_per_1000: total },
    tables: [
      {
        title: "Soak: resident memory of both processes, MB",
        workload:
          `${numDone} requests of at most 4 tokens on the starter models (config trivia), ${concurrency} at a time, ` +
          `${Math.round(numDone / elapsedS)} a second, --trace-megabytes ${traceMegabytes}; ` +
          `${[...outcomes].map(([name, count]) => `${count} ${name}`).join(", ")}; gauges back to 0; growth: slope of ` +
          `the line through all samples (one in ${sampleEvery}) after the first ${100 * warmUp} %`,
        head: ["requests", "server", "engine"],
        rows: [
          ...samples
            .filter((_, index) => index % every === every - 1)
            .map(({ requests, serverMb, engineMb }) => [String(requests), serverMb, engineMb]),
          ["growth per 1,000", growth(({ serverMb }) => serverMb), growth(({ engineMb }) => engineMb)],
        ],
      },
    ],
  };
}

const prompts = questions("recall").map(({ prompt }) => prompt);
const badBodies = [
  "{",
  JSON.stringify({ model: "nobody", prompt: "x" }),
  JSON.stringify({ model: "trivia", prompt: { not: "text" } }),
  JSON.stringify({ model: "trivia", prompt: "x", max_tokens: -1 }),
  JSON.stringify({ model: "trivia", prompt: "word ".repeat(2000) }),
];

/** @param draw in [0, 1): decides what kind of request this is, and when it is cancelled. */
async function ask(url: string, index: number, draw: number): Promise<string> {
  if (draw < 0.1) {
    const { status } = await post(url, badBodies[index % badBodies.length]!);
    if (status < 400 || status > 499) throw new Error(`a bad request was answered ${status}`);
    return "bad";
  }
  const body = { model: "trivia", prompt: prompts[index % prompts.length], max_tokens: 4, seed: index };
  if (draw < 0.4) {
    const { wasAborted } = await streamCompletion(url, body, { abortAfterMs: (draw - 0.1) * 300 });
    return wasAborted ? "cancelled" : "complete before they were cancelled";
  }
  const { status } = await streamCompletion(url, body);
  if (status !== 200) throw new Error(`a good request was answered ${status}`);
  return "complete";
}
