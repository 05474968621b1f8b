import { inParallel, metric, streamCompletion } from "./http-client.js";
import type { PartResult } from "./report.js";
import { startShoulders } from "./server-process.js";
import { median } from "./statistics.js";

const clients = 32;
const durationMs = 20_000;
const names = { p50: 50, p90: 90, p99: 99 } as const;

/** How long the server's event loop is held up while streams run as fast as they can. */
export async function benchLoopDelay(): Promise<PartResult> {
  await using server = await startShoulders("starter", ["--load", "trivia"]);
  let numTokens = 0;
  const ask = async (index: number) => {
    // No question that the models know: they talk until they are cut off.
    const { status, completionTokens } = await streamCompletion(server.url, {
      model: "trivia",
      prompt: `Tell me about the weather on day ${index}`,
      max_tokens: 64,
      temperature: 1,
      seed: index,
    });
    if (status !== 200) throw new Error(`a request was answered ${status}`);
    numTokens += completionTokens;
  };
  await inParallel(clients, clients, ask);
  const idle = await delays(server.url, 3000);
  const startMs = performance.now();
  const windows: Delays[] = [];
  let isOver = false;
  const load = Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let round = 1; !isOver; round++) await ask(round * clients + client);
    }),
  );
  numTokens = 0;
  while (performance.now() - startMs < durationMs) windows.push(await delays(server.url, 5000));
  const rate = (1000 * numTokens) / (performance.now() - startMs);
  isOver = true;
  await load;
  const at = (key: keyof typeof names) => median(windows.map((window) => window[key]));
  return {
    values: { loop_delay_ms: at("p99") },
    tables: [
      {
        title: "Event-loop delay of the server process, ms",
        workload:
          `${clients} streams on the starter models (config trivia, 8 sequences), ${Math.round(rate)} tokens a second; ` +
          "from /metrics, median of windows of 5 s; the timer that measures fires every 10 ms, which is included",
        head: ["", ...Object.keys(names)],
        rows: [
          ["idle", idle.p50, idle.p90, idle.p99],
          ["full load", at("p50"), at("p90"), at("p99")],
        ],
      },
    ],
  };
}

type Delays = Record<keyof typeof names, number>;

/** Each reading of /metrics begins a new window. */
async function delays(url: string, windowMs: number): Promise<Delays> {
  await metric(url, "");
  await new Promise((resolve) => setTimeout(resolve, windowMs));
  const text = await (await fetch(`${url}/metrics`)).text();
  const read = (share: number) =>
    1000 * Number(new RegExp(`^nodejs_eventloop_lag_p${share}_seconds (\\S+)`, "m").exec(text)?.[1]);
  return { p50: read(50), p90: read(90), p99: read(99) };
}
