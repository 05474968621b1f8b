import { freePorts, proxyNames, startProxy } from "../test/support/proxies.js";
import type { PartResult } from "./report.js";
import { startShoulders } from "./server-process.js";
import { median, quantile } from "./statistics.js";

const numRounds = 6;
const numTokens = 300;
const numClients = 16;

/**
 * Of a replica and of each proxy of deploy/replicas before two, in turns: gaps between tokens of one stream, ms, and tokens a
 * second of 16 clients at once.
 */
export async function benchProxies(): Promise<PartResult> {
  const ports = (await freePorts(2)) as [number, number];
  const flags = (index: 0 | 1) => ["--port", String(ports[index]), "--load", "giant", "--threads", "1"];
  await using one = await startShoulders("shipped", flags(0));
  await using two = await startShoulders("shipped", flags(1));
  const proxies = await Promise.all(proxyNames.map((name) => startProxy(name, ports)));
  try {
    const ways = ["direct", ...proxyNames].map((name) => ({
      name,
      gaps: [] as number[],
      rates: [] as number[],
    }));
    for (let round = 0; round < numRounds; round++) {
      const direct = round % 2 === 0 ? one.url : two.url;
      for (const [index, url] of [direct, ...proxies.map((proxy) => proxy.url)].entries()) {
        ways[index]?.gaps.push(...(await gapsOf(url)));
        ways[index]?.rates.push(await rateOf(url));
      }
    }
    const rateOfOne = median(ways[0]?.rates ?? []);
    const rows = ways.map(({ name, gaps, rates }) => {
      const rate = median(rates);
      return [name, median(gaps), quantile(gaps, 0.95), quantile(gaps, 0.99), rate, rate / rateOfOne];
    });
    const workload =
      `${numRounds} streams of ${numTokens} tokens each, one at a time, then ${numClients} at once, each with a prompt ` +
      `of its own, in turns; all on the same cores`;
    const head = ["through", "median gap, ms", "p95", "p99", `${numClients} clients, tokens/s`, "÷ direct"];
    return { values: {}, tables: [{ title: "proxies", workload, head, rows }] };
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }
}

let numPrompts = 0;

/** Tokens a second of all clients together. */
async function rateOf(url: string): Promise<number> {
  const startMs = performance.now();
  const counts = await Promise.all(
    Array.from({ length: numClients }, async () => {
      const prompt = `Once ${numPrompts++} upon a time`;
      const response = await ask(url, { model: "giant", prompt, max_tokens: 64, ignore_eos: true });
      return ((await response.json()) as { usage: { completion_tokens: number } }).usage.completion_tokens;
    }),
  );
  return (1000 * counts.reduce((sum, count) => sum + count, 0)) / (performance.now() - startMs);
}

function ask(url: string, body: object): Promise<Response> {
  const headers = { "Content-Type": "application/json" };
  return fetch(`${url}/v1/completions`, { method: "POST", headers, body: JSON.stringify(body) });
}

async function gapsOf(url: string): Promise<number[]> {
  const grammar = `root ::= [a-z ]{${4 * numTokens}}`;
  const body = { model: "giant", prompt: "Once", stream: true, max_tokens: numTokens, grammar };
  const response = await ask(url, body);
  const gaps: number[] = [];
  let last: number | null = null;
  for await (const chunk of response.body ?? []) {
    const now = performance.now();
    const tokens =
      Buffer.from(chunk as Uint8Array)
        .toString()
        .split("data: {").length - 1;
    // Those of one read came at once.
    for (let token = 0; token < tokens; token++) {
      if (last !== null) gaps.push(now - last);
      last = now;
    }
  }
  return gaps;
}
