import type { PartResult } from "./report.js";
import { startShoulders } from "./server-process.js";

const mostTokens = 200;
const traces = ["off", "weights", "full"] as const;

/** Bytes of an answer on the wire, by what is told of each token. */
export async function benchTraceBytes(): Promise<PartResult> {
  await using server = await startShoulders("shipped", ["--threads", "1"]);
  const bytesOf = async (trace: string, stream: boolean): Promise<number> => {
    const response = await fetch(`${server.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        model: "all",
        messages: [
          { role: "user", content: "Oskar has 85 buttons. Then Oskar gets 12, and sells 30. How many?" },
        ],
        ...{
          temperature: 1,
          seed: 1,
          max_tokens: mostTokens,
          stream,
          stream_options: stream ? { include_usage: true } : null,
          fusion: { trace },
        },
      }),
    });
    const body = await response.text();
    const numTokens = Number(/"completion_tokens":(\d+)/.exec(body)?.[1]);
    if (!response.ok || !(numTokens > 0)) throw new Error(body);
    return Buffer.byteLength(body) / numTokens;
  };
  const rows = [];
  for (const trace of traces)
    rows.push([trace, ...(await Promise.all([false, true].map((stream) => bytesOf(trace, stream))))]);
  return {
    values: {},
    tables: [
      {
        title: "Bytes a token, by what is told of it",
        workload: `a chat on the shipped family, four experts; whole body ÷ tokens of the answer`,
        head: ["trace", "whole answer", "stream"],
        rows: rows.map(([trace, ...bytes]) => [
          String(trace),
          ...bytes.map((count) => Math.round(Number(count))),
        ]),
      },
    ],
  };
}
