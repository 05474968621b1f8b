import path from "node:path";
import type { PartResult } from "./report.js";
import { startShoulders } from "./server-process.js";
import { median, quantile } from "./statistics.js";

const root = path.resolve(import.meta.dirname, "..");
const clients = 8;
const numLoads = 3;
const idleMs = 10_000;

const context = { tokens: 512, sequences: clients };
const family = (name: string) => path.join(root, "models/family", `${name}.gguf`);
const starter = (name: string) => path.join(root, "test/data/starter", `${name}.gguf`);

/** The one that streams, and one whose models are other files, so that it has an engine of its own. */
const configs = [
  {
    id: "streams",
    base: family("giant"),
    reference: family("dwarf"),
    experts: [{ id: "problems", model: family("dwarf-problems") }],
    context,
  },
  {
    id: "comes",
    base: starter("giant"),
    reference: starter("dwarf"),
    experts: [{ id: "trivia", model: starter("dwarf-trivia") }],
    context,
  },
];

/** Gaps between tokens of running answers while the models of another config are loaded, against those without it. */
export async function benchHotLoad(): Promise<PartResult> {
  await using server = await startShoulders(configs, ["--threads", "1"]);
  const idle: number[] = [];
  const loading: number[] = [];
  let gaps: number[] | null = null;
  let isOver = false;
  const streams = Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let round = 0; !isOver; round++)
        await stream(server.url, `${client}.${round}`, (ms) => gaps?.push(ms));
    }),
  );
  const loadMs: number[] = [];
  for (let load = 0; load < numLoads; load++) {
    await post(`${server.url}/v1/models/unload`, { model: "comes" });
    gaps = idle;
    await new Promise((resolve) => setTimeout(resolve, idleMs / numLoads));
    gaps = loading;
    const startMs = performance.now();
    await post(`${server.url}/v1/models/load`, { model: "comes" });
    while ((await statusOf(server.url, "comes")) !== "loaded")
      await new Promise((resolve) => setTimeout(resolve, 50));
    loadMs.push(performance.now() - startMs);
    gaps = null;
  }
  isOver = true;
  await streams;
  const p99 = (values: number[]) => quantile(values, 0.99);
  return {
    values: {},
    tables: [
      {
        title: "Gap between tokens of a stream while another config is loaded, ms",
        workload:
          `${clients} streams on the shipped family, ${numLoads} loads of the starter models beside them ` +
          `(median ${Math.round(median(loadMs))} ms), one thread a model; ` +
          `p99 while loading ÷ p99 without: ${(p99(loading) / p99(idle)).toFixed(2)}`,
        head: ["what", "gaps", "median", "p99"],
        rows: [
          ["without a load", idle.length, median(idle), p99(idle)],
          ["while it is loaded", loading.length, median(loading), p99(loading)],
        ],
      },
    ],
  };
}

const post = (url: string, body: object): Promise<Response> =>
  fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

async function statusOf(url: string, id: string): Promise<string> {
  const model = (await (await fetch(`${url}/v1/models/${id}`)).json()) as { status: { value: string } };
  return model.status.value;
}

/** One answer of 200 tokens; hears the time between each two pieces of it. */
async function stream(url: string, seed: string, onGap: (ms: number) => void): Promise<void> {
  const response = await post(`${url}/v1/completions`, {
    model: "streams",
    prompt: `Tell me about day ${seed}`,
    max_tokens: 200,
    temperature: 1,
    stream: true,
  });
  let lastMs: number | null = null;
  const reader = response.body?.getReader();
  while (reader !== undefined && !(await reader.read()).done) {
    const now = performance.now();
    if (lastMs !== null) onGap(now - lastMs);
    lastMs = now;
  }
}
