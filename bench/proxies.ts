import { freePorts, proxyNames, startProxy } from "../test/support/proxies.js";
import type { PartResult } from "./report.js";
import { startShoulders } from "./server-process.js";
import { median, quantile } from "./statistics.js";

const numRounds = 6;
const numTokens = 300;

/** Gaps between tokens of one stream, ms: straight from a replica, and through each of deploy/replicas, in turns. */
export async function benchProxies(): Promise<PartResult> {
  const ports = (await freePorts(2)) as [number, number];
  const flags = (index: 0 | 1) => ["--port", String(ports[index]), "--load", "giant", "--threads", "1"];
  await using one = await startShoulders("shipped", flags(0));
  await using two = await startShoulders("shipped", flags(1));
  const proxies = await Promise.all(proxyNames.map((name) => startProxy(name, ports)));
  try {
    const gaps = [[], ...proxies.map(() => [])] as number[][];
    for (let round = 0; round < numRounds; round++) {
      const direct = round % 2 === 0 ? one.url : two.url;
      for (const [index, url] of [direct, ...proxies.map((proxy) => proxy.url)].entries())
        gaps[index]?.push(...(await gapsOf(url)));
    }
    const rows = ["direct", ...proxyNames].map((name, index) => {
      const own = gaps[index] ?? [];
      return [name, median(own), quantile(own, 0.95), quantile(own, 0.99)];
    });
    const workload = `${numRounds} streams of ${numTokens} tokens each, one at a time, in turns`;
    return {
      values: {},
      tables: [{ title: "proxies", workload, head: ["through", "median gap, ms", "p95", "p99"], rows }],
    };
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }
}

async function gapsOf(url: string): Promise<number[]> {
  const grammar = `root ::= [a-z ]{${4 * numTokens}}`;
  const body = { model: "giant", prompt: "Once", stream: true, max_tokens: numTokens, grammar };
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
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
